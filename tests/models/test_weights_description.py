"""Files of weights that describe themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from ccafl_plugin.models.weights_description import (
    WeightsDescription,
    is_described,
    read,
    read_description,
    save,
)
from ccafl_plugin.utils.digests import digest_of_file
from ccafl_plugin.utils.errors import CCAFLError

SMALL = WeightsDescription(model="osnet_x0_25", height=64, width=32, feature_dim=4)
STATE = {"layer.weight": torch.arange(6.0).reshape(2, 3), "classifier.weight": torch.ones(9, 2)}

numbers = st.floats(-10, 10).map(lambda x: round(x, 6))
words = st.text(max_size=20).filter(lambda word: "\0" not in word and word.isprintable())
descriptions = st.builds(
    WeightsDescription,
    model=words.filter(bool),
    height=st.integers(1, 2000),
    width=st.integers(1, 2000),
    feature_dim=st.integers(1, 5000),
    feature=st.sampled_from(["retrieval", "embedding"]),
    norm_mean=st.tuples(numbers, numbers, numbers),
    norm_std=st.tuples(*[numbers.map(lambda x: abs(x) + 0.1)] * 3),
    interpolation=st.sampled_from(["bicubic", "bilinear"]),
    activation=st.sampled_from(["", "gelu", "quick_gelu"]),
    embedding_dim=st.integers(0, 5000),
    trained_on=words,
    licence=words,
)


@given(descriptions)
def test_a_description_survives_the_way_through_metadata(description: WeightsDescription) -> None:
    metadata = description.to_metadata()
    assert all(isinstance(word, str) for word in metadata.values())  # as safetensors wants them
    assert WeightsDescription.from_metadata(metadata, "a file") == description


def test_a_file_holds_the_model_under_its_own_names_and_no_classifier(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "w.safetensors"
    cameras = ({"camera_statistics.mean": torch.zeros(1, 4)}, {"camera_statistics": "{}"})
    save(path, SMALL, STATE, {"ln.weight": torch.ones(2)}, cameras)
    with safe_open(path, framework="pt") as file:
        assert sorted(file.keys()) == ["camera_statistics.mean", "layer.weight", "text_encoder.ln.weight"]
        assert file.metadata()["height"] == "64"
    found = read(path)
    assert found.description == read_description(path) == SMALL
    assert list(found.state) == ["layer.weight"]
    assert torch.equal(found.state["layer.weight"], STATE["layer.weight"])
    assert list(found.text) == ["ln.weight"]
    assert found.cameras is not None
    assert found.cameras[1] == {"camera_statistics": "{}"}
    assert is_described(path)
    assert [path.name for path in path.parent.iterdir()] == ["w.safetensors"]


def test_tensors_that_share_memory_are_written(tmp_path: Path) -> None:
    whole = torch.arange(4.0)
    save(tmp_path / "w.safetensors", SMALL, {"a": whole, "b": whole, "c": whole[1:]})
    assert torch.equal(read(tmp_path / "w.safetensors").state["c"], whole[1:])


def test_numbers_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(CCAFLError, match="'a' holds numbers that are not finite"):
        save(tmp_path / "w.safetensors", SMALL, {"a": torch.tensor([1.0, float("nan")])})
    with pytest.raises(CCAFLError, match="there are no weights to write"):
        save(tmp_path / "w.safetensors", SMALL, {"classifier.weight": torch.ones(1)})
    assert not list(tmp_path.iterdir())


def test_files_that_do_not_describe_themselves(tmp_path: Path) -> None:
    plain, saved, missing = (tmp_path / name for name in ("plain.safetensors", "saved.pth", "missing.safetensors"))
    save_file({"a": torch.zeros(1)}, plain, {"licence": "MIT"})
    torch.save({"a": torch.zeros(1)}, saved)
    for path in (plain, saved):
        assert not is_described(path)
        for reader in (read_description, read):
            with pytest.raises(CCAFLError, match=f"{path.name}' does not describe its weights"):
                reader(path)
    assert not is_described(missing)
    for reader in (read_description, read):
        with pytest.raises(CCAFLError, match=r"missing.safetensors': it does not exist"):
            reader(missing)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("height", None, "lacks 'height'"),
        ("height", "tall", "description's height is 'tall', no number"),
        ("height", "-3", "height is -3, but must be a positive whole number"),
        ("width", "1.5", "width is 1.5"),
        ("norm_mean", "[1, 2]", "norm_mean is .* must be three numbers"),
        ("norm_std", "[0, 1, 1]", "norm_std is .* above 0"),
        ("norm_std", "[NaN, 1, 1]", "norm_std is .* three numbers"),
        ("interpolation", "bicubik", "Did you mean 'bicubic'"),
        ("activation", "relu", "'relu' is not available"),
        ("model", "", "it names no model"),
        ("ccafl_weights", "2", "is of format 2, and this version reads 1"),
    ],
)
def test_broken_descriptions_are_one_line(tmp_path: Path, entry: str, value: str | None, message: str) -> None:
    metadata = SMALL.to_metadata() | ({} if value is None else {entry: value})
    if value is None:
        del metadata[entry]
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata)
    with pytest.raises(CCAFLError, match=message) as error:
        read_description(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_entries_of_later_versions_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path, SMALL.to_metadata() | {"colour": "RGB"})
    assert read_description(path) == SMALL


def test_conflicts_name_both_values() -> None:
    described = dataclasses.replace(SMALL, activation="gelu")
    assert described.conflicts(height=64, norm_mean=[0.485, 0.456, 0.406], activation="gelu") == []
    assert described.conflicts(height=128, width=32, norm_std=[1, 1, 1], activation="") == [
        "height 128 instead of 64",
        "norm_std [1.0, 1.0, 1.0] instead of [0.229, 0.224, 0.225]",
        "activation none instead of gelu",
    ]


def test_the_digest_is_of_the_files_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_of_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
