"""Checks a configuration before any data or model is loaded.

Rules of a single class are in that class. They are called here with the configuration's values, and their errors name
keys instead of arguments (:func:`~ccafl_plugin.config.argument_keys.named_by_keys`). This module itself checks names,
files, and dependencies between keys of different classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from ccafl_plugin.association import ASSOCIATIONS
from ccafl_plugin.config.argument_keys import named_by_keys
from ccafl_plugin.config.arguments import make_terms, own_data
from ccafl_plugin.config.shipped_files import config_file, configs_folder
from ccafl_plugin.data.proxy_batches import check_sizes
from ccafl_plugin.data.samplers import SAMPLERS
from ccafl_plugin.engine.argument_checks import check_any_term, check_views
from ccafl_plugin.engine.encoder_pass import PRECISIONS, check_parts
from ccafl_plugin.engine.stage1 import SCOPES, PromptStage
from ccafl_plugin.engine.supervision import SUPERVISIONS, Supervision, check_ids
from ccafl_plugin.integration import torchreid_names as names
from ccafl_plugin.losses.icdl import REDUCTIONS
from ccafl_plugin.metrics import CameraStatistics
from ccafl_plugin.models import BACKBONES, check_compile, check_prompt_length, is_clip, reads_prompts
from ccafl_plugin.models.activation import ACTIVATIONS
from ccafl_plugin.models.open_clip_models import architecture, check_weights, is_open_clip
from ccafl_plugin.own_settings import ID_SCOPES
from ccafl_plugin.synthetic.renderer.cameras import check_cameras
from ccafl_plugin.synthetic.renderer.picture_plan import SIZES
from ccafl_plugin.terms import check_windows, order_by_needs
from ccafl_plugin.utils.camera_moments import MODES, TEST_MODES
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.ranges import check_argument
from ccafl_plugin.utils.trees import leaves

LOSSES = ("softmax", "triplet", "ccafl")


def allowed_names() -> dict[str, Callable[[], list[str]]]:
    """Key -> its allowed names; the items of a list are checked one by one."""
    return {
        "model.name": names.model_names,
        "data.type": lambda: ["image"],
        "data.sources": lambda: list(names.dataset_classes()),
        "data.targets": lambda: list(names.dataset_classes()),
        "data.transforms": names.transform_names,
        "sampler.train_sampler": names.sampler_names,
        "sampler.train_sampler_t": names.sampler_names,
        "train.optim": names.optimizer_names,
        "train.lr_scheduler": names.scheduler_names,
        "loss.name": lambda: list(LOSSES),
        "test.dist_metric": lambda: ["euclidean", "cosine"],
        "test.camera_normalization": lambda: ["none", *TEST_MODES],
        "ccafl.clip_activation": lambda: ["", *ACTIVATIONS],
        "ccafl.supervision": lambda: list(SUPERVISIONS),
        "ccafl.data.ids": lambda: list(ID_SCOPES),
        "ccafl.association.name": lambda: list(ASSOCIATIONS),
        "ccafl.association.nearest_pairs.camera_normalization": lambda: ["none", *MODES],
        "ccafl.stage1.scope": lambda: list(SCOPES),
        "ccafl.terms.icdl.reduction": lambda: list(REDUCTIONS),
        "ccafl.synthetic.size": lambda: list(SIZES),
        "ccafl.precision": lambda: list(PRECISIONS),
        "ccafl.extraction_precision": lambda: list(PRECISIONS),
        "ccafl.matmul_precision": lambda: ["highest", "high", "medium"],
    }


def check_config(config: CfgNode, check_files: bool = True) -> None:
    """Checks names, ranges, files and settings that depend on each other.

    Args:
        config: the merged tree.
        check_files: whether files that it names must exist.

    Raises:
        CCAFLError: the first mistake found.
    """
    with named_by_keys():
        _check(config)
        if check_files:
            _check_files(config)
            _check_statistics(config)


def _check(config: CfgNode) -> None:
    for key, value in leaves(config):
        _check_text(key, value)
        check_argument(key, value)
    for key, allowed in allowed_names().items():
        for name in _as_list(_get(config, key)):
            if key == "model.name" and is_open_clip(name):
                architecture(name)  # says what is wrong with it
            elif name not in allowed():
                raise unknown_name(key, name, allowed())
    if config.test.visrank and not config.test.evaluate:
        raise CCAFLError("test.visrank: ranked lists are only drawn with test.evaluate True. Set it, or this to False.")
    if config.sampler.train_sampler in SAMPLERS:
        check_sizes(config.train.batch_size, config.sampler.num_instances, config.ccafl.iters_per_epoch)
    check_cameras(config.ccafl.synthetic.cameras)
    _check_data(config)
    _check_cameras(config)
    own_data(config)
    _check_switches(config)
    if config.loss.name == "ccafl":
        _check_ccafl(config)
    else:
        _check_torchreids_engines(config)


def _check_text(key: str, value: Any) -> None:
    """Refuses words that no file, folder or name can hold."""
    for word in _as_list(value):
        if isinstance(word, str) and "\0" in word:
            raise CCAFLError(f"{key}: {word!r} holds a zero byte; no file or name does.")


def _check_files(config: CfgNode) -> None:
    """Checks that named files exist and can be used together."""
    named = ["model.load_weights"]
    if is_open_clip(config.model.name) and config.ccafl.clip_weights:
        check_weights(config.model.name, config.ccafl.clip_weights)
    else:
        named.append("ccafl.clip_weights")
    for key in named:
        if _get(config, key) and not Path(_get(config, key)).is_file():
            raise CCAFLError(f"{key}: there is no file {_get(config, key)!r}.")
    if config.ccafl.published_settings and not config_file(config.ccafl.published_settings).is_file():
        raise CCAFLError(
            f"ccafl.published_settings: there is no configuration {config.ccafl.published_settings!r} in the working "
            f"folder or in {configs_folder()}."
        )
    resume = "" if config.model.resume == "auto" else config.model.resume  # what it means, the command finds out
    for key, path in (("model.resume", resume), ("ccafl.branch_from", config.ccafl.branch_from)):
        if path and not Path(path).exists():
            raise CCAFLError(f"{key}: there is no file or folder {path!r}.")
    if resume and config.ccafl.branch_from:
        raise CCAFLError("ccafl.branch_from: a run with model.resume cannot branch. Set only one of the two.")
    if config.ccafl.branch_from and config.loss.name != "ccafl":
        raise CCAFLError("ccafl.branch_from: only runs with loss.name ccafl can branch. Set loss.name ccafl.")
    if config.loss.name != "ccafl" and resume and Path(resume).is_dir():
        raise CCAFLError(
            f"model.resume: {config.model.resume!r} is a folder, but with loss.name {config.loss.name} torchreid needs "
            "a file. Name one, such as log/model/model.pth.tar-10."
        )


def _check_data(config: CfgNode) -> None:
    """Checks settings with which torchreid's data manager or schedules would fail later."""
    data, train = config.data, config.train
    for key, names_given in (("data.sources", data.sources), ("data.targets", data.targets)):
        if not names_given:
            raise CCAFLError(f"{key}: there is no dataset. Name one or more, e.g. ['market1501'].")
    if data.load_train_targets and set(data.sources) & set(data.targets):
        raise CCAFLError("data.load_train_targets: it must be False if a dataset is both a source and a target.")
    for key, numbers in (("data.norm_mean", data.norm_mean), ("data.norm_std", data.norm_std)):
        if len(numbers) != 3:
            raise CCAFLError(f"{key}: it needs three numbers, for red, green and blue; found {list(numbers)!r}.")
    sgd = config.sgd
    if train.optim == "sgd" and sgd.nesterov and (sgd.momentum <= 0 or sgd.dampening != 0):
        raise CCAFLError("sgd.nesterov: True needs sgd.momentum above 0 and sgd.dampening 0; change these, or it.")
    if train.lr_scheduler == "single_step" and not train.stepsize:
        raise CCAFLError("train.stepsize: single_step needs a number of epochs. Set e.g. [20].")


