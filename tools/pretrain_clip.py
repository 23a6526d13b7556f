"""Trains clip_tiny on rendered persons and captions; see ``python tools/pretrain_clip.py --help``."""

import sys

from ccafl_train import pretrain

if __name__ == "__main__":
    sys.exit(pretrain())
