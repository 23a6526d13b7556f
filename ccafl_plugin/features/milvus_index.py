"""Search in a collection of Milvus: on a server or cluster by its address, or in a file of milvus-lite."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ccafl_plugin.features.feature_set import NUMBER_COLUMNS, TEXT_COLUMNS, FeatureSet
from ccafl_plugin.features.search_index import Filter, Hit, SearchIndex, cameras_of
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.progress import Progress

COLLECTION = "ccafl_features"
VECTOR, ROW = "feature", "row"
UNKNOWN_NUMBER = -(2**62)
"""In the place of an unknown frame or time: a field of Milvus has a value in every row."""
LONGEST_TEXT = 4096
"""Bytes of a path or a name."""
MOST_CAMERAS = 200
"""Whose names are kept with the collection, so that an unknown one is noticed."""
BATCH = 1000
"""Features sent at a time: 4 MB for 1000 numbers each."""
ANSWER_SECONDS = 10.0
"""For which a server's first answer is waited."""
REQUEST_SECONDS = 60.0
"""For which the answer to a later request is waited."""
SECONDS_PER_FEATURE = 1e-3
"""Added for each feature where a server writes or loads all of them before it answers."""
POLL_SECONDS = 1.0
"""Between two questions how far the graph is."""
INDEX = {"index_type": "HNSW", "metric_type": "COSINE", "params": {"M": 16, "efConstruction": 200}}
EXPLORED = 256
"""Images that a search keeps in view in the graph; the graph's own default, 64, misses more."""
FORMAT = "1"
PROPERTY = "ccafl.features"
"""Of a collection in milvus-lite: what a server keeps as its description."""


class MilvusIndex(SearchIndex):
    """A collection of Milvus.

    Args:
        address: ``http://host:19530``, or the path of a file that ends in ``.db`` for milvus-lite. A token or
            ``user:password`` is read from the environment variable ``MILVUS_TOKEN``.
        collection: its name.

    Raises:
        CCAFLError: pymilvus is missing, the server does not answer, or it has no such collection of this package.
    """

    def __init__(self, address: str, collection: str = COLLECTION) -> None:
        self.address, self.collection = address, collection
        self._client = connect(address)
        with _one_line(address):
            if not self._client.has_collection(collection, timeout=_limit(address)):
                raise CCAFLError(f"{address} has no collection {collection!r}; build it with tools/search.py build.")
            facts = _kept_facts(self._client, address, collection)
            counted = self._client.get_collection_stats(collection, timeout=_limit(address))
            self._count = int(counted["row_count"])
            if self._count != facts.get("images", self._count):
                raise CCAFLError(
                    f"{address}: the collection {collection!r} holds {self._count} of {facts['images']} images, as "
                    "after a build that was stopped; build it again."
                )
            self._client.load_collection(collection, timeout=_limit(address, self._count))
        super().__init__(facts["weights"], facts["description"], facts["dim"], facts["known"], facts["cameras"])

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def _search(self, queries: Tensor, top: int, only: Filter) -> list[list[Hit]]:
        with _one_line(self.address):
            found = self._client.search(
                self.collection,
                data=queries.tolist(),
                anns_field=VECTOR,
                limit=top,
                filter=expression(only),
                search_params={"metric_type": INDEX["metric_type"], "params": {"ef": max(EXPLORED, top)}},
                output_fields=list(self.known),
                timeout=REQUEST_SECONDS,
            )
        return [[self._hit(each) for each in hits] for hits in found]

    def _hit(self, found: Any) -> Hit:
        facts = {name: found["entity"][name] for name in self.known}
        known = {name: value for name, value in facts.items() if value not in ("", UNKNOWN_NUMBER)}
        return Hit(int(found[ROW] if ROW in found else found["id"]), float(found["distance"]), known)


def build_milvus(features: FeatureSet, address: str, collection: str = COLLECTION) -> None:
    """Writes features into a collection; one of this name is replaced if it is of this package.

    Args:
        features: what is to be found.
        address: as for :class:`MilvusIndex`.
        collection: its name.

    Raises:
        CCAFLError: pymilvus is missing, the server does not answer or refuses, or the name is taken by other data.
    """
    if not len(features):
        raise CCAFLError("There are no features to build an index of.")
    for name in TEXT_COLUMNS:
        longest = max(features.columns.get(name, [""]), key=len)
        if len(longest.encode()) > LONGEST_TEXT:
            raise CCAFLError(f"{name} {longest[:40]!r}... has more than {LONGEST_TEXT} bytes, too many for Milvus.")
    client = connect(address)
    limit, longer = _limit(address), _limit(address, len(features))
    with _one_line(address):
        if client.has_collection(collection, timeout=limit):
            _kept_facts(client, address, collection)  # refuses what is not ours
            client.drop_collection(collection, timeout=limit)
        facts = _facts(features)
        # milvus-lite forgets descriptions; what properties a server takes is the server's affair.
        kept = {"properties": {PROPERTY: facts}} if _is_file(address) else {}
        client.create_collection(collection, schema=_schema(client, features, facts), timeout=limit, **kept)
        names = list(features.columns)
        with Progress(len(features), "features") as progress:
            for first in range(0, len(features), BATCH):
                unit = F.normalize(features.features[first : first + BATCH], dim=1).numpy()
                rows = [
                    {ROW: first + place, VECTOR: vector, **_values(features, names, first + place)}
                    for place, vector in enumerate(unit)
                ]
                client.insert(collection, rows, timeout=limit)
                progress.add(len(rows))
        client.flush(collection, timeout=longer)
        indices = client.prepare_index_params()
        indices.add_index(VECTOR, index_name=VECTOR, **INDEX)
        client.create_index(collection, indices, timeout=limit, sync=_is_file(address))
        if not _is_file(address):
            _wait_for_graph(client, address, collection, len(features))
        client.load_collection(collection, timeout=longer)
    client.close()


