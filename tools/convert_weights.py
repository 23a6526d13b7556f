"""Turns weights into a file that describes itself: ``python tools/convert_weights.py FILE --out w.safetensors``."""

import sys

from ccafl_plugin.runs.convert_command import main

if __name__ == "__main__":
    sys.exit(main())
