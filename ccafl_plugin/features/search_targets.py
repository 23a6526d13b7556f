"""Opens and builds whatever an address names: a file of features, a folder of faiss, a collection of Milvus."""

from __future__ import annotations

from pathlib import Path

from ccafl_plugin.features.exact_index import ExactIndex
from ccafl_plugin.features.faiss_index import FaissIndex, build_faiss
from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.milvus_index import COLLECTION, MilvusIndex, build_milvus
from ccafl_plugin.features.search_index import SearchIndex
from ccafl_plugin.utils.errors import CCAFLError

EXACT, FAISS, MILVUS = "exact", "faiss", "milvus"


def kind_of_target(address: str) -> str:
    """Which index an address means: ``http://...`` and ``....db`` Milvus, ``....safetensors`` exact, a folder faiss."""
    if "://" in address or address.endswith(".db"):
        return MILVUS
    return EXACT if address.endswith(".safetensors") else FAISS


def open_index(address: str, collection: str = COLLECTION) -> SearchIndex:
    """The index at an address.

    Args:
        address: see :func:`kind_of_target`.
        collection: of Milvus.

    Raises:
        CCAFLError: there is none, it is damaged, what it needs is not installed, or a server does not answer.
    """
    kind = kind_of_target(address)
    if kind == MILVUS:
        return MilvusIndex(address, collection)
    if kind == EXACT:
        return ExactIndex(FeatureSet.load(address))
    return FaissIndex(Path(address).expanduser())


def build_index(features: FeatureSet, address: str, collection: str = COLLECTION) -> str:
    """Builds the index that an address names; what was there is replaced.

    Args:
        features: what is to be found.
        address: see :func:`kind_of_target`.
        collection: of Milvus.

    Returns:
        A line that says what was built.

    Raises:
        CCAFLError: what it needs is not installed, or it can't be written.
    """
    kind = kind_of_target(address)
    if kind == MILVUS:
        build_milvus(features, address, collection)
        return f"{len(features)} features in the collection {collection!r} of Milvus"
    if kind == EXACT:
        features.save(address)
        return f"{len(features)} features in one file; every one is compared"
    folder = Path(address).expanduser()
    if folder.is_file():
        raise CCAFLError(f"{address} is a file; name a folder for faiss, or a name that ends in .safetensors or .db.")
    built = build_faiss(features, folder)
    if not built["cells"]:
        return f"{len(features)} features in an index of faiss; every one is compared"
    return (
        f"{len(features)} features in {built['cells']} cells of faiss; {built['cells_searched']} cells are searched, "
        f"which finds {built['recall']:.1%} of the true ten best (on a sample)"
    )
