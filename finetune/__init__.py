"""Detectors, metrics and fine-tuning; filled by the steps that measure and train."""
