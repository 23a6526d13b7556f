"""Measures this package's hot paths and the straightforward way to do the same: ``python -m benchmarks``."""
