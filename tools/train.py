"""Trains and tests a model: ``python tools/train.py --config-file configs/market1501/ccafl_rn50.yaml``."""

import sys

from ccafl_train import main

if __name__ == "__main__":
    sys.exit(main())
