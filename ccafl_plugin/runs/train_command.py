"""``ccafl-train``: torchreid's main script with CCAFL in it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torchreid
from yacs.config import CfgNode

from ccafl_plugin.config import arguments, load_config
from ccafl_plugin.config.shipped_files import config_file, configs_folder
from ccafl_plugin.data.dataset_checks import check_sources
from ccafl_plugin.engine import ImageCCAFLEngine, NonFiniteLoss
from ccafl_plugin.integration.torchreid_names import dataset_classes
from ccafl_plugin.options import options
from ccafl_plugin.runs import building, results
from ccafl_plugin.utils.allocator import keep_freed_memory
from ccafl_plugin.utils.errors import CCAFLError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments; None: those of the process.

    Returns:
        0; 2 for wrong arguments, found before any data or model is loaded; 1 for a run that fails.
    """
    given = parser().parse_args(argv)
    try:
        config = load_config(
            config_file(given.config_file) if given.config_file else None,
            given.opts,
            sources=given.sources,
            targets=given.targets,
            transforms=given.transforms,
            root=given.root,
        )
        check_sources(config.data.root, config.data.sources, config.data.targets, dataset_classes())
    except CCAFLError as error:
        return _fail(error, 2)
    try:
        with log_to_file(config):
            run(config)
    except (CCAFLError, NonFiniteLoss) as error:
        return _fail(error, 1)
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of torchreid's own main script."""
    made = argparse.ArgumentParser(prog="ccafl-train", description="Train and test a person re-identification model.")
    made.add_argument(
        "--config-file",
        default="",
        metavar="FILE",
        help=f"YAML file; a relative path is also looked up in {configs_folder()}",
    )
    made.add_argument("-s", "--sources", nargs="+", help="source datasets")
    made.add_argument("-t", "--targets", nargs="+", help="target datasets")
    made.add_argument("--transforms", nargs="+", help="data augmentation")
    made.add_argument("--root", help="path to the data root")
    made.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="change a setting of the config")
    return made


@contextmanager
def log_to_file(config: CfgNode) -> Iterator[None]:
    """Copies what is printed into ``data.save_dir``, as torchreid's main script does."""
    name = "test.log" if config.test.evaluate else "train.log"
    folder = Path(config.data.save_dir)
    console = sys.stdout
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log = open(folder / (name + time.strftime("-%Y-%m-%d-%H-%M-%S")), "w", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise CCAFLError(f"data.save_dir: {str(folder)!r} can't be written: {error.strerror or error}.") from error
    with log as file:
        sys.stdout = _Tee(console, file)
        try:
            yield
        finally:
            sys.stdout = console


class _Tee:
    """Writes to the console and to a file. torchreid's ``Logger`` closes the console with the file."""

    def __init__(self, *streams: Any) -> None:
        self.streams = streams

    def write(self, text: str) -> None:
        for stream in self.streams:
            stream.write(text)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()

    def isatty(self) -> bool:
        return False


def run(config: CfgNode) -> None:
    """Builds everything and runs it.

    Args:
        config: a checked configuration.

    Raises:
        CCAFLError: what only the data, the weights or a checkpoint can show to be wrong.
        NonFiniteLoss: training diverged.
    """
    options.update(**arguments.option_values(config))
    use_threads(config.data.workers)
    if not (config.use_gpu and torch.cuda.is_available()):
        keep_freed_memory()
    started = time.monotonic()
    torchreid.utils.set_random_seed(config.train.seed)
    print(f"Show configuration\n{config}\n")
    print(f"Collecting env info ...\n** System info **\n{torchreid.utils.collect_env_info()}\n")
    if config.ccafl.matmul_precision != torch.get_float32_matmul_precision():
        torch.set_float32_matmul_precision(config.ccafl.matmul_precision)
    torch.backends.cudnn.benchmark = config.use_gpu and torch.cuda.is_available()

    datamanager = building.build_data_manager(config)
    model = building.build_model(config, datamanager)
    optimizer = torchreid.optim.build_optimizer(model, **arguments.optimizer_arguments(config))
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, **arguments.scheduler_arguments(config))
    print(f"Building {config.loss.name}-engine for {config.data.type}-reid")
    engine = building.build_engine(config, datamanager, model, optimizer, scheduler)
    engine.history.note_settings(building.effective_settings(config, engine))
    run_arguments = arguments.run_arguments(config)
    if config.model.resume:
        run_arguments["start_epoch"] = building.resume(config, engine, model, optimizer, scheduler)
    elif config.ccafl.branch_from:
        run_arguments["start_epoch"] = engine.branch(config.ccafl.branch_from)
    if not isinstance(engine, ImageCCAFLEngine) and not config.test.evaluate:
        print(engine.history.effective_settings)  # ours prints its own
    engine.run(**run_arguments)
    if not config.test.evaluate:
        results.write(config.data.save_dir, results.summary(config, engine, time.monotonic() - started))


def use_threads(workers: int) -> None:
    """Leaves a core to every data worker: torch's threads would wait for cores that the workers hold.

    ``OMP_NUM_THREADS`` in the environment wins: who starts several runs side by side shares out the cores.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - workers))


def _fail(error: Exception, code: int) -> int:
    message = str(error)
    if "\nOriginal Traceback" in message:  # raised in a data worker: the error itself is the traceback's last line
        message = message.strip().splitlines()[-1].partition(": ")[2]
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
