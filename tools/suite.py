"""Runs a suite and prints its table: ``python tools/suite.py configs/suites/synthetic_ablation.yaml``."""

import sys

from ccafl_train import suite

if __name__ == "__main__":
    sys.exit(suite())
