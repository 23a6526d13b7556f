"""Thresholds for "same person": ``python tools/thresholds.py FEATURES --weights FILE``."""

import sys

from ccafl_train import thresholds

if __name__ == "__main__":
    sys.exit(thresholds())
