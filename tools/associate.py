"""One identity across cameras: ``python tools/associate.py FEATURES... --out FOLDER``."""

import sys

from ccafl_plugin.features.associate_command import main

if __name__ == "__main__":
    sys.exit(main())
