"""Shipped recipes, one YAML a scenario; `python -m pipelines.synthesize NAME` finds them here."""
