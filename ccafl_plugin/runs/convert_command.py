"""The command that turns weights into a file that describes itself, for ``tools/convert_weights.py``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torchreid
from tabulate import tabulate
from torch import Tensor

from ccafl_plugin.config import load_config
from ccafl_plugin.features.zoo import ZOO, zoo_file
from ccafl_plugin.metrics import CameraStatistics
from ccafl_plugin.models import weights_description, weights_of_others
from ccafl_plugin.models.activation import ACTIVATIONS, activation_for
from ccafl_plugin.models.checkpoint_file import read_file
from ccafl_plugin.models.clip_files import architecture_of, is_clip_file
from ccafl_plugin.models.described_model import build_described
from ccafl_plugin.models.named_weights import SHIPPED, file_of_weights, is_shipped, read_weights_file
from ccafl_plugin.models.open_clip_models import image_size, preprocessing
from ccafl_plugin.models.pretrained import read_weights
from ccafl_plugin.models.state_dicts import tensors_of
from ccafl_plugin.models.trained_weights import fingerprint_of
from ccafl_plugin.models.weights_description import FEATURES, INTERPOLATIONS, DescribedWeights, is_described
from ccafl_plugin.models.weights_of_others import Conversion, Said
from ccafl_plugin.options import options
from ccafl_plugin.runs.conversion_report import every_tensor, report_lines
from ccafl_plugin.runs.described_weights import interpolation_of
from ccafl_plugin.runs.run_files import CONFIG_FILE
from ccafl_plugin.utils.commands import print_error
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import check_writable, write_text_whole, written_line

KEY = "weights"
TEXT_PARTS = ("token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: arguments; None: those of the process.

    Returns:
        0; 1 if the weights can't be converted; 2 for wrong arguments.
    """
    given = parser().parse_args(argv)
    if given.list:
        print(zoo_table())
        return 0
    try:
        if not given.weights or not given.out:
            raise CCAFLError("name the weights and --out FILE.safetensors, or ask for --list.")
        said = _said(given)
        check_writable(Path(given.out))
    except CCAFLError as error:
        print_error(error)
        return 2
    try:
        written = run(given, said)
    except CCAFLError as error:
        print_error(error)
        return 1
    print(written_line(Path(given.out).parent, written))
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = argparse.ArgumentParser(
        prog="ccafl-convert-weights",
        description="Turn weights into a file that describes itself: checkpoints of this package and of torchreid, "
        "the released models of CCAFL's authors and of CLIP-ReID, CLIP's files.",
    )
    made.add_argument("weights", nargs="?", default="", help="a file, or a name of --list")
    made.add_argument("--out", default="", metavar="FILE", help="the file to write, .safetensors")
    made.add_argument("--list", action="store_true", help="list published weights by name, with licence and data")
    made.add_argument("--download", action="store_true", help="fetch published weights that are not there yet")
    made.add_argument("--report", default="", metavar="FILE", help="write what became of every tensor into this file")
    described = made.add_argument_group("what the weights do not say themselves")
    described.add_argument("--model", default="", metavar="NAME", help="name of the model")
    described.add_argument("--size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"), help="of the input, in pixels")
    described.add_argument("--mean", nargs=3, type=float, metavar=("R", "G", "B"), help="subtracted from pixels")
    described.add_argument("--std", nargs=3, type=float, metavar=("R", "G", "B"), help="by which pixels are divided")
    described.add_argument("--interpolation", default="", choices=["", *INTERPOLATIONS], help="of the resizing")
    described.add_argument("--activation", default="", choices=["", *ACTIVATIONS], help="of transformers")
    described.add_argument("--feature", default="", choices=["", *FEATURES], help="which feature is meant")
    described.add_argument("--trained-on", default="", metavar="TEXT", help="the training data, in words")
    described.add_argument("--licence", default="", metavar="TEXT", help="of the weights, in words")
    beside = made.add_argument_group("what is put beside them")
    beside.add_argument("--text-encoder", default="", metavar="FILE", help="the CLIP file that the training began with")
    beside.add_argument("--camera-statistics", default="", metavar="FILE", help="that a test with these weights wrote")
    return made


def run(given: argparse.Namespace, said: Said) -> list[str]:
    """Converts, writes, and prints what became of the tensors.

    Args:
        given: the result of :func:`parser`.
        said: what the arguments say of the weights.

    Returns:
        Names of the written files.

    Raises:
        CCAFLError: the weights can't be read or converted.
    """
    file, of_zoo = file_of_weights(given.weights), Said()
    if given.weights in ZOO and not file.exists():
        file, of_zoo = zoo_file(given.weights, given.download), ZOO[given.weights].said
    elif not file.exists() and len(file.parts) == 1 and not file.suffix:
        zoo_file(given.weights)  # says which names there are
    if is_described(file) or is_shipped(file):
        content = _again(read_weights_file(file), said)
        made = Conversion(
            "the package's own" if is_shipped(file) else "already described",
            said,
            renamed={name: name for name in content.state},
        )
        model: Any = build_described(content, file)
    else:
        made, content, model = _converted(file, said.over(of_zoo))
    content = _with_extras(given, content, model, file)
    weights_description.save(given.out, content.description, content.state, content.text, content.cameras)
    lines = [*report_lines(made, file), f"Describes itself as: {content.description}"]
    print("\n".join(lines))
    written = [Path(given.out).name]
    if given.report:
        write_text_whole(Path(given.report), "\n".join(every_tensor(made)) + "\n")
        written.append(given.report)
    return written


