"""Renders synthetic persons; see ``python tools/make_synthetic.py --help``."""

import sys

from ccafl_plugin.data.synthetic.tool import main

if __name__ == "__main__":
    sys.exit(main())
