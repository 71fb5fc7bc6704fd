"""Blocks of published detectors, one paper block a file.

``asym_bi``   asymmetric bi-directional modulation (ACM)
"""