def _check_cameras(config: CfgNode) -> None:
    """What a test makes of cameras: where statistics come from."""
    test, targets = config.test, config.data.targets
    if test.camera_rerank and not test.rerank:
        raise CCAFLError("test.camera_rerank: it is a form of re-ranking; set test.rerank True, or this False.")
    key, source = "test.camera_statistics", test.camera_statistics
    if source == "training" and test.camera_normalization != "none":
        for target in targets:
            if names.source_with_cameras_of(target, config.data.sources) is None:
                raise CCAFLError(
                    f"{key}: the cameras of {target} took no training image of {', '.join(config.data.sources)}; set "
                    "it to gallery, or add the source."
                )


def _check_statistics(config: CfgNode) -> None:
    """Checks a file with statistics of cameras."""
    test, key, source = config.test, "test.camera_statistics", config.test.camera_statistics
    if source in ("gallery", "training"):
        return
    if not Path(source).is_file():
        raise CCAFLError(f"{key}: no file at {source!r}; set it to gallery, training, or a file that a test wrote.")
    statistics = CameraStatistics.load(source, key)
    for target in config.data.targets:
        statistics.check(dataset=target, what=f"{key}: {source!r}")
    if not test.evaluate:
        raise CCAFLError(
            f"{key}: a file's statistics are of finished weights; set test.evaluate True, or it to gallery."
        )


