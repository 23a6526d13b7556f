"""Trains and tests a model: ``python tools/train.py --config-file configs/market1501/ccafl_rn50.yaml``."""

import os
import sys

# OpenMP's idle threads spin by default, which starves data workers; read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from ccafl_plugin.train import main

if __name__ == "__main__":
    sys.exit(main())
