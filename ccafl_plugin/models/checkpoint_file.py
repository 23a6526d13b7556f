"""The one way in which a file of weights or a checkpoint is read: nothing in it runs, every fault is one line.

Whatever wrote it (this package, torchreid, torch of any year, TorchScript, safetensors): the layout is known by the
content, never by the name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ccafl_plugin.models import tensor_archives
from ccafl_plugin.models.tensor_pickle import BadFile
from ccafl_plugin.models.torchscript import torchscript_state
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.file_kinds import head_of, not_a_file, wrong_kind

QUICK_GELU_FACTOR = "1.702"
"""What QuickGELU's program multiplies by, as in x * sigmoid(1.702 * x)."""
OF_OPENAI = {"input_resolution", "context_length", "vocab_size"}
"""Numbers that OpenAI's archives, and no others, list with their tensors; OpenAI trained with QuickGELU."""


@dataclass
class Contents:
    """What a file holds.

    Attributes:
        value: what was saved, tensors on the CPU; of safetensors and TorchScript a dict of tensors.
        activation: ``quick_gelu`` or ``gelu`` where a file says how its transformers compute, else empty.
        metadata: of a safetensors file.
    """

    value: Any
    activation: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


def read_file(file: str | Path, key: str) -> Contents:
    """Reads a file of tensors.

    Args:
        file: ``torch.save``'s of any version, TorchScript, or safetensors.
        key: the setting or argument that errors name.

    Raises:
        CCAFLError: it can't be read, or names anything else than tensors, numbers, texts and containers of these.
    """
    path = Path(file).expanduser()
    found = not_a_file(path)
    if found is None:
        try:
            return _read(path)
        except BadFile as error:
            found = str(error)
            found += "" if ";" in found else "; fetch or copy it again"
        except OSError as error:
            found = (error.strerror or type(error).__name__).lower()
    raise CCAFLError(f"{key}: can't read {str(file)!r}: {found}.")


def read_part(file: str | Path, key: str) -> dict[Any, Any]:
    """What a checkpoint's file holds: a dict, in torchreid's layout or of tensors by name.

    Args:
        file: as torchreid or this package writes it.
        key: the setting that errors name.

    Raises:
        CCAFLError: it can't be read, or holds something else.
    """
    value = read_file(file, key).value
    if not isinstance(value, dict):
        raise CCAFLError(
            f"{key}: can't read {str(file)!r}: it holds a {type(value).__name__}; expected are tensors by name."
        )
    return value


def _read(path: Path) -> Contents:
    head = head_of(path)
    if (found := wrong_kind(head)) is not None:
        raise BadFile(f"it is {found}")
    size = path.stat().st_size
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size:
        return _read_safetensors(path)
    if head.startswith(b"PK\x03\x04"):
        archive = tensor_archives.ZipArchive(path)
        try:
            if not archive.is_torchscript:
                return Contents(archive.load())
            state, program = torchscript_state(archive)
        finally:
            archive.close()
        if QUICK_GELU_FACTOR in program or state.keys() >= OF_OPENAI:
            return Contents(state, "quick_gelu")
        return Contents(state, "gelu" if "torch.gelu(" in program else "")
    if head[257:262] == b"ustar":
        return Contents(tensor_archives.read_tar(path))
    if head.startswith(b"\x80"):
        with path.open("rb") as file:
            return Contents(tensor_archives.read_stream(file, size))
    start = head[:8].hex(" ")
    raise BadFile(f"it begins with the bytes {start}, as no file of torch or safetensors does; fetch or copy it again")


def _read_safetensors(path: Path) -> Contents:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
            metadata = dict(file.metadata() or {})
            return Contents(tensors, metadata.get("activation", ""), metadata)
    except (SafetensorError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:80]
        raise BadFile(f"it begins like safetensors, but is cut off or damaged ({reason})") from error
