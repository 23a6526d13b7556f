"""The one door through which anything comes from the network: https only, whole files only, checked before use."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.file_kinds import HEAD, head_of, not_a_file, wrong_kind
from ccafl_plugin.utils.files import write_whole

SCHEMES = ("https",)
TIMEOUT = 30.0
"""Seconds without an answer, or without a byte, after which a download is given up."""
CHUNK = 2**20


class _Refused(Exception):
    """A download that must not be used; the text says why."""


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows no redirection from https to something else."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_scheme(url: str) -> None:
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise _Refused(f"it is at {scheme or 'no'}://, where anyone on the way can put another file in its place")


def checksum_in_name(url: str) -> str:
    """The beginning of the SHA-256 in a file's name, by torch's custom: ``5c106cde`` in ``resnet18-5c106cde.pth``."""
    found = re.search(r"-([0-9a-f]{8,64})\.", os.path.basename(urllib.parse.urlsplit(url).path))
    return found[1] if found else ""


def fetch(url: str, file: Path, what: str, otherwise: str, sha256: str = "") -> Path:
    """A file from the network, or the one that is in its place already.

    Args:
        url: where it is.
        file: where it goes; what is there already is taken if it has the checksum.
        what: the thing in a message, such as ``ImageNet weights of resnet18``.
        otherwise: what else a user can do, for messages, such as ``set model.pretrained False``.
        sha256: the beginning of its checksum in hexadecimal digits; empty: none is known.

    Returns:
        ``file``.

    Raises:
        CCAFLError: the address is not https, there is no network, or what came is cut off, a web page, or has another
            checksum. Nothing is left at ``file`` then, nor beside it.
    """
    reason = ""
    try:
        if file.exists() or file.is_symlink():
            if (found := not_a_file(file)) is not None:
                raise _Refused(f"{file} is in its place, and {found}")
            if _has_checksum(file, sha256):
                return file
        _check_scheme(url)
        print(f'Downloading: "{url}" to {file}', flush=True)
        write_whole(file, lambda partial: _download(url, partial, sha256))
        return file
    except _Refused as error:
        reason = str(error)
    except urllib.error.HTTPError as error:
        reason = " ".join(f"the server says {error.code} {error.reason}".split())
    except Exception as error:  # whatever a network, a proxy, a certificate or a disk has to say
        reason = " ".join(str(error).split()) or type(error).__name__
    raise CCAFLError(
        f"{what} can't be downloaded ({reason}). Fetch {url} by a way that you trust and save it as {file}, "
        f"or {otherwise}."
    )


def fetch_from_drive(identity: str, file: Path, what: str, otherwise: str) -> Path:
    """A file from Google Drive, by ``gdown``, or the one that is in its place already.

    Google Drive gives no checksum, and a web page in place of a file that is gone or asked for too often.

    Args:
        identity: of the file at Google Drive.
        file: where it goes; what is there already is taken.
        what: the thing in a message.
        otherwise: what else a user can do, for messages.

    Returns:
        ``file``.

    Raises:
        CCAFLError: there is no network, or what came is a web page or another wrong kind; nothing is left at ``file``.
    """
    url = f"https://drive.google.com/file/d/{identity}/view"
    reason = ""
    try:
        if file.exists() or file.is_symlink():
            if (found := not_a_file(file)) is not None:
                raise _Refused(f"{file} is in its place, and {found}")
            return file
        print(f'Downloading: "{url}" to {file}', flush=True)
        write_whole(file, lambda partial: _download_from_drive(identity, partial))
        return file
    except Exception as error:  # gdown has errors of its own, and passes on those of network and disk
        reason = " ".join(str(error).split()) or type(error).__name__
    raise CCAFLError(
        f"{what} can't be downloaded ({reason[:200]}). Fetch {url} by a way that you trust and save it as {file}, "
        f"or {otherwise}."
    )


def _download_from_drive(identity: str, partial: Path) -> None:
    """
    Raises:
        _Refused: what came is no file of weights.
    """
    import gdown

    if gdown.download(id=identity, output=str(partial), quiet=True) is None or not partial.is_file():
        raise _Refused("Google Drive gave no file")
    if (found := wrong_kind(head_of(partial)[:HEAD])) is not None:
        raise _Refused(f"what came is {found}")


def _has_checksum(file: Path, sha256: str) -> bool:
    if not sha256:
        return True
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest().startswith(sha256)


def _download(url: str, partial: Path, sha256: str) -> None:
    """
    Raises:
        _Refused: what came is not the whole file.
        OSError: no network, no disk.
    """
    opener = urllib.request.build_opener(_SameScheme())
    request = urllib.request.Request(url, headers={"User-Agent": "ccafl_plugin"})
    received = 0
    with opener.open(request, timeout=TIMEOUT) as answer, partial.open("wb") as file:
        promised = answer.headers.get("Content-Length", "")
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            received += len(chunk)
    if promised.isdecimal() and received != int(promised):
        raise _Refused(f"only {received} of {promised} bytes came")
    if (found := wrong_kind(head_of(partial)[:HEAD])) is not None:
        raise _Refused(f"what came is {found}")
    if not _has_checksum(partial, sha256):
        raise _Refused(f"what came has another checksum than {sha256}")
