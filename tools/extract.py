"""Features of all images in a folder: ``python tools/extract.py FOLDER --weights FILE``."""

import sys

from ccafl_train import extract

if __name__ == "__main__":
    sys.exit(extract())
