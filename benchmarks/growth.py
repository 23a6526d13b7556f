"""Memory and work that grow with the number of proxies and images, computed from the shapes of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

FLOAT, DOUBLE = 4, 8  # bytes
ROW_CAMERAS = 6  # of the rows' problems


@dataclass(frozen=True)
class Setting:
    """Sizes of model and data; the defaults are RN50's and the paper's."""

    proxies: int = 0  # N
    images: int = 0  # M
    cameras: int = 15  # C, as many as MSMT17 has
    dim: int = 2048  # D, of features
    text_dim: int = 1024  # of text features
    text_width: int = 512  # of a prompt's tokens
    prompt_length: int = 4
    instances: int = 32
    batch: int = 128  # B
    iterations: int = 200  # of an epoch
    stage1_epochs: int = 60
    queries: int = 10**4


class Memory(NamedTuple):
    """The memory of a part."""

    name: str
    where: str
    formula: str
    size: Callable[[Setting], int]  # bytes


class Work(NamedTuple):
    """The work of a part, and the row or report in the results that measures it."""

    name: str
    often: str
    formula: str
    amount: Callable[[Setting], float]  # in ``unit``
    unit: str
    row: str  # its name
    measured: Callable[[Mapping[str, Any]], float | None]  # a second's amount, from its entry in the results


def hybrid_memory(given: Setting) -> int:
    """Centroids, instances, the proxies' cameras, the cameras' first proxies."""
    rows = given.proxies * (given.instances + 1)
    return rows * given.dim * FLOAT + (given.proxies + given.cameras) * 8


def proxy_classifier(given: Setting) -> int:
    """Weight, gradient, Adam's two moments."""
    return 4 * given.proxies * given.dim * FLOAT


def cluster_memory(given: Setting) -> int:
    """At most one centre per proxy."""
    return given.proxies * given.dim * FLOAT


def prompts(given: Setting) -> int:
    """Tokens, their gradient, Adam's two moments; text features."""
    tokens = given.prompt_length * given.text_width
    return given.proxies * (4 * tokens + given.text_dim) * FLOAT


def features(given: Setting) -> int:
    """In float32, and once more in float64 for the proxies' means."""
    return given.images * given.dim * (FLOAT + DOUBLE)


def nearest_pairs(given: Setting) -> int:
    """The proxies' means in float64; two factors in float32 of two columns more."""
    return given.proxies * (given.dim * DOUBLE + 2 * (given.dim + 2) * FLOAT)


def margin(given: Setting) -> int:
    """The proxies' means in float64, the same standardised, and once more while a variance is taken."""
    return 3 * given.proxies * given.dim * DOUBLE


def on_the_gpu(given: Setting) -> int:
    """What grows with the proxies there."""
    return hybrid_memory(given) + proxy_classifier(given) + cluster_memory(given) + prompts(given)


BY_PROXIES = (
    Memory("ICDL's memory", "GPU", "N (K + 1) D x 4", hybrid_memory),
    Memory("proxy classifier with its optimizer", "GPU", "4 N D x 4", proxy_classifier),
    Memory("cluster memory, at most", "GPU", "N D x 4", cluster_memory),
    Memory("prompts with their optimizer, text features", "GPU", "N (4 x 4 x 512 + 1024) x 4", prompts),
    Memory("association nearest_pairs", "host", "N (16 D + 16)", nearest_pairs),
    Memory("association margin", "host", "24 N D", margin),
)
BY_IMAGES = (
    Memory("features at an epoch's start, at the peak", "GPU", "M D x 12", features),
    Memory(
        "gallery in an evaluation from features, twice", "host", "2 M D x 4", lambda s: 2 * s.images * s.dim * FLOAT
    ),
)


def _rate(amount: Callable[[Mapping[str, int]], float]) -> Callable[[Mapping[str, Any]], float]:
    """Of a row: the amount at its size, by its seconds."""
    return lambda row: amount(row["ours"]["size"]) / row["ours"]["seconds"]


def _images_per_second(work: str) -> Callable[[Mapping[str, Any]], float | None]:
    """Of the report of stage 2: the best of all settings, over the slowest kind of step."""

    def rate(report: Mapping[str, Any]) -> float | None:
        best: dict[str, float] = {}
        for line in report["figures"]:
            if line["work"].startswith(work) and line["work"].endswith("cuda"):
                best[line["work"]] = max(best.get(line["work"], 0.0), line["images/s"])
        return min(best.values(), default=None)

    return rate


WORK_BY_PROXIES = (
    Work(
        "ICDL's steps",
        "epoch",
        "200 x 2 x 32 D B N / C",
        lambda s: s.iterations * 2 * s.instances * s.dim * s.batch * s.proxies / s.cameras,
        "flop",
        "icdl",
        _rate(lambda row: 2 * 32 * row["dim"] * row["batch"] * row["proxies_"] / ROW_CAMERAS),
    ),
    Work(
        "ICAL's and the proxy classifier's steps",
        "epoch",
        "200 x 8 B N D",
        lambda s: s.iterations * 8 * s.batch * s.proxies * s.dim,
        "flop",
        "ical",
        _rate(lambda row: 8 * row["batch"] * row["proxies_"] * row["dim"]),
    ),
    Work(
        "association nearest_pairs",
        "epoch",
        "N^2 D (1 - 1 / C)",
        lambda s: s.proxies**2 * s.dim * (1 - 1 / s.cameras),
        "flop",
        "nearest_pairs",
        _rate(lambda row: row["proxies_"] ** 2 * row["dim"] * (1 - 1 / ROW_CAMERAS)),
    ),
    Work(
        "association margin",
        "epoch",
        "N^2 D (1 - 1 / C)",
        lambda s: s.proxies**2 * s.dim * (1 - 1 / s.cameras),
        "flop",
        "margin",
        _rate(lambda row: row["proxies_"] ** 2 * row["dim"] * (1 - 1 / ROW_CAMERAS)),
    ),
)
WORK_BY_IMAGES = (
    Work(
        "the encoder's steps",
        "epoch",
        "200 B, whatever M is",
        lambda s: s.iterations * s.batch,
        "images",
        "stage2",
        _images_per_second("step"),
    ),
    Work("extraction", "epoch", "M", lambda s: s.images, "images", "stage2", _images_per_second("extraction")),
    Work(
        "stage 1",
        "run",
        "60 M prompts",
        lambda s: s.stage1_epochs * s.images,
        "prompts",
        "stage1_text",
        _rate(lambda row: row["prompts"]),
    ),
    Work(
        "evaluation of 10 000 queries",
        "test",
        "2 Q M D",
        lambda s: 2 * s.queries * s.images * s.dim,
        "flop",
        "evaluate_features",
        _rate(lambda row: 2 * row["queries"] * row["gallery"] * row["dim"]),
    ),
    Work(
        "re-ranking of them",
        "test",
        "2 (Q + M)^2 D",
        lambda s: 2 * (s.queries + s.images) ** 2 * s.dim,
        "flop",
        "rerank_features",
        _rate(lambda row: 2 * (row["queries"] + row["gallery"]) ** 2 * row["dim"]),
    ),
)
