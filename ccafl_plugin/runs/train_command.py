"""``ccafl-train``: a command like torchreid's main script, with CCAFL."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from typing import Any

import torch
import torchreid
from yacs.config import CfgNode

from ccafl_plugin.config import arguments, default_config, load_config
from ccafl_plugin.config.argument_keys import named_by_keys
from ccafl_plugin.config.shipped_files import config_file, configs_folder
from ccafl_plugin.data.dataset_checks import check_sources
from ccafl_plugin.engine import Diverged, ImageCCAFLEngine
from ccafl_plugin.engine.earlier_runs import set_aside
from ccafl_plugin.integration.torchreid_names import dataset_classes
from ccafl_plugin.options import options
from ccafl_plugin.runs import building, results
from ccafl_plugin.runs.dataset_door import unforeseen
from ccafl_plugin.runs.described_weights import write_weights
from ccafl_plugin.runs.endings import failure_line, going_on, stopped_line
from ccafl_plugin.runs.fitting import fit_to_data
from ccafl_plugin.runs.opening_lines import opening_lines
from ccafl_plugin.runs.pair_evaluation import evaluate_pairs, pair_lines, pairs_of
from ccafl_plugin.runs.resuming import AUTO, resolve_auto
from ccafl_plugin.runs.run_files import file_names, locked_folder, log_to_file, write_config_and_system
from ccafl_plugin.runs.shipped_configurations import list_configurations
from ccafl_plugin.runs.torchrun import check_processes, is_first_to_fail, of_process, run_in_group, use_threads
from ccafl_plugin.utils.allocator import keep_freed_memory
from ccafl_plugin.utils.distributed import (
    first_then_others,
    from_first,
    is_first_process,
    num_processes,
    quiet_unless_first,
    say,
)
from ccafl_plugin.utils.dtypes import uses_tf32
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import FolderWatch, written_line
from ccafl_plugin.utils.provenance import digest_of, version_line
from ccafl_plugin.utils.stopping import Stopped, Stopper
from ccafl_plugin.utils.trees import leaves

KEYS = "docs/configuration.md"
"""The page of all keys."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments; None: those of the process. Without any, usage and the shipped configurations are printed.

    Returns:
        0; 2 for wrong or missing arguments, found before any data or model is loaded; 1 if the run fails; 130 after
        Ctrl-C, 143 after SIGTERM.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        print(f"{parser().format_usage()}\n{closing_help()}")
        return 2
    given = parser().parse_args(argv)
    try:
        return run_in_group(lambda: _main(given, argv))
    except CCAFLError as error:
        return fail(error, 1, given.debug)


def _main(given: argparse.Namespace, argv: Sequence[str]) -> int:
    """The command in each process of the run."""
    try:
        with quiet_unless_first():
            config, lines = first_then_others(lambda: load(given))
            check_processes(config)
    except CCAFLError as error:
        return fail(error, 2, given.debug)
    folder = config.data.save_dir
    try:
        with Stopper(last_resort=num_processes() > 1), named_by_keys(), ExitStack() as held, quiet_unless_first():
            from_first(lambda: held.enter_context(locked_folder(config)))
            _run_in_folder(config, lines)
    except Stopped as stop:
        return fail(stopped_line(stop, folder, argv, config.test.evaluate), stop.code)
    except (CCAFLError, Diverged) as error:
        return fail(error, 1, given.debug)
    except Exception as error:
        line = failure_line(error, folder)
        if line is None:
            return fail(unforeseen(error, folder), 1, given.debug)
        line += of_process()
        return fail(line if config.test.evaluate else f"{line}; {going_on(folder, argv)}", 1)
    return 0


def _run_in_folder(config: CfgNode, lines: Sequence[str]) -> None:
    """Runs in ``data.save_dir``, with a log there."""
    watch = FolderWatch(config.data.save_dir)
    if config.model.resume == AUTO:
        resume = from_first(lambda: resolve_auto(config))
        if resume is None:
            return
        config = config.clone()
        config.defrost()
        config.model.resume = resume
        config.ccafl.branch_from = "" if resume else config.ccafl.branch_from
        config.freeze()
    with log_to_file(config) if is_first_process() else nullcontext():
        for line in lines:
            print(line)
        run(config)
        print(written_line(watch.folder, watch.written()))


