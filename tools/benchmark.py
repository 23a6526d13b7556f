"""Runs a suite and prints its table: ``python tools/benchmark.py configs/benchmarks/synthetic_ablation.yaml``."""

import sys

from ccafl_train import benchmark

if __name__ == "__main__":
    sys.exit(benchmark())