def _wait_for_graph(client: Any, address: str, collection: str, features: int) -> None:
    """Asks a server again and again how far it is, however long it takes, as long as it answers."""
    with Progress(features, "features in the graph") as progress:
        while True:
            found = client.describe_index(collection, VECTOR, timeout=_limit(address))
            if found["state"] == "Failed":
                why = found.get("index_state_fail_reason") or "it does not say why"
                raise CCAFLError(f"Milvus at {address} can't build the graph: {why}. Look into the server's log.")
            progress.add(max(int(found.get("indexed_rows", 0)) - progress.done, 0))
            if found["state"] == "Finished":
                return
            time.sleep(POLL_SECONDS)


def _limit(address: str, features: int = 0) -> float | None:
    """Seconds for which an answer is waited; a file of milvus-lite is in this process, and may take its time."""
    return None if _is_file(address) else REQUEST_SECONDS + SECONDS_PER_FEATURE * features


def _is_file(address: str) -> bool:
    return address.endswith(".db")


def connect(address: str) -> Any:
    """A client of Milvus.

    Raises:
        CCAFLError: pymilvus or milvus-lite is missing, or nobody answers.
    """
    try:
        module = importlib.import_module("pymilvus")
        if _is_file(address):
            importlib.import_module("milvus_lite")
    except ImportError as error:
        what = "A file of milvus-lite" if _is_file(address) else "A Milvus server"
        raise CCAFLError(f"{what} needs pymilvus: pip install 'ccafl_plugin[milvus]'.") from error
    # milvus-lite ends a connection whose client asks every ten seconds whether it is there, in the midst of long work.
    connection = {"grpc_options": {"grpc.keepalive_time_ms": 2**30}} if _is_file(address) else {}
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # what it would log is said in one line
    with _one_line(address):
        token = os.environ.get("MILVUS_TOKEN", "")
        try:
            return module.MilvusClient(uri=address, token=token, timeout=ANSWER_SECONDS, **connection)
        except ValueError as error:  # such as a port that can't be
            raise CCAFLError(f"{address}: {error}; expected is http://HOST:PORT.") from error


def expression(only: Filter) -> str:
    """A filter in Milvus' words; empty: everything."""
    parts = []
    if only.cameras:
        parts.append(f"camera in {_listed(only.cameras)}")
    if only.without:
        parts.append(f"camera not in {_listed(only.without)}")
    if only.since is not None or only.until is not None:
        parts.append(f"time > {float(UNKNOWN_NUMBER)!r}")
    if only.since is not None:
        parts.append(f"time >= {float(only.since)!r}")
    if only.until is not None:
        parts.append(f"time < {float(only.until)!r}")
    return " and ".join(parts)


def _listed(names: tuple[str, ...]) -> str:
    return json.dumps(list(names), ensure_ascii=False)


def _values(features: FeatureSet, names: list[str], row: int) -> dict[str, Any]:
    values = {name: features.columns[name][row] for name in names}
    return {name: UNKNOWN_NUMBER if value is None else value for name, value in values.items()}


def _facts(features: FeatureSet) -> str:
    """What has to be known of a collection to search it."""
    cameras = cameras_of(features.columns)
    facts = {
        "format": FORMAT,
        "images": len(features),
        "weights": features.weights,
        "description": features.description,
        "dim": features.features.shape[1],
        "known": list(features.columns),
        "cameras": cameras if len(cameras) <= MOST_CAMERAS else None,
    }
    return json.dumps(facts)


def _kept_facts(client: Any, address: str, collection: str) -> dict[str, Any]:
    """What :func:`_facts` wrote into a collection.

    Raises:
        CCAFLError: the collection is not of this package.
    """
    described = client.describe_collection(collection, timeout=_limit(address))
    try:
        facts: dict[str, Any] = json.loads(described.get("properties", {}).get(PROPERTY) or described["description"])
        if facts.keys() >= {"weights", "description", "dim", "known", "cameras"}:
            return facts
    except (KeyError, ValueError, TypeError, AttributeError):
        pass
    raise CCAFLError(f"{address}: the collection {collection!r} is not of tools/search.py; name another one.")


def _schema(client: Any, features: FeatureSet, facts: str) -> Any:
    kinds = importlib.import_module("pymilvus").DataType
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False, description=facts)
    schema.add_field(ROW, kinds.INT64, is_primary=True)
    schema.add_field(VECTOR, kinds.FLOAT_VECTOR, dim=features.features.shape[1])
    for name in features.columns:
        if name in NUMBER_COLUMNS:
            schema.add_field(name, kinds.INT64 if name == "frame" else kinds.DOUBLE)
        else:
            schema.add_field(name, kinds.VARCHAR, max_length=LONGEST_TEXT)
    return schema


@contextlib.contextmanager
def _one_line(address: str) -> Iterator[None]:
    """Errors of pymilvus, and those of grpc that it lets through, as one line."""
    of_milvus, of_grpc = importlib.import_module("pymilvus.exceptions"), importlib.import_module("grpc")
    try:
        yield
    except (of_milvus.MilvusException, of_grpc.RpcError) as error:
        said: Any = error
        # Those of grpc are many lines of text, but know a code and details.
        text = f"{said.code().name}: {said.details()}" if isinstance(error, of_grpc.RpcError) else str(error)
        reason = " ".join(text.split())[:160]
        raise CCAFLError(
            f"Milvus at {address} does not answer, or refuses: {reason}. Check address and server."
        ) from error