def load(given: argparse.Namespace, fit: bool = True) -> tuple[CfgNode, list[str]]:
    """Loads the configuration that the arguments name, and checks it against the data root.

    With ``ccafl.data.fit``, some settings follow from the amount of data, except those on the command line.

    Args:
        given: the result of :func:`parser`.
        fit: False: ignore the amount of data.

    Returns:
        The configuration, and lines about the settings that follow from the data.

    Raises:
        CCAFLError: wrong arguments, or data that are missing or invalid.
    """
    check_names(given)
    file = config_file(given.config_file) if given.config_file else None
    pairs = given.opts[1:] if given.opts[:1] == ["--"] else given.opts
    named = {"sources": given.sources, "targets": given.targets, "transforms": given.transforms, "root": given.root}
    config = load_config(file, pairs, **named)
    options.update(**arguments.option_values(config))  # the datasets read them
    distractors = config.market1501.use_500k_distractors
    check_sources(config.data.root, config.data.sources, config.data.targets, dataset_classes(), distractors)
    pairs_of(config)  # mistakes in the file show before hours of training
    if not (fit and config.ccafl.data.fit):
        return config, []
    counts, fitted = fit_to_data(config)
    words = [word for key, value in fitted.items() for word in (key, str(value))]
    asked_for = digest_of(results.settings_of(config))  # by this a suite knows the run again
    config = load_config(file, [*words, *pairs], **named)
    config.defrost()
    config.ccafl.data.fitted_from = asked_for
    config.freeze()
    shown = [f"  {key} {value}" for key, value in fitted.items() if key not in pairs[::2]]
    return config, [f"Settings that follow from the data ({counts}):", *shown]


def parser() -> argparse.ArgumentParser:
    """The arguments of torchreid's own main script, and ``--version``."""
    made = argparse.ArgumentParser(
        prog="ccafl-train",
        usage="ccafl-train --config-file FILE [-s NAME ...] [-t NAME ...] [--transforms NAME ...] [--root DIR] "
        "[--debug] [--] [KEY VALUE ...]",
        description="Train and test a person re-identification model.",
        epilog=closing_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=version_line())
    made.add_argument("--config-file", default="", metavar="FILE", help="YAML file: one of those below, or your own")
    made.add_argument("-s", "--sources", nargs="+", metavar="NAME", help="datasets to train on")
    made.add_argument("-t", "--targets", nargs="+", metavar="NAME", help="datasets to test on")
    made.add_argument("--transforms", nargs="+", metavar="NAME", help="data augmentation")
    made.add_argument("--root", metavar="DIR", help="folder of all datasets")
    made.add_argument("--debug", action="store_true", help="print the traceback of an error, too")
    made.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="settings; after the options")
    return made


def closing_help() -> str:
    """The list of shipped configurations, and the page that explains the keys."""
    return (
        f"Configurations for --config-file, in {configs_folder()}:\n\n{list_configurations()}\n"
        f"KEY VALUE pairs change single settings, e.g. train.max_epoch 5 data.save_dir log/short. The meaning,\n"
        f"default and allowed values of every key: {KEYS} in the repository."
    )


def check_names(given: argparse.Namespace) -> None:
    """Checks that an option did not take KEY VALUE pairs as names; torchreid's main script takes them too.

    Raises:
        CCAFLError: it did; the message names the option and the key.
    """
    keys = dict(leaves(default_config()))
    for option, names in (("-s", given.sources), ("-t", given.targets), ("--transforms", given.transforms)):
        for name in names or ():
            if name in keys or "." in name or "=" in name:
                raise CCAFLError(
                    f"{option}: {name!r} looks like a key, but {option} takes every word up to the next option as a "
                    f"name. Put -- before the first key: {option} {names[0]} -- KEY VALUE."
                )


