"""The plugin's names in torchreid's builders of models, samplers, optimizers and schedulers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import nn

from ccafl_plugin.data.sampler_checks import SAMPLER_ARGUMENTS, check_torchreids_sampler
from ccafl_plugin.data.samplers import SAMPLERS
from ccafl_plugin.integration.changes import Change, new_entry, new_item, replace_everywhere
from ccafl_plugin.integration.torchreid_layout import attribute, require_parameters
from ccafl_plugin.models import clip
from ccafl_plugin.models.open_clip_models import is_open_clip
from ccafl_plugin.optim import parameter_groups, warmup_cosine, warmup_multi_step
from ccafl_plugin.options import options
from ccafl_plugin.utils.distributed import unwrap

SCHEDULERS = ("warmup_multi_step", "warmup_cosine")


def model_changes() -> list[Change]:
    """The names of ``BACKBONES`` in ``build_model``."""
    factory = attribute("models", "__model_factory", dict)
    return [new_item(factory, "model", name, clip_builder(name)) for name in clip.BACKBONES]


def build_model_changes() -> list[Change]:
    """``open_clip/...`` in ``build_model``: open_clip's own list of names is asked only for such a name."""
    original = attribute("models", "build_model")
    signature = require_parameters(original, "name", "num_classes", "loss", "pretrained", "use_gpu")

    @functools.wraps(original)
    def build_model(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        name = given.arguments["name"]
        if not (isinstance(name, str) and is_open_clip(name)):
            return original(*args, **kwargs)
        return clip.build_clip(**given.arguments)

    return replace_everywhere(original, build_model, "models", "utils.feature_extractor")


def clip_builder(name: str) -> Callable[..., nn.Module]:
    """The function that torchreid's ``build_model`` calls for ``name``."""

    def build(num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True) -> nn.Module:
        return clip.build_clip(name, num_classes, loss=loss, pretrained=pretrained, use_gpu=use_gpu)

    build.__name__ = build.__qualname__ = name
    return build


def sampler_changes() -> list[Change]:
    """The names of ``SAMPLERS`` in ``build_train_sampler`` and in its list of names."""
    names = attribute("data.sampler", "AVAI_SAMPLERS", list)
    original = attribute("data.sampler", "build_train_sampler")
    signature = require_parameters(original, "data_source", "train_sampler", "batch_size", "num_instances")

    @functools.wraps(original)
    def build_train_sampler(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        build = SAMPLERS.get(given.arguments["train_sampler"])
        if build is None:
            sizes: dict[str, Any] = {name: given.arguments.get(name) for name in SAMPLER_ARGUMENTS}
            check_torchreids_sampler(**sizes)
            return original(*args, **kwargs)
        return build(
            given.arguments["data_source"],
            batch_size=given.arguments["batch_size"],
            num_instances=given.arguments["num_instances"],
            iters_per_epoch=options.iters_per_epoch,
            seed=options.seed,
        )

    return [
        *(new_entry(names, "sampler", name) for name in SAMPLERS),
        *replace_everywhere(original, build_train_sampler, "data.sampler", "data.datamanager"),
    ]


class _Groups(nn.Module):
    """Passes parameter groups through torchreid's ``build_optimizer``, which calls ``parameters()`` of a module."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__()
        self.groups = groups

    def parameters(self, recurse: bool = True):  # noqa: ARG002
        return iter(self.groups)


def optimizer_changes() -> list[Change]:
    """``build_optimizer`` with parameter groups for the plugin's models: biases separate, frozen parameters left out.

    Nothing changes for torchreid's own models and for ``staged_lr=True``, which has its own groups. torchreid's code
    still creates all five of its optimizers, with torchreid's arguments.
    """
    original = attribute("optim.optimizer", "build_optimizer")
    signature = require_parameters(original, "model", "lr", "staged_lr")

    @functools.wraps(original)
    def build_optimizer(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        model = given.arguments["model"]
        grouped = options.bias_lr_for_all_models or getattr(unwrap(model), "is_ccafl_backbone", False)
        if isinstance(model, nn.Module) and grouped and not given.arguments["staged_lr"]:
            groups = parameter_groups(model, given.arguments["lr"], options.bias_lr_factor)
            given.arguments["model"] = _Groups(groups)
        return original(*given.args, **given.kwargs)

    return replace_everywhere(original, build_optimizer, "optim.optimizer", "optim")


def scheduler_changes() -> list[Change]:
    """``warmup_multi_step`` and ``warmup_cosine`` in ``build_lr_scheduler`` and in its list of names."""
    names = attribute("optim.lr_scheduler", "AVAI_SCH", list)
    original = attribute("optim.lr_scheduler", "build_lr_scheduler")
    signature = require_parameters(original, "optimizer", "lr_scheduler", "stepsize", "gamma", "max_epoch")

    @functools.wraps(original)
    def build_lr_scheduler(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        values = given.arguments
        warmup: dict[str, Any] = {"warmup_epochs": options.warmup_epochs, "warmup_factor": options.warmup_factor}
        if values["lr_scheduler"] == "warmup_multi_step":
            return warmup_multi_step(values["optimizer"], values["stepsize"], gamma=values["gamma"], **warmup)
        if values["lr_scheduler"] == "warmup_cosine":
            final = options.cosine_final_factor
            return warmup_cosine(values["optimizer"], values["max_epoch"], final_factor=final, **warmup)
        return original(*args, **kwargs)

    return [
        *(new_entry(names, "scheduler", name) for name in SCHEDULERS),
        *replace_everywhere(original, build_lr_scheduler, "optim.lr_scheduler", "optim"),
    ]
