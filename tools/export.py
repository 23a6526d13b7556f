"""Exports a file of weights to ONNX or torch.export: ``python tools/export.py WEIGHTS``."""

import sys

from ccafl_train import export

if __name__ == "__main__":
    sys.exit(export())
