"""The commands ``ccafl-train`` and ``ccafl-benchmark``; apart from the package, whose import is already torch's."""

import os

# OpenMP's idle threads spin by default, which starves data workers; read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main() -> int:
    """Trains and tests a model: ``ccafl_plugin.train.main`` with the arguments of the process."""
    from ccafl_plugin.train import main as run

    return run()


def benchmark() -> int:
    """Runs a suite: ``ccafl_plugin.benchmark.tool.main`` with the arguments of the process."""
    from ccafl_plugin.benchmark.tool import main as run

    return run()


def pretrain() -> int:
    """Trains ``clip_tiny``: ``ccafl_plugin.pretraining.tool.main`` with the arguments of the process."""
    from ccafl_plugin.pretraining.tool import main as run

    return run()
