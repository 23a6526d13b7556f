"""Measures this package's hot paths beside the straightforward way of doing the same: ``python -m benchmarks``."""