def _check_switches(config: CfgNode) -> None:
    """Checks settings for speed and memory that not every model and engine supports."""
    ccafl = config.ccafl
    for name in ("compile", "gradient_checkpointing"):
        if ccafl[name] and not is_clip(config.model.name):
            raise CCAFLError(
                f"ccafl.{name}: {config.model.name!r} has no CLIP image encoder. Set model.name to one of "
                f"{', '.join(BACKBONES)}, or ccafl.{name} False."
            )
    if ccafl.save_text_encoder and not is_clip(config.model.name):
        raise CCAFLError(f"ccafl.save_text_encoder: {config.model.name!r} has no text encoder. Set it to False.")
    check_compile(ccafl.compile, ccafl.gradient_checkpointing)
    if ccafl.accumulation > 1 and config.loss.name != "ccafl":
        raise CCAFLError(
            "ccafl.accumulation: only runs with loss.name ccafl can split a batch into parts. Set it to 1."
        )
    check_parts(config.train.batch_size, ccafl.accumulation)


def _check_torchreids_engines(config: CfgNode) -> None:
    """Checks that only concern torchreid's own engines."""
    loss, train = config.loss, config.train
    if config.ccafl.robust_labels:
        raise CCAFLError(
            f"ccafl.robust_labels: torchreid's engine of loss.name {loss.name} trusts all labels. Set it to False, or "
            "loss.name ccafl, which has softmax and triplet as terms."
        )
    if config.data.k_tfm > 1:
        raise CCAFLError(
            f"data.k_tfm: torchreid's engine of loss.name {loss.name} uses one view of each image. Set it to 1."
        )
    if loss.name != "triplet":
        return
    if loss.triplet.weight_t == loss.triplet.weight_x == 0:
        raise CCAFLError(
            "loss.triplet.weight_t, loss.triplet.weight_x: both are 0, so nothing is learned. Set one above 0."
        )
    alone = train.batch_size // config.sampler.num_instances < 2
    if config.sampler.train_sampler == "RandomIdentitySampler" and alone and loss.triplet.weight_t > 0:
        raise CCAFLError(
            f"train.batch_size: {train.batch_size} with sampler.num_instances {config.sampler.num_instances} holds one "
            f"person, and the triplet loss compares people. Set it to at least {2 * config.sampler.num_instances}."
        )


def _check_ccafl(config: CfgNode) -> None:
    """Checks that only concern CCAFL's engine."""
    ccafl = config.ccafl
    enabled = [name for name, term in ccafl.terms.items() if term.enabled]
    check_any_term(enabled)
    check_views(config.data.k_tfm)
    terms = order_by_needs(make_terms(config))
    if not (config.test.evaluate or config.model.resume or config.ccafl.branch_from):
        check_windows(terms, range(config.train.max_epoch))
    supervision = Supervision(ccafl.supervision)
    check_ids(ccafl.data.ids, ccafl.supervision)
    supervision.check_sampler(config.sampler.train_sampler)
    check_prompt_length(ccafl.prompt_length)
    PromptStage(**ccafl.stage1).check_supervision(supervision.is_full)
    icdl = ccafl.terms.icdl
    if icdl.enabled and config.sampler.num_instances > icdl.instances:
        raise CCAFLError(
            f"sampler.num_instances: {config.sampler.num_instances} images per proxy are more than the "
            f"{icdl.instances} memory slots of ccafl.terms.icdl.instances. Lower the former or raise the latter."
        )
    for name in enabled:
        term = ccafl.terms[name]
        if 0 <= term.last_epoch < term.first_epoch:
            raise CCAFLError(
                f"ccafl.terms.{name}.last_epoch: {term.last_epoch} is before first_epoch {term.first_epoch}. "
                "Set a later epoch, or -1 for the last one."
            )
    compares_text = {
        "ccafl.terms.alignment.enabled False": ccafl.terms.alignment.enabled,
        "ccafl.terms.icdl.weight_alignment 0": icdl.enabled and icdl.weight_alignment != 0,
    }
    text_parts = [remedy for remedy, compares in compares_text.items() if compares]
    if text_parts and is_open_clip(config.model.name) and not reads_prompts(config.model.name):
        raise CCAFLError(
            f"model.name: the text encoder of {config.model.name!r} is not causal or has words of its own, so it can't "
            "read learnable prompts. It takes the terms icdl without weight_alignment, inter, ical, proxy_classifier, "
            f"softmax and triplet: set {' '.join(text_parts)}."
        )
    if text_parts and not is_clip(config.model.name):
        raise CCAFLError(
            f"model.name: {config.model.name!r} has no text encoder. Choose one of {', '.join(BACKBONES)}, "
            f"or set {' '.join(text_parts)}."
        )


def _get(config: CfgNode, key: str) -> Any:
    for name in key.split("."):
        config = config[name]
    return config


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
