"""Writes one page about one run or several: ``python tools/report.py RUN [RUN ...]``."""

import sys

from ccafl_train import report

if __name__ == "__main__":
    sys.exit(report())
