"""Renders synthetic persons; see ``python tools/make_synthetic.py --help``."""

import sys

from ccafl_plugin.synthetic.render_command import main

if __name__ == "__main__":
    sys.exit(main())
