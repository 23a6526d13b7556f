"""Looks at a dataset before training: ``python tools/check_data.py --config-file FILE --root FOLDER``."""

import sys

from ccafl_plugin.runs.check_command import main

if __name__ == "__main__":
    sys.exit(main())
