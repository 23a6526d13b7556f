from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.data.name_pattern import NamePattern
from ccafl_plugin.utils.errors import CCAFLError


@pytest.mark.parametrize(
    ("pattern", "file", "parts"),
    [
        ("{camera}/{id}/**", "hall/anna/a/b.jpg", {"camera": "hall", "id": "anna"}),
        ("{id}_c{camera}s{*}_*.jpg", "0002_c1s1_000451_03.jpg", {"id": "0002", "camera": "1"}),
        ("{split}/{camera}_{id}_{frame}.png", "test/2_x y_17.png", {"split": "test", "camera": "2", "id": "x y"}),
        ("*/{id:[0-9]{4}}{camera:[A-Z]+}*", "a/0042BQ-1.bmp", {"id": "0042", "camera": "BQ"}),
        ("a+b(c)/{id}.jpg", "a+b(c)/Zoë.jpg", {"id": "Zoë"}),
        ("{id}/*.jpg", "a b/.jpg", {"id": "a b"}),
    ],
)
def test_parts(pattern: str, file: str, parts: dict[str, str]) -> None:
    found = NamePattern.parse(pattern).match_all([file])[file]
    assert {name: found[name] for name in parts} == parts


def test_what_does_not_fit() -> None:
    found = NamePattern.parse("{camera}/{id}/*.jpg").match_all(
        ["a/b.jpg", "a/b/c/d.jpg", "a//c.jpg", "a/b/c.png", "a/b/c.jpg"]
    )
    assert set(found) == {"a/b/c.jpg"}


NAME = st.text("abc XYZ0.+([^$é", min_size=1, max_size=6)


@given(camera=NAME, identity=NAME, rest=NAME)
def test_any_names_come_back(camera: str, identity: str, rest: str) -> None:
    """Parted by what occurs in none of them."""
    file = f"{camera}/{identity}@{rest}.jpg"
    found = NamePattern.parse("{camera}/{id}@*.jpg").match_all([file])[file]
    assert found == {"camera": camera, "id": identity}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{camera}/*.jpg", r"has no \{id\}"),
        ("{cam}/{id}", r"'cam' is not available\. Did you mean 'camera'\?"),
        ("{id}_{id}", r"has \{id\} twice; write \*"),
        ("{id}/{camera", r"a brace at '\{camera' that is not closed"),
        ("{id:[}", r"is no regular expression"),
        ("{id:(a|b)}", r"a group of its own; write \(\?:"),
    ],
)
def test_wrong_patterns(pattern: str, message: str) -> None:
    with pytest.raises(CCAFLError, match=rf"ccafl\.data\.pattern: .*{message}") as error:
        NamePattern.parse(pattern)
    assert "\n" not in str(error.value)


def test_the_nearest_file_is_shown_with_the_place() -> None:
    pattern = NamePattern.parse("{camera}/{id}_c*.jpg")
    assert "'_c' is expected after '{camera}/{id}'" in pattern.nearest(["x.jpg", "hall/anna-1.jpg"])
    assert "where '{camera}'" not in pattern.nearest(["x.jpg", "hall/anna-1.jpg"])
    assert "'/' is expected after '{camera}'" in pattern.nearest(["x.jpg"])
