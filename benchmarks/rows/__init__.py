"""The rows of the table, in their order; a new row is a file here and a name in this list."""

import ccafl_plugin  # noqa: F401  before torchreid, whose warning about its missing evaluator is out of place then
from benchmarks.row import Row
from benchmarks.rows import (
    attention_pooling,
    camera_rerank,
    evaluate_features,
    evaluate_rank,
    ical,
    icdl,
    margin,
    nearest_pairs,
    rerank,
    rerank_features,
    stage1_text,
)

ROWS: dict[str, Row] = {
    module.ROW.name: module.ROW
    for module in (
        evaluate_rank,
        evaluate_features,
        rerank,
        rerank_features,
        camera_rerank,
        nearest_pairs,
        margin,
        stage1_text,
        attention_pooling,
        icdl,
        ical,
    )
}
