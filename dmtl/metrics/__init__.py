"""Metrics, one file each, to the letter of the papers' own evaluation code (docs/metrics.md)."""
