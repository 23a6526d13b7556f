"""Splits Market-1501's training people into training and validation people: ``python tools/make_validation.py --help``."""

import sys

from ccafl_plugin.data.validation import main

if __name__ == "__main__":
    sys.exit(main())
