"""Loads a configuration from a file and KEY VALUE pairs, and checks it; each mistake gives one line with its key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from ccafl_plugin.config.shipped_files import config_file, config_name
from ccafl_plugin.config.tree import default_config
from ccafl_plugin.config.validation import check_config
from ccafl_plugin.models.open_clip_models import is_open_clip, preprocessing
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.trees import leaves
from ccafl_plugin.utils.yaml_text import read_yaml

BASE_KEY = "base"
PUBLISHED_KEY = "published"


def load_config(
    file: str | Path | None = None, pairs: Sequence[str] = (), *, check_files: bool = True, **overrides: Any
) -> CfgNode:
    """Loads, merges and checks a configuration.

    Args:
        file: a YAML file. Its key ``base`` may name another file on which it is based (relative to its folder); its key
            ``published`` may name the publication of its values.
        pairs: KEY VALUE KEY VALUE ..., which override the file.
        check_files: whether files that the configuration names, such as weights, must exist.
        **overrides: ``sources``, ``targets``, ``transforms`` and ``root``, which override both if they are not None.

    Returns:
        A frozen tree.

    Raises:
        CCAFLError: an unreadable file, an unknown key, a value of the wrong type or out of range, or settings that
            exclude each other.

    An encoder of open_clip has a mean and a standard deviation of its own, which are taken if none is given.
    """
    config, given = default_config(), set(pairs[::2])
    if file is not None:
        for path, content in reversed(list(_chain(Path(file)))):
            published = content.pop(PUBLISHED_KEY, "")
            for key, value in leaves(content):
                _assign(config, key, value, where=f"{path}: ")
                given.add(key)
        if published:  # only of the file itself, which comes last, not of the files on which it is based
            config.ccafl.published_settings = config_name(Path(file))
    _check_pairs(config, pairs)
    for key, text in zip(pairs[::2], pairs[1::2], strict=True):
        _assign(config, key, _parse(text), where="")
    for name, value in overrides.items():
        if value is not None:
            _assign(config, f"data.{name}", value, where="")
    _take_own_normalisation(config, given)
    check_config(config, check_files)
    config.freeze()
    return config


def _take_own_normalisation(config: CfgNode, given: set[str]) -> None:
    """Mean and standard deviation of an encoder of open_clip, unless they are given."""
    if not is_open_clip(config.model.name):
        return
    mean, std, _ = preprocessing(config.model.name, config.ccafl.clip_weights)
    for key, numbers in (("data.norm_mean", mean), ("data.norm_std", std)):
        if key not in given:
            _assign(config, key, list(numbers), where="")


def published_by(file: Path) -> str:
    """The publication whose values a configuration file claims; empty: none."""
    return str(next(_chain(file))[1].get(PUBLISHED_KEY, ""))


def _chain(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The file, then the file it is based on, and so on. A base is beside its file, or a shipped one."""
    seen: list[Path] = []
    while True:
        if path.resolve() in seen:
            raise CCAFLError(f"{path}: the {BASE_KEY!r} keys of the files form a circle. Remove one of them.")
        seen.append(path.resolve())
        try:
            content = read_yaml(path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise CCAFLError(f"--config-file: could not read {str(path)!r}: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise CCAFLError(f"{path}: not a YAML file: {' '.join(str(error).split())}.") from error
        content = {} if content is None else content
        if not isinstance(content, dict):
            raise CCAFLError(f"{path}: expected 'key: value' lines, found {content!r}.")
        base = content.pop(BASE_KEY, None)
        yield path, content
        if base is None:
            return
        beside, named = path.parent / str(base), config_file(str(base))
        path = named if not beside.exists() and named.exists() else beside


def _check_pairs(config: CfgNode, pairs: Sequence[str]) -> None:
    """Checks that a list of words consists of KEY VALUE pairs.

    Raises:
        CCAFLError: there is an option, ``key=value``, or a key without value among them.
    """
    for word in pairs:
        if re.fullmatch(r"-[a-z]|--[a-z-]+(=.*)?", word):
            raise CCAFLError(f"{word}: options come before the KEY VALUE pairs. Put it before {pairs[0]!r}.")
    for word in pairs[::2]:
        key, sign, value = word.partition("=")
        if sign and key in dict(leaves(config)):
            raise CCAFLError(f"{word}: a key and its value are two words. Write {key} {value}")
    if len(pairs) % 2:
        raise CCAFLError(f"KEY VALUE pairs: {pairs[-1]!r} has no value. Add one.")


def _parse(text: str) -> Any:
    """A value from the command line, parsed as YAML; ``['a','b']`` and ``5e-4`` work as in torchreid."""
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    return text if isinstance(content, (date, set, bytes)) else content


def _assign(config: CfgNode, key: str, value: Any, where: str) -> None:
    """Sets one leaf.

    Raises:
        CCAFLError: an unknown key, or a value of another type.
    """
    node = config
    *parents, leaf = key.split(".")
    for name in parents:
        node = node[name] if isinstance(node, CfgNode) and name in node else None
    if not isinstance(node, CfgNode) or leaf not in node:
        raise unknown_key(config, key, where)
    old = node[leaf]
    if isinstance(old, CfgNode):
        expected = f"expected keys below it ({', '.join(sorted(old))})" if old else "has no keys to set"
        raise CCAFLError(f"{where}{key}: {expected}, found {value!r}.")
    node[leaf] = _converted(value, old, f"{where}{key}")


def unknown_key(config: CfgNode, key: str, where: str = "") -> CCAFLError:
    """The error for an unknown key, with the nearest match in the whole tree and what is directly below its parent."""
    keys = [name for name, _ in leaves(config)]
    parent = f"{key.rpartition('.')[0]}."
    below = [name.removeprefix(parent).partition(".")[0] for name in keys if parent != "." and name.startswith(parent)]
    siblings = [f"{parent}{name}" for name in dict.fromkeys(below)]
    error = unknown_name(f"{where}config key", key, keys)
    nearest = str(error).split(" Choose one of")[0]
    return CCAFLError(f"{nearest} Choose one of: {', '.join(siblings or sorted(config))}.")


def _converted(value: Any, old: Any, name: str) -> Any:
    """The value in the type of the default that it replaces.

    Raises:
        CCAFLError: it has another type.
    """
    if isinstance(old, float) and isinstance(value, str):  # YAML parses 5e-4 as a string
        try:
            return float(value)
        except ValueError:
            pass
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(old, (list, tuple)):
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            value = [value]
        if isinstance(value, (list, tuple)):
            return [_converted(item, old[0], name) if old else item for item in value]
    if isinstance(old, str) and value is None:
        return ""
    if type(value) is type(old):
        return value
    words = {bool: "True or False", int: "a whole number", float: "a number", str: "a word", list: "a list"}
    raise CCAFLError(f"{name}: expected {words[type(old)]} (default {old!r}), found {value!r}.")