def zoo_table() -> str:
    """Published weights with licence and training data."""
    rows = [[name, name, "rendered people", "MIT; comes with the package"] for name in SHIPPED]
    rows += [[name, entry.said.model, entry.said.trained_on, entry.said.licence] for name, entry in ZOO.items()]
    pages = sorted({entry.page for entry in ZOO.values()})
    table = tabulate(rows, headers=["name", "model", "trained on", "licence"], tablefmt="simple")
    return f"{table}\n\nPublished at {', '.join(pages)}. Nothing is fetched without --download."


def _said(given: argparse.Namespace) -> Said:
    return Said(
        model=given.model,
        size=None if given.size is None else tuple(given.size),
        norm_mean=None if given.mean is None else tuple(given.mean),
        norm_std=None if given.std is None else tuple(given.std),
        interpolation=given.interpolation,
        activation=given.activation,
        feature=given.feature,
        trained_on=given.trained_on,
        licence=given.licence,
    )


def _converted(file: Path, said: Said) -> tuple[Conversion, DescribedWeights, Any]:
    """The tensors of a file that does not describe itself, with their description, and the model with them."""
    contents = read_file(file, KEY)
    tensors = tensors_of(contents.value, file, KEY)
    said = said.over(_said_by_run(file))
    name = said.model or _model_in_name(file)
    if name in _names_of_torchreid():
        made = weights_of_others.of_torchreid(tensors, dataclasses.replace(said, model=name))
    elif any(name.removeprefix("module.").startswith("visual.") for name in tensors):
        return _of_clip(file, said)
    else:
        made = weights_of_others.convert(tensors, file, said)
    description, model = weights_of_others.described(made)
    return made, DescribedWeights(description, made.state, {}, None), model


def _of_clip(file: Path, said: Said) -> tuple[Conversion, DescribedWeights, Any]:
    """CLIP's own file: open_clip's model of its architecture, with the embedding as its feature."""
    state, activation = read_weights(file)
    if not is_clip_file(state):
        raise CCAFLError(f"{file}: it has an image encoder but no text encoder; name a whole CLIP file.")
    activation = activation_for(state, activation, said.activation, of_own=False, source=file, key=KEY)
    name = said.model or architecture_of(state, activation == "quick_gelu", file)
    mean, std, interpolation = preprocessing(name)
    known = Said(name, image_size(name), mean, std, interpolation, activation, feature="embedding")
    made = Conversion("CLIP's own", said.over(known))
    size = made.said.size or image_size(name)
    with options.override(clip_weights=str(file), clip_activation="", input_size=size):
        model: Any = torchreid.models.build_model(name, 1, loss="ccafl", pretrained=True).eval()
    made.state, text = model.state_dict(), model.text_encoder.state_dict()
    renames = {"visual.proj": "image_encoder.projection"}
    for old in state:
        new = renames.get(old, f"image_encoder.{old}")
        if new in made.state:
            made.renamed[old] = new
        elif old in text or f"text.{old}" in text:
            made.renamed[old] = f"text_encoder.{old if old in text else f'text.{old}'}"
        else:
            made.left_over[old] = weights_of_others.NOT_FOR_FEATURES
    description = weights_of_others.description_of(made.said, model)
    return made, DescribedWeights(description, made.state, text, None), model


def _said_by_run(file: Path) -> Said:
    """What the configuration beside a checkpoint says, ``RUN/config.yaml`` of ``RUN/model/model.pth.tar-N``."""
    config_file = file.parent.parent / CONFIG_FILE
    if not (file.name.startswith("model.pth.tar") and config_file.is_file()):
        return Said()
    config = load_config(config_file)
    print(f"{file}: described by {config_file}")
    data = config.data
    return Said(
        model=config.model.name,
        size=(data.height, data.width),
        norm_mean=tuple(data.norm_mean),
        norm_std=tuple(data.norm_std),
        interpolation=interpolation_of(config),
        trained_on=" + ".join(data.sources),
        licence=config.ccafl.licence,
    )


def _names_of_torchreid() -> set[str]:
    """Models of torchreid's own."""
    return {
        name for name in getattr(torchreid.models, "__model_factory") if not name.startswith(("clip_", "open_clip/"))
    }


def _model_in_name(file: Path) -> str:
    """torchreid's model with which a file's name begins, as in its zoo: osnet_x1_0_msmt17_256x128_....pth."""
    names = [name for name in _names_of_torchreid() if file.name.startswith((f"{name}_", f"{name}."))]
    return max(names, key=len, default="")


def _again(content: DescribedWeights, said: Said) -> DescribedWeights:
    """The same weights, described as somebody says."""
    known = {name: value for name, value in vars(said).items() if value and name != "size"}
    if said.size:
        known |= {"height": said.size[0], "width": said.size[1]}
    return dataclasses.replace(content, description=dataclasses.replace(content.description, **known))


def _with_extras(given: argparse.Namespace, content: DescribedWeights, model: Any, file: Path) -> DescribedWeights:
    """The weights with the text encoder and the camera statistics that the arguments name."""
    if given.text_encoder:
        if not getattr(model, "is_ccafl_backbone", False):
            raise CCAFLError(f"--text-encoder: {content.description.model} is no CLIP; leave it away.")
        state, _ = read_weights(Path(given.text_encoder).expanduser())
        content = dataclasses.replace(content, text=_text_of(state))
        build_described(content, file)  # complains of a text encoder of another CLIP
    if given.camera_statistics:
        what = f"--camera-statistics {given.camera_statistics}"
        statistics = CameraStatistics.load(given.camera_statistics, what)
        statistics.check(content.description.feature_dim, fingerprint=fingerprint_of(model), what=what)
        content = dataclasses.replace(content, cameras=statistics.to_tensors())
    return content


def _text_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in state.items() if name.startswith(TEXT_PARTS)}


if __name__ == "__main__":
    sys.exit(main())
