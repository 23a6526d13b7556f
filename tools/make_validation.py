"""A validation split of Market-1501's training people: ``python tools/make_validation.py --help``."""

import sys

from ccafl_plugin.data.validation_split import main

if __name__ == "__main__":
    sys.exit(main())