def run(config: CfgNode) -> None:
    """Builds everything and runs it.

    Args:
        config: a checked configuration.

    Raises:
        CCAFLError: a mistake that only shows with the data, the weights or a checkpoint.
        Diverged: a loss, gradients or weights are not finite.
    """
    options.update(**arguments.option_values(config))
    use_threads(config.data.workers)
    if not (config.use_gpu and torch.cuda.is_available()):
        keep_freed_memory()
    started = time.monotonic()
    torchreid.utils.set_random_seed(config.train.seed)
    print(opening_lines(config, *file_names(config)))
    if config.ccafl.matmul_precision != torch.get_float32_matmul_precision():
        torch.set_float32_matmul_precision(config.ccafl.matmul_precision)
    torch.backends.cudnn.allow_tf32 = uses_tf32()
    torch.backends.cudnn.benchmark = config.use_gpu and torch.cuda.is_available()

    datamanager = first_then_others(lambda: building.build_data_manager(config))
    model = first_then_others(lambda: building.build_model(config, datamanager))
    optimizer = torchreid.optim.build_optimizer(model, **arguments.optimizer_arguments(config))
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, **arguments.scheduler_arguments(config))
    print(f"Building {config.loss.name}-engine for {config.data.type}-reid")
    engine = building.build_engine(config, datamanager, model, optimizer, scheduler)
    engine.history.note_settings(building.effective_settings(config, engine))
    engine.history.settings = results.settings_of(config)
    run_arguments = arguments.run_arguments(config)
    if config.model.resume:
        run_arguments["start_epoch"] = building.resume(config, engine, model, optimizer, scheduler)
    elif config.ccafl.branch_from:
        run_arguments["start_epoch"] = engine.branch(config.ccafl.branch_from)
    if not isinstance(engine, ImageCCAFLEngine) and not config.test.evaluate:
        print(engine.history.effective_settings)  # ImageCCAFLEngine prints them itself
        set_aside(config.data.save_dir, behind=config.train.max_epoch)  # results of an earlier run
    from_first(lambda: write_config_and_system(config))
    engine.run(**run_arguments)
    from_first(lambda: finish(config, engine, started))


def finish(config: CfgNode, engine: Any, started: float) -> None:
    """Writes weights, evaluates pairs, and writes results.

    Args:
        config: of the run.
        engine: after its run.
        started: when the run began, by ``time.monotonic``.
    """
    if not config.test.evaluate:
        write_weights(config, engine.model, engine.datamanager)  # first: they are there if anything below fails
    pairs, pair_scores = pairs_of(config), None
    if pairs is not None:
        pair_scores = evaluate_pairs(engine.model, engine.datamanager, pairs)
        print("\n".join(pair_lines(pairs.file, pair_scores)))
    if not config.test.evaluate:
        facts = results.summary(config, engine, time.monotonic() - started)
        # Last: where there are results, the run is finished.
        results.write(config.data.save_dir, facts | ({} if pair_scores is None else {"pairs": pair_scores}))


def fail(error: Exception | str, code: int, debug: bool = False) -> int:
    """Prints an error as one line, behind its traceback if ``debug``, and returns ``code``.

    Of several processes, the one that fails first prints; behind an ``Exception`` the line names it.
    """
    if not is_first_to_fail():  # others have failed before, and this is mostly because of them
        return code
    if debug and isinstance(error, Exception):
        traceback.print_exception(error)
    message = str(error)
    if "\nOriginal Traceback" in message:  # from a data worker: the last line of its traceback is the error itself
        message = message.strip().splitlines()[-1].partition(": ")[2]
    start = "" if code > 2 else "error: "  # a signal is no fault
    behind = of_process(error) if isinstance(error, Exception) else ""  # a text may end with a command to copy
    say(f"{start}{' '.join(message.split())}{behind}")
    return code


if __name__ == "__main__":
    sys.exit(main())
