"""Trains clip_tiny on rendered persons and captions; see ``python tools/pretrain_clip.py --help``."""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported

from ccafl_plugin.pretraining.tool import main

if __name__ == "__main__":
    sys.exit(main())
