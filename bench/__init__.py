"""Measures the product against what it cannot beat, in one run: ratios, never absolute rates."""
