"""Lists and checks the checkpoints of a run: ``python tools/checkpoints.py log/my_run``."""

import sys

from ccafl_train import checkpoints

if __name__ == "__main__":
    sys.exit(checkpoints())
