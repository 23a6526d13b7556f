"""The tree of keys with its defaults.

Names and defaults outside ``ccafl`` are those of torchreid's own main script, so its files load here unchanged.
Below ``ccafl.terms`` and ``ccafl.association`` the keys are the arguments of whatever is registered there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from yacs.config import CfgNode

from ccafl_plugin.association import ASSOCIATIONS
from ccafl_plugin.data.label_noise import LabelNoise
from ccafl_plugin.engine.stage1 import PromptStage
from ccafl_plugin.synthetic.renderer.cameras import FEWEST
from ccafl_plugin.terms import PAPER_TERMS, TERMS


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
    return {
        "published_settings": "",
        "supervision": "intra_camera",
        "clip_weights": "",
        "prompt_length": 4,
        "freeze_patch_projection": True,
        "crop_padding": 10,
        "iters_per_epoch": 200,
        "bias_lr_factor": 2.0,
        "warmup_epochs": 10,
        "warmup_factor": 0.01,
        "cosine_final_factor": 0.0,
        "amp": True,
        "precision": "fp16",
        "extraction_precision": "fp32",
        "extraction_memory": 2048,
        "matmul_precision": "highest",
        "channels_last": True,
        "compile": False,
        "gradient_checkpointing": False,
        "accumulation": 1,
        "keep": 2,
        "fast_evaluation": True,
        "keep_epochs": [],
        "branch_from": "",
        "camera_probe": False,
        "label_noise": _arguments(LabelNoise),
        "stage1": _arguments(PromptStage),
        "association": {
            "name": "nearest_pairs",
            "keep_unassociated": False,
            **{name: _arguments(function) for name, function in ASSOCIATIONS.items()},
        },
        "terms": {name: {"enabled": name in PAPER_TERMS, **_arguments(term)} for name, term in TERMS.items()},
        "synthetic": {"size": "tiny", "seed": 1, "cameras": FEWEST},
    }


def _arguments(function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments that have defaults, with these."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def default_config() -> CfgNode:
    """A new tree with all defaults: torchreid's, and the paper's Market-1501 values below ``ccafl``."""
    return CfgNode({**_torchreid_tree(), "ccafl": _ccafl_tree()})
