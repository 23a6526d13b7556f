"""Values of the paper that several signatures share; where datasets differ, those of Market-1501.

Tan, Gong, Xiang, "CLIP-based Camera-Agnostic Feature Learning for Intra-camera Supervised Person Re-Identification",
TCSVT 2025, Sec. IV-B; where the paper gives no value, that of its released code. A default that only one signature uses
is defined there, not here.
"""

from __future__ import annotations

# Training
ITERS_PER_EPOCH = 200
WARMUP_EPOCHS = 10
WARMUP_FACTOR = 0.01
BIAS_LR_FACTOR = 2.0
PROMPT_LENGTH = 4
INPUT_SIZE = (256, 128)
"""(height, width), pixels."""
CROP_PADDING = 10
"""Pixels."""

# Memories, contrasts and triplets
TEMPERATURE = 0.05
MARGIN = 0.3
"""Margin of every triplet loss."""
MOMENTUM = 0.1
"""Share of the old centre when a memory is updated."""
INSTANCES = 32
"""Memory slots per proxy."""
LABEL_SMOOTHING = 0.1
"""Label smoothing of the cross-entropies between images and texts."""
WEIGHT_LAMBDA = 0.6
"""Share of L_centroid against L_instance; 0.6 for DukeMTMC-reID too, 0 for MSMT17."""

# The proxy classifier and ICAL
SCALE = 16.0
"""Factor from cosines to logits."""
ARCFACE_MARGIN = 0.7
"""m_a, radians; 0.3 for DukeMTMC-reID, 0.5 for MSMT17."""
HARDNESS = 0.2
"""The paper's t."""
ICAL_SMOOTHING = 0.8
"""Epsilon."""
PROMPT_AND_CLASSIFIER_LR = 3.5e-4
"""Adam's learning rate for the prompts in stage 1 and for the proxy classifier."""
