"""What is written gives the model's features, at every batch size, and says what it is."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from ccafl_plugin.exporting import export, onnx_graph
from ccafl_plugin.exporting.agreement import closeness, largest_difference
from ccafl_plugin.exporting.export import ENDINGS, KINDS, export_model
from ccafl_plugin.exporting.feature_graph import INPUT_FORMS, FeatureGraph
from ccafl_plugin.models import ClipReID, build_clip
from ccafl_plugin.models.described_model import build_described
from ccafl_plugin.models.weights_description import WeightsDescription, read
from ccafl_plugin.options import options
from ccafl_plugin.utils.digests import digest_of_file
from ccafl_plugin.utils.errors import CCAFLError
from tests.features.conftest import SIZE, TINY

onnx = pytest.importorskip("onnx", reason="exporting to ONNX needs the extra [export]")
onnxruntime = pytest.importorskip("onnxruntime", reason="exporting to ONNX needs the extra [export]")

BATCHES = (1, 2, 7, 30)


@pytest.fixture(scope="module")
def tiny_files(tiny_model: ClipReID, tiny_weights: Path, crops: Path, tmp_path_factory) -> dict[str, export.Written]:
    """clip_tiny in every form, calibrated on the pictures."""
    out = tmp_path_factory.mktemp("exported") / "tiny"
    written = export_model(tiny_model, TINY, out, KINDS, images=str(crops), source=digest_of_file(tiny_weights))
    return dict(zip(KINDS, written, strict=True))


def pixels(count: int, height: int, width: int) -> torch.Tensor:
    """(count, 3, height, width) in [0, 1]; other pictures than those that the command itself tries."""
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(7))


def by_hand(model: torch.nn.Module, described: WeightsDescription, images: torch.Tensor) -> torch.Tensor:
    """(n, D) unit features of the model, one image at a time."""
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (described.norm_mean, described.norm_std))
    with torch.no_grad():
        return torch.cat([F.normalize(model(((image - mean) / std)[None]), dim=1) for image in images])


def run(file: Path, images: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["features"], {"images": images.numpy()})[0])


def check_batches(file: Path, model: torch.nn.Module, described: WeightsDescription) -> None:
    images = pixels(max(BATCHES), described.height, described.width)
    expected = by_hand(model, described, images)
    for size in BATCHES:
        found = run(file, images[:size])
        assert found.shape == (size, described.feature_dim) and found.dtype == torch.float32
        torch.testing.assert_close(found, expected[:size], rtol=0, atol=1e-4)


def test_onnx_of_clip_tiny_at_every_batch_size(tiny_files, tiny_model) -> None:
    check_batches(tiny_files["onnx"].file, tiny_model, TINY)
    assert tiny_files["onnx"].difference < 1e-4
    assert "largest difference to torch" in str(tiny_files["onnx"])


def test_onnx_of_osnet_at_every_batch_size(osnet_weights, tmp_path) -> None:
    content = read(osnet_weights)
    model = build_described(content, osnet_weights)
    export_model(model, content.description, tmp_path / "osnet")
    check_batches(tmp_path / "osnet.onnx", model, content.description)


@pytest.mark.slow  # two models of 38 and 86 million parameters, 30 images each: minutes
@pytest.mark.parametrize("name", ["clip_rn50", "clip_vit_b16"])
def test_onnx_of_the_large_models_at_every_batch_size(name: str, tmp_path) -> None:
    torch.manual_seed(5)
    with options.override(input_size=(256, 128)):
        model = build_clip(name, 1, "ccafl", pretrained=False).eval()
    described = WeightsDescription(name, 256, 128, model.feature_dim, activation="quick_gelu")
    narrow = export_model(model, described, tmp_path / name, ("onnx", "fp16", "int8", "pt2"))
    check_batches(tmp_path / f"{name}.onnx", model, described)
    for written in narrow:
        print(written)
    assert narrow[1].closeness.least_cosine > 0.999
    assert narrow[2].closeness.least_cosine > 0.9


def test_the_file_says_what_it_is(tiny_files, tiny_weights) -> None:
    model = onnx.load(tiny_files["onnx"].file)
    onnx.checker.check_model(model)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["model"] == "clip_tiny" and said["trained_on"] == "noise" and said["licence"] == "MIT"
    assert (said["height"], said["width"], said["feature_dim"]) == ("64", "32", "512")
    assert said["input_layout"] == "NCHW" and said["input_colour_order"] == "RGB"
    assert said["normalisation"] == "inside the graph" and json.loads(said["input_std"]) == [1, 1, 1]
    assert json.loads(said["norm_mean"]) == list(TINY.norm_mean)
    assert said["output_norm"] == "l2" and said["precision"] == "float32"
    assert said["source_sha256"] == digest_of_file(tiny_weights)
    (images,), (features,) = model.graph.input, model.graph.output
    dimensions = [[d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] for x in (images, features)]
    assert dimensions == [["batch", 3, 64, 32], ["batch", 512]]
    assert (images.name, features.name) == ("images", "features")


def test_float16(tiny_files, tiny_model) -> None:
    written = tiny_files["fp16"]
    assert written.closeness.least_cosine > 0.9999
    assert written.file.stat().st_size < 0.6 * tiny_files["onnx"].file.stat().st_size
    model = onnx.load(written.file)
    kinds = {each.name: each.data_type for each in model.graph.initializer}
    shown = onnx.shape_inference.infer_shapes(model).graph.value_info
    kinds |= {each.name: each.type.tensor_type.elem_type for each in shown}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions
    assert {kinds[node.input[1]] for node in convolutions} == {onnx.TensorProto.FLOAT16}
    powers = [node for node in model.graph.node if node.op_type == "Pow"]  # GeM's, which float16 would bring to 0
    assert kinds[powers[0].input[1]] == onnx.TensorProto.FLOAT
    images = pixels(3, *SIZE)
    found = run(written.file, images)  # input and output are float32
    assert found.dtype == torch.float32
    assert float((F.normalize(found, dim=1) * by_hand(tiny_model, TINY, images)).sum(dim=1).min()) > 0.9999


def test_int8_with_and_without_calibration(tiny_files, tiny_model, tmp_path) -> None:
    static = tiny_files["int8"]
    assert static.closeness.images == 30 and static.closeness.least_cosine > 0.95
    assert static.file.stat().st_size < 0.4 * tiny_files["onnx"].file.stat().st_size
    kinds = {node.op_type for node in onnx.load(static.file).graph.node}
    assert "QuantizeLinear" in kinds and "DynamicQuantizeLinear" not in kinds
    dynamic = export_model(tiny_model, TINY, tmp_path / "tiny", ["int8"])[0]
    assert "DynamicQuantizeLinear" in {node.op_type for node in onnx.load(dynamic.file).graph.node}
    assert "cosine to float32" in str(dynamic)
    images = pixels(3, *SIZE)
    expected = by_hand(tiny_model, TINY, images)
    for written in (static, dynamic):
        assert float((F.normalize(run(written.file, images), dim=1) * expected).sum(dim=1).min()) > 0.95


def test_torch_export(tiny_files, tiny_model) -> None:
    extra = {"description.json": ""}
    program = torch.export.load(tiny_files["pt2"].file, extra_files=extra).module()
    said = json.loads(extra["description.json"])
    assert said["model"] == "clip_tiny" and said["normalisation"] == "inside the graph"
    images = pixels(7, *SIZE)
    expected = by_hand(tiny_model, TINY, images)
    for size in (1, 2, 7):
        torch.testing.assert_close(program(images[:size]), expected[:size], rtol=0, atol=1e-5)


def test_every_form_of_input_gives_the_same_feature(tiny_model) -> None:
    images = pixels(3, *SIZE)
    expected = by_hand(tiny_model, TINY, images)
    given = {
        "pixels": images,
        "normalised": (images - torch.tensor(TINY.norm_mean).view(3, 1, 1)) / torch.tensor(TINY.norm_std).view(3, 1, 1),
        "imagenet": (images - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
    }
    assert set(given) == set(INPUT_FORMS)
    for form, inputs in given.items():
        with torch.no_grad():
            torch.testing.assert_close(FeatureGraph(tiny_model, TINY, form)(inputs), expected, rtol=0, atol=1e-5)
    with pytest.raises(CCAFLError, match=r"input: 'pixel' is not available\. Did you mean 'pixels'"):
        FeatureGraph(tiny_model, TINY, "pixel")


def test_the_embedding_is_exported_where_it_is_the_feature(tiny_model) -> None:
    described = WeightsDescription("clip_tiny", *SIZE, 128, feature="embedding", embedding_dim=128)
    images = pixels(2, *SIZE)
    with torch.no_grad():
        found = FeatureGraph(tiny_model, described, "normalised")(images)
        torch.testing.assert_close(found, F.normalize(tiny_model.image_embedding(images), dim=1))


def test_nothing_is_written_where_features_differ(tiny_model, tmp_path, monkeypatch) -> None:
    """The file of a graph whose input is shifted a little stands for an exporter that goes wrong."""
    write = export.write_onnx

    def write_wrong(graph: FeatureGraph, path: Path, half: bool = False) -> None:
        wrong = FeatureGraph(graph.model, graph.description)
        wrong.shift = wrong.shift + 0.1
        write(wrong, path, half)

    monkeypatch.setattr(export, "write_onnx", write_wrong)
    (tmp_path / "tiny.onnx").write_text("old")
    with pytest.raises(CCAFLError, match=r"^onnx: features of clip_tiny differ from torch's by .*nothing is written"):
        export_model(tiny_model, TINY, tmp_path / "tiny")
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.onnx"]
    assert (tmp_path / "tiny.onnx").read_text() == "old"


def test_a_model_that_no_exporter_takes_is_one_line(tmp_path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("not\neither")

    monkeypatch.setattr(onnx_graph, "_by_torch_export", fail)  # the real one takes seconds to find out

    class Odd(torch.nn.Module):
        """Its output depends on the values of its input in a way that no graph can follow."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(images.mean(1)[:, :4, :4]).real.repeat(1, 2)

    described = WeightsDescription("odd", 8, 8, 8)
    message = r"^odd can't be exported to ONNX: .*eig.* \(and by torch\.export: not either\)$"
    with pytest.raises(CCAFLError, match=message) as error:
        export_model(Odd(), described, tmp_path / "odd")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_of_one_batch_size_is_not_taken(tmp_path, monkeypatch) -> None:
    """Tracing writes the example's batch into such a model; the newer exporter would be asked then."""
    asked = []

    def fail(*_: object) -> None:
        asked.append(1)
        raise RuntimeError("neither")

    class Fixed(torch.nn.Module):
        """It reads the batch's size as a plain number."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.reshape(int(images.shape[0]), -1)[:, :8]

    monkeypatch.setattr(onnx_graph, "_by_torch_export", fail)
    with pytest.raises(CCAFLError, match=r"^fixed can't be exported to ONNX: the size of its batch is fixed ") as error:
        export_model(Fixed(), WeightsDescription("fixed", 8, 8, 8), tmp_path / "fixed")
    assert asked and "\n" not in str(error.value)


def test_float16_that_is_none_is_refused(tiny_model, tmp_path, monkeypatch) -> None:
    """As with a torch whose autocast knows no float16 on the CPU."""
    monkeypatch.setattr(onnx_graph.torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(onnx_graph, "_by_torch_export", onnx_graph._by_tracing)
    with pytest.raises(CCAFLError, match="this torch has no float16 on the CPU; update it"):
        export_model(tiny_model, TINY, tmp_path / "tiny", ["fp16"])


def test_a_wrong_description_is_refused(tiny_model, tmp_path) -> None:
    described = dataclasses.replace(TINY, feature_dim=128)
    with pytest.raises(CCAFLError, match="clip_tiny gives 512 numbers for an image, but its description says 128"):
        export_model(tiny_model, described, tmp_path / "tiny")


@pytest.mark.slow  # torch's newer exporter takes 10 seconds
def test_the_newer_exporter_stands_in_for_the_older(tiny_model, tmp_path, monkeypatch) -> None:
    pytest.importorskip("onnxscript", reason="torch's newer exporter needs onnxscript")

    def fail(*_: object) -> None:
        raise RuntimeError("gone")

    monkeypatch.setattr(onnx_graph, "_by_tracing", fail)
    export_model(tiny_model, TINY, tmp_path / "tiny")
    check_batches(tmp_path / "tiny.onnx", tiny_model, TINY)


def test_agreement_by_hand() -> None:
    reference = F.normalize(torch.rand(5, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    inputs = torch.arange(5.0)
    assert largest_difference(reference, lambda x: reference[: len(x)] + 0.25 * (len(x) == 3), inputs, (1, 3)) == (
        pytest.approx(0.25)
    )
    assert largest_difference(reference, lambda x: reference[: len(x)] * torch.nan, inputs, (1,)) == torch.inf
    other = F.normalize(reference + torch.rand(5, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    found = closeness(reference, 3 * other)
    cosines = [float(reference[i] @ other[i]) for i in range(5)]
    pairs = [(i, j) for i in range(5) for j in range(i)]
    changes = [abs(float(reference[i] @ reference[j]) - float(other[i] @ other[j])) for i, j in pairs]
    assert found.mean_cosine == pytest.approx(sum(cosines) / 5, abs=1e-6)
    assert found.least_cosine == pytest.approx(min(cosines), abs=1e-6)
    assert found.similarity_change == pytest.approx(max(changes), abs=1e-6)


def test_endings_are_told_apart() -> None:
    assert len(set(ENDINGS.values())) == len(KINDS)
