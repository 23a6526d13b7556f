"""Console script ``ccafl-train``; apart from the package, whose import is already torch's."""

import os

# OpenMP's idle threads spin by default, which starves data workers; read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main() -> int:
    """Runs ``ccafl_plugin.train.main`` with the arguments of the process."""
    from ccafl_plugin.train import main as run

    return run()
