"""Small architectures of every kind that open_clip has, added to its list by its own function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import timm

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
WHOLE = {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"}


def _timm(name: str, pool: str, proj: str | None, size: int, **text: Any) -> dict[str, Any]:
    vision = {"timm_model_name": name, "timm_model_pretrained": False, "timm_pool": pool, "timm_proj": proj}
    return {"embed_dim": 24, "vision_cfg": {**vision, "image_size": size}, "text_cfg": TEXT | text, "custom_text": True}


CONFIGS: dict[str, dict[str, Any]] = {
    "small-vit": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32},
        "text_cfg": TEXT,
    },
    "small-vit-quickgelu": {
        "embed_dim": 24,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32},
        "text_cfg": TEXT,
    },
    "small-vit-avg": {  # as CLIPA's
        "embed_dim": 24,
        "vision_cfg": {
            "image_size": 56, "layers": 1, "width": 64, "patch_size": 14, "head_width": 32,
            "no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True,
        },
        "text_cfg": TEXT,
    },
    "small-resnet": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16},
        "text_cfg": TEXT,
    },
    "small-siglip": {**_timm("test_vit", "map", "none", 160, **WHOLE), "embed_dim": 64},
    "small-eva": _timm("eva02_tiny_patch14_224", "token", None, 224),
    "small-mobileclip": _timm("fastvit_t8", "avg", None, 256, no_causal_mask=True),
    "small-convnext": _timm("test_convnext", "", "linear", 160),
}  # fmt: skip
"""Name -> configuration. The tokens are CLIP's, so that no tokenizer has to be fetched."""


CONFIGS = {
    name: config
    for name, config in CONFIGS.items()
    if timm.is_model(config["vision_cfg"].get("timm_model_name", "resnet50"))  # an old timm has fewer
}


def add_small_architectures(folder: Path) -> None:
    """Makes them known to open_clip."""
    for name, config in CONFIGS.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
