"""docs/synthetic_persons.md: its table, its commands and what it quotes."""

from __future__ import annotations

import re

from ccafl_plugin.synthetic.render_command import chance_level, parser
from ccafl_plugin.synthetic.renderer.picture_plan import GALLERY, QUERY, SIZES, TRAIN, plan_benchmark
from tests.layouts_torchreid import REPOSITORY

TEXT = (REPOSITORY / "docs" / "synthetic_persons.md").read_text(encoding="utf-8")


def test_the_sizes():
    for name, size in SIZES.items():
        folders = [picture.folder for picture in plan_benchmark(size, 1).pictures]
        people = f"{size.train}, {size.test}, {size.bystanders}"
        images = ", ".join(str(folders.count(folder)) for folder in (TRAIN, QUERY, GALLERY))
        assert f"| `{name}` | {people} | {images} |" in TEXT


def test_the_commands_and_their_output():
    commands = re.findall(r"^python tools/make_synthetic\.py (.*)$", TEXT, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        parser().parse_args(command.split())
    assert chance_level(plan_benchmark(SIZES["tiny"], 1)) in TEXT
