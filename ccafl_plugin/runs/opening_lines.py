"""The first lines of a run's log: versions, machine, and the settings that are not the defaults.

The whole configuration and torch's report on the system are files in the run's folder (:mod:`.run_files`).
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import yaml
from yacs.config import CfgNode

from ccafl_plugin.config.tree import default_config
from ccafl_plugin.utils.provenance import machine, versions
from ccafl_plugin.utils.trees import leaves, nested

VERSIONS = "Versions: "
SETTINGS = "Settings that are not the defaults"
WIDTH = 110
NO_BREAK = "\ue000"
"""A placeholder for a space at which a line must not be broken; a character that has no other use."""


def opening_lines(config: CfgNode, all_settings: str, all_facts: str) -> str:
    """The first lines of a log.

    Args:
        config: configuration of the run.
        all_settings: file with the whole configuration.
        all_facts: file with torch's report on the system.

    Returns:
        Three lines on the system, with a GPU four, then YAML between a heading and an empty line.
    """
    uses_gpu = config.use_gpu and torch.cuda.is_available()
    tf32 = "with" if config.ccafl.matmul_precision != "highest" else "without"
    facts = machine(torch.device("cuda" if uses_gpu else "cpu"))
    return "\n".join(
        [
            VERSIONS + ", ".join(f"{name} {version}" for name, version in versions().items()),
            f"Machine: {facts['device']}, {facts['cores']} cores, {facts['threads']} for torch",
            *uses_gpu * [f"Float32 on the GPU: {tf32} TF32 (ccafl.matmul_precision {config.ccafl.matmul_precision})"],
            f"Folder: {config.data.save_dir} (the whole configuration: {all_settings}, the whole system: {all_facts})",
            f"{SETTINGS}:",
            *compact_yaml(changed_settings(config)),
            "",
        ]
    )


def changed_settings(config: CfgNode) -> dict[str, Any]:
    """The settings of a configuration that differ from the defaults, as a tree."""
    defaults = dict(leaves(default_config()))
    return nested({key: value for key, value in leaves(config) if key not in defaults or defaults[key] != value})


def compact_yaml(tree: Mapping[str, Any], indent: int = 0) -> Iterator[str]:
    """A tree as compact YAML; a branch that fits into one line is written in one line.

    Args:
        tree: a tree of plain values, lists and mappings.
        indent: number of spaces before every line.
    """
    for key, value in tree.items():
        line = f"{' ' * indent}{key}: {_in_one_line(value)}"
        if len(line) <= WIDTH or not isinstance(value, Mapping):
            yield line
        elif any(isinstance(item, Mapping) for item in value.values()):
            yield f"{' ' * indent}{key}:"
            yield from compact_yaml(value, indent + 2)
        else:
            joined = line.replace(": ", f":{NO_BREAK}")
            wrapped = textwrap.wrap(
                joined, WIDTH, subsequent_indent=" " * (indent + 2), break_long_words=False, break_on_hyphens=False
            )
            yield from (part.replace(NO_BREAK, " ") for part in wrapped)


def _in_one_line(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
