"""One step of the prompts through the text encoder, forward and backward."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.row import Row
from ccafl_plugin.models.prompts import PromptLearner, TextEncoder


class Problem(NamedTuple):
    encoder: TextEncoder
    prompts: PromptLearner
    wanted: Tensor  # (n,) which prompts
    gradient: Tensor  # (n, E) of the loss by the text features


def prepare(prompts: int, device: str) -> Problem:
    """RN50's text tower with random weights."""
    import open_clip

    torch.manual_seed(0)
    encoder = TextEncoder(open_clip.create_model("RN50-quickgelu")).to(device)
    learner = PromptLearner(prompts, encoder)
    return Problem(
        encoder, learner, torch.arange(prompts, device=device), torch.randn(prompts, encoder.embed_dim).to(device)
    )


def step(problem: Problem, length: int | None) -> dict[str, Tensor]:
    embeddings = problem.prompts.embeddings(problem.wanted)
    own = embeddings.shape[1]
    if length is not None:
        empty = problem.encoder.token_embedding.weight[0].expand(len(embeddings), length - own, -1)
        embeddings = torch.cat([embeddings, empty], dim=1)
    text = problem.encoder.encode(embeddings, own - 1)
    problem.prompts.context.grad = None
    text.backward(problem.gradient)
    return {"text": text, "gradient": problem.prompts.context.grad}


ROW = Row(
    name="stage1_text",
    title="stage 1, text encoder of RN50, 64 prompts, forward and backward",
    usual_title="CLIP's 77 tokens",
    sizes={"full": {"prompts": 64}, "quick": {"prompts": 2}},
    prepare=prepare,
    usual=lambda problem: step(problem, problem.encoder.context_length),
    ours=lambda problem: step(problem, None),
    tolerance=1e-4,
    on_gpu=True,
)
