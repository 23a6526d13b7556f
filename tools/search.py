"""Searches images by image or text: ``python tools/search.py build INDEX FEATURES``, then ``... query INDEX IMAGE``."""

import sys

from ccafl_train import search

if __name__ == "__main__":
    sys.exit(search())
