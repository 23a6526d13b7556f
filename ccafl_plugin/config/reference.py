"""Creates the page of all keys from the tree, docstrings and checks: meaning, default and allowed values."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from ccafl_plugin.association import ASSOCIATIONS
from ccafl_plugin.config.key_sentences import SENTENCES
from ccafl_plugin.config.tree import OF_ENGINE, OF_OPTIONS, OF_OWN_DATA, OF_SYNTHETIC, OF_TESTS, default_config
from ccafl_plugin.config.validation import allowed_names
from ccafl_plugin.data.label_noise import LabelNoise
from ccafl_plugin.engine import ImageCCAFLEngine
from ccafl_plugin.engine.stage1 import PromptStage
from ccafl_plugin.options import Options
from ccafl_plugin.own_settings import CropRules, OwnData
from ccafl_plugin.terms import TERMS, Term
from ccafl_plugin.utils.ranges import RANGES
from ccafl_plugin.utils.trees import leaves

MOST_NAMES = 25
"""If a key has more allowed names than this, the page does not list them."""


def key_sentences() -> dict[str, str]:
    """Key -> its meaning, in the order of the tree; empty if it is not documented."""
    found = dict(SENTENCES)
    options, engine = argument_sentences(Options), argument_sentences(ImageCCAFLEngine)
    found |= {f"ccafl.{name}": options.get(name, "") for name in OF_OPTIONS}
    found |= {f"test.{name}": options.get(name, "") for name in OF_TESTS}
    found |= {f"ccafl.synthetic.{name}": options.get(f"synthetic_{name}", "") for name in OF_SYNTHETIC}
    found |= {f"ccafl.{name}": engine.get(name, "") for name in (*OF_ENGINE, "keep_epochs")}
    own_data = argument_sentences(OwnData)
    found |= {f"ccafl.data.{name}": own_data.get(name, "") for name in OF_OWN_DATA}
    found |= {
        "ccafl.association.name": engine.get("association", ""),
        "ccafl.association.keep_unassociated": engine.get("keep_unassociated", ""),
        "ccafl.association.whitening": engine.get("whitening", ""),
    }
    owners: dict[str, Any] = {
        "ccafl.data.crops": CropRules,
        "ccafl.label_noise": LabelNoise,
        "ccafl.stage1": PromptStage,
    }
    owners |= {f"ccafl.association.{name}": function for name, function in ASSOCIATIONS.items()}
    for node, owner in owners.items():
        found |= {f"{node}.{name}": sentence for name, sentence in argument_sentences(owner).items()}
    for name, term in TERMS.items():
        found |= {f"ccafl.terms.{name}.{key}": sentence for key, sentence in _term_sentences(term).items()}
    return {key: found.get(key, "") for key, _ in leaves(default_config())}


def argument_sentences(owner: Any) -> dict[str, str]:
    """Argument -> sentence, from the section ``Args`` or ``Attributes`` of a docstring; Markdown without full stop."""
    doc = inspect.getdoc(owner) or ""
    section = re.search(r"^(?:Args|Attributes):\n((?:    .*\n?|\n)+)", doc, re.MULTILINE)
    found: dict[str, str] = {}
    entry = re.compile(r"^    (\w+(?:, \w+)*): (.*(?:\n {5,}.*)*)", re.MULTILINE)
    for names, text in entry.findall(section[1] if section else ""):
        for name in names.split(", "):
            sentence = _markdown(text)
            # In a docstring, the sentence may continue from the argument's name.
            goes_on = " " if sentence.startswith("of ") else ", " if sentence[:1].isdigit() else None
            found[name] = sentence if goes_on is None else f"{name.replace('_', ' ')}{goes_on}{sentence}"
    return found


def _term_sentences(term: type[Term]) -> dict[str, str]:
    """The sentences of a term. :class:`Term` describes the common arguments; a term adds its own values."""
    base, own = argument_sentences(Term), argument_sentences(term)
    for name, sentence in own.items():
        if name in base and sentence.startswith("see Term"):
            remark = sentence.partition("; ")[2]
            told_of = "first_epoch" if "epoch" in remark else "weight"
            own[name] = f"{base[name]} ({remark})" if remark and name == told_of else base[name]
    summary = _markdown((inspect.getdoc(term) or "").partition("\n")[0])
    return {"enabled": f"whether the loss has this term: {summary}", **own}


def _markdown(text: str) -> str:
    text = " ".join(text.split()).removesuffix(".")
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", text)
    return text.replace("``", "`")


def allowed_values(key: str, default: Any) -> str:
    """The allowed values of a key, in words."""
    names = allowed_names().get(key)
    if names is not None:
        choices = names()
        listed = ", ".join(f"`{name}`" for name in choices)
        one = listed if len(choices) <= MOST_NAMES else f"one of {len(choices)} names; an unknown one lists them"
        return f"any of {listed}" if isinstance(default, list) and len(choices) <= MOST_NAMES else one
    if isinstance(default, bool):
        return "`True`, `False`"
    found = RANGES.get(key.rpartition(".")[2])
    kinds = {int: "whole number", float: "number", str: "word or path", list: "list"}
    kind = kinds[type(default)]
    return f"{kind}, {found}" if found is not None else kind


def page() -> str:
    """The page of all keys, in Markdown."""
    return HEAD + "\n".join(_tables()) + "\n"


def _tables() -> Iterator[str]:
    sentences, group = key_sentences(), ""
    for key, default in leaves(default_config()):
        parent = key.rpartition(".")[0] or "use_gpu"
        if parent != group:
            group = parent
            yield f"\n## {'General' if group == 'use_gpu' else f'`{group}`'}\n"
            yield "| key | default | meaning | may be |\n|---|---|---|---|"
        shown = f"`{default}`" if default not in ("", []) else "empty"
        cells = (f"`{key}`", shown, sentences[key], allowed_values(key, default))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


COMMAND = "python tools/configuration_page.py --write"

HEAD = f"""\
# All keys of the configuration

<!-- Made by {COMMAND}. -->

A configuration is a tree of keys: torchreid's own, with torchreid's names and defaults, and one node `ccafl`. The
defaults below `ccafl` are the paper's Market-1501 values. A file holds only what differs from the defaults, or from the
file that its key `base` names:

```yaml
base: configs/market1501/ccafl_rn50.yaml  # or a path from this file's folder
train: {{max_epoch: 10}}
ccafl: {{terms: {{ical: {{enabled: False}}}}}}
```

On the command line, `KEY VALUE` pairs come after the options and override the file:

```sh
ccafl-train --config-file configs/market1501/ccafl_rn50.yaml --root reid-data train.max_epoch 10 ccafl.amp False
ccafl-train --config-file configs/market1501/ccafl_rn50.yaml -s market1501 -t dukemtmcreid -- train.max_epoch 10
```

`-s`, `-t` and `--transforms` take every word up to the next option as a name, as in torchreid; `--` ends the names.
Lists are written as in Python or YAML: `data.transforms "['random_flip', 'pad_crop']"`. A wrong key, name or value
gives a one-line error that suggests the nearest match, before anything is loaded.

The log of a run shows the settings that are not the defaults. The run's folder has the whole configuration in
`config.yaml`, which `--config-file` can read, and torch's report on the system in `system.txt`. A run that only tests
writes `test_config.yaml` and `test_system.txt` instead.

In a program, the same settings are arguments of classes and options of `ccafl_plugin.options`. Errors then name the
argument instead of the key.
"""
