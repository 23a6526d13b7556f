"""The tree of configuration keys and their defaults.

Names and defaults outside ``ccafl`` are those of torchreid's own main script, so its files can be loaded unchanged;
there are three additional keys, ``test.camera_...``. Below ``ccafl``, each key is an argument of a class, or an option,
and has its default. Below ``ccafl.terms`` and ``ccafl.association``, the keys are the arguments of the registered terms
and associations.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from yacs.config import CfgNode

from ccafl_plugin.association import ASSOCIATIONS
from ccafl_plugin.data.label_noise import LabelNoise
from ccafl_plugin.engine import ImageCCAFLEngine
from ccafl_plugin.engine.stage1 import PromptStage
from ccafl_plugin.options import Options
from ccafl_plugin.own_settings import CropRules, OwnData
from ccafl_plugin.terms import PAPER_TERMS, TERMS

OF_OPTIONS = (
    "clip_weights",
    "clip_activation",
    "prompt_length",
    "freeze_patch_projection",
    "crop_padding",
    "iters_per_epoch",
    "bias_lr_factor",
    "warmup_epochs",
    "warmup_factor",
    "cosine_final_factor",
    "gradient_checkpointing",
    "channels_last",
    "fast_evaluation",
)
"""Keys below ``ccafl`` that set an option of the same name; its default is the key's."""

OF_SYNTHETIC = ("size", "seed", "cameras")
"""Keys below ``ccafl.synthetic``; the options are called ``synthetic_size`` and so on."""

OF_TESTS = ("camera_normalization", "camera_statistics", "camera_rerank")
"""Keys below ``test``, beside torchreid's, that set an option of the same name; its default is the key's."""

OF_OWN_DATA = ("ids", "pattern", "table", "queries", "pairs", "test_share", "seed")
"""Keys below ``ccafl.data`` that are arguments of ``OwnData``, whose defaults are the keys'."""

OF_ENGINE = (
    "supervision",
    "robust_labels",
    "amp",
    "precision",
    "extraction_precision",
    "extraction_memory",
    "device_transforms",
    "accumulation",
    "keep",
    "max_skipped",
    "sync_batch_norm",
)
"""Keys below ``ccafl`` that are arguments of ``ImageCCAFLEngine``, whose defaults are the keys'."""


def _torchreid_tree() -> dict[str, Any]:
    return {
        "use_gpu": True,
        "model": {"name": "resnet50", "pretrained": True, "load_weights": "", "resume": ""},
        "data": {
            "type": "image",
            "root": "reid-data",
            "sources": ["market1501"],
            "targets": ["market1501"],
            "workers": 4,
            "split_id": 0,
            "height": 256,
            "width": 128,
            "combineall": False,
            "transforms": ["random_flip"],
            "k_tfm": 1,
            "norm_mean": [0.485, 0.456, 0.406],
            "norm_std": [0.229, 0.224, 0.225],
            "save_dir": "log",
            "load_train_targets": False,
        },
        "market1501": {"use_500k_distractors": False},
        "cuhk03": {"labeled_images": False, "classic_split": False, "use_metric_cuhk03": False},
        "sampler": {
            "train_sampler": "RandomSampler",
            "train_sampler_t": "RandomSampler",
            "num_instances": 4,
            "num_cams": 1,
            "num_datasets": 1,
        },
        "video": {"seq_len": 15, "sample_method": "evenly", "pooling_method": "avg"},
        "train": {
            "optim": "adam",
            "lr": 0.0003,
            "weight_decay": 5e-4,
            "max_epoch": 60,
            "start_epoch": 0,
            "batch_size": 32,
            "fixbase_epoch": 0,
            "open_layers": ["classifier"],
            "staged_lr": False,
            "new_layers": ["classifier"],
            "base_lr_mult": 0.1,
            "lr_scheduler": "single_step",
            "stepsize": [20],
            "gamma": 0.1,
            "print_freq": 20,
            "seed": 1,
        },
        "sgd": {"momentum": 0.9, "dampening": 0.0, "nesterov": False},
        "rmsprop": {"alpha": 0.99},
        "adam": {"beta1": 0.9, "beta2": 0.999},
        "loss": {
            "name": "softmax",
            "softmax": {"label_smooth": True},
            "triplet": {"margin": 0.3, "weight_t": 1.0, "weight_x": 0.0},
        },
        "test": {
            "batch_size": 100,
            "dist_metric": "euclidean",
            "normalize_feature": False,
            "ranks": [1, 5, 10, 20],
            "evaluate": False,
            "eval_freq": -1,
            "start_eval": 0,
            "rerank": False,
            "visrank": False,
            "visrank_topk": 10,
        },
    }


def _ccafl_tree() -> dict[str, Any]:
    option, engine, own_data = vars(Options()), _arguments(ImageCCAFLEngine.__init__), vars(OwnData())
    own = {
        "published_settings": "",
        "matmul_precision": "highest",
        "compile": False,
        "branch_from": "",
        "camera_probe": False,
        "save_text_encoder": False,
        "licence": "",
    }
    return {
        **own,
        **{name: option[name] for name in OF_OPTIONS},
        **{name: engine[name] for name in OF_ENGINE},
        "keep_epochs": list(engine["keep_epochs"]),
        "data": {
            **{name: own_data[name] for name in OF_OWN_DATA},
            "fit": False,
            "fitted_from": "",
            "crops": _arguments(CropRules),
        },
        "label_noise": _arguments(LabelNoise),
        "stage1": _arguments(PromptStage),
        "association": {
            "name": engine["association"],
            "keep_unassociated": engine["keep_unassociated"],
            "whitening": engine["whitening"],
            **{name: _arguments(function) for name, function in ASSOCIATIONS.items()},
        },
        "terms": {name: {"enabled": name in PAPER_TERMS, **_arguments(term)} for name, term in TERMS.items()},
        "synthetic": {name: option[f"synthetic_{name}"] for name in OF_SYNTHETIC},
    }


_FOUND: dict[object, dict[str, Any]] = {}
"""What :func:`_arguments` has found: the tree is made many times, and a signature takes longer than the rest of it."""


def _arguments(function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of a function that have defaults -> their defaults."""
    if function not in _FOUND:
        parameters = inspect.signature(function).parameters.values()
        _FOUND[function] = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    return _FOUND[function]


def default_tree() -> dict[str, Any]:
    """All defaults as plain dictionaries; not to be changed, since its lists and dictionaries may be shared."""
    tree, option = _torchreid_tree(), vars(Options())
    tree["test"] |= {name: option[name] for name in OF_TESTS}
    return {**tree, "ccafl": _ccafl_tree()}


def default_config() -> CfgNode:
    """A new tree with all defaults: torchreid's, and the paper's Market-1501 values below ``ccafl``."""
    return CfgNode(default_tree())
