"""The bytes that processes send each other are those of docs/scaling.md's formulas."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchreid
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ccafl_plugin.engine.shared_gradients import SharedGradients
from tests.engine.small_runs import IDENTITIES, make_engine
from tests.pages import REPOSITORY
from tests.ranks import in_ranks

PAGE = (REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")


def size(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def counting(counts: Counter[str], name: str, call: Callable[..., Any], bytes_of: Callable[..., int]) -> None:
    def counted(*given: Any, **named: Any) -> Any:
        counts[name] += bytes_of(*given)
        return call(*given, **named)

    setattr(torch.distributed, call.__name__, counted)


def test_bytes_of_an_epoch(pictures: Path, tmp_path: Path) -> None:
    def train(_: int) -> tuple[Counter[str], dict[str, int]]:
        counts: Counter[str] = Counter()
        counting(counts, "gathered", torch.distributed.all_gather, lambda found, _: sum(map(size, found)))
        counting(counts, "summed", torch.distributed.all_reduce, size)
        counting(counts, "sent", torch.distributed.broadcast, lambda tensor, *_: size(tensor))
        counting(counts, "sent", torch.distributed._broadcast_coalesced, lambda _, all_, *__: sum(map(size, all_)))
        engine = make_engine(pictures, accumulation=2)  # gradients are sent once, with those of the last part
        wrap = SharedGradients.wrap

        def wrap_and_count(self: SharedGradients, images: torch.Tensor) -> None:
            before = self._parallel
            wrap(self, images)
            if self._parallel is not before:
                self._parallel.register_comm_hook(None, hook)

        def hook(_, bucket):  # torch reads annotations, and not those of text
            counts["gradients"] += size(bucket.buffer())
            group = torch.distributed.group.WORLD
            work = torch.distributed.all_reduce(bucket.buffer().div_(2), group=group, async_op=True)
            counts["summed"] -= size(bucket.buffer())
            return work.get_future().then(lambda done: done.value()[0])

        SharedGradients.wrap = wrap_and_count
        engine.test = lambda **_: 0.0
        engine.run(save_dir=str(tmp_path / "log"), max_epoch=1)
        model = engine.model
        return counts, {
            "P": sum(each.numel() for each in model.parameters() if each.requires_grad),
            "D": model.feature_dim,
            "E": model.embedding_dim,
            "norms": sum(each.num_features for each in model.modules() if isinstance(each, _BatchNorm)),
            "parts": sum(size(each) for part in engine._models.values() for each in part.state_dict().values()),
            "prompts": sum(size(each) for each in engine._models["prompts"].state_dict().values()),
        }

    counts, sizes = in_ranks(2, train, tmp_path)[0]
    batch, steps, images = 8, 2, 18 * 3
    assert images == IDENTITIES * 9
    assert counts["gradients"] == steps * 4 * sizes["P"]
    outputs = steps * 4 * batch * (sizes["D"] + sizes["E"])
    assert counts["gathered"] == outputs + 4 * images * sizes["D"] + 4 * images * sizes["E"]  # and stage 1
    assert counts["summed"] == 4 * 2 * sizes["norms"]  # running statistics, once an epoch
    assert counts["sent"] == sizes["parts"] + sizes["prompts"]  # images are kept in common


def test_the_numbers_of_the_page() -> None:
    with torch.device("meta"):
        model = torchreid.models.build_model("clip_rn50", num_classes=1, loss="ccafl", pretrained=False)
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    pooling = sum(each.numel() for name, each in model.named_parameters() if "attnpool" in name)
    norms = [each.num_features for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    dim, embedding, images, proxies, batch = 2048, 1024, 12936, 3262, 128
    assert (model.feature_dim, model.embedding_dim) == (dim, embedding)
    rows = dict(re.findall(r"^\| ([^|]+) \| (?:step|epoch|test|run) \| [^|]+ \| ([^|]+) \|", PAGE, re.MULTILINE))
    expected = {
        "gradients": 4 * trained,
        "outputs": 4 * batch * (dim + embedding),
        f"`SyncBatchNorm`: {len(norms)} layers, 28 672 channels": 4 * (4 * sum(norms) + len(norms)),
        "features": 4 * images * dim,
        "pseudo identities": 8 * proxies,
        "features of a test (19 281 images)": 4 * 19281 * dim,
        "weights at the start": 4 * (trained + proxies * (dim + 4 * 512 + embedding)),
        "images that are kept (`ccafl.extraction_memory`), between machines": 3 * images * 256 * 128,
        "embeddings and prompts of stage 1": 4 * images * embedding + 4 * proxies * (4 * 512 + embedding),
    }
    for name, bytes_sent in expected.items():
        number, unit = rows[name].split()
        assert float(number) == round(bytes_sent / {"MB": 1e6, "kB": 1e3}[unit], number.partition(".")[2] != ""), name
    assert f"{4 * (trained - pooling) / 1e6:.0f} MB while no term reads text" in PAGE
    assert f"{4 * batch * dim / 1e6:.1f} MB while no term reads text" in PAGE
    step = expected["gradients"] + expected["outputs"]
    epoch = 200 * (step + 4 * (4 * sum(norms) + len(norms))) + expected["features"] + expected["pseudo identities"]
    assert (
        f"An epoch of 200 steps is {epoch / 1e9:.0f} GB, of which {200 * step / epoch:.1%}".replace("%", " %") in PAGE
    )
