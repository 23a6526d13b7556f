"""Losses and memories: tensors and labels in, scalars out. Nothing here reads a configuration or an engine.

The modules in reading order (docs/method.md has the equations):

- ``text``: L_stage1, which learns the prompts, and L_i2tce, which aligns the encoder with them;
- ``memory``: the centroids and instances of proxies, and the centres of pseudo identities; ``grouping`` computes means;
- ``intra``: L_centroid and L_instance; ``triplet``: the triplet against centroids, and the one inside a batch;
- ``icdl``: L_ICDL, the sum of these over the cameras; ``camera_layout`` lets them compute all cameras at once;
- ``inter``: L_inter + L_tri on pseudo identities;
- ``proxy_classifier``: L_GID; ``ical``: L_ICAL, which reads that classifier;
- ``cross_entropy``, ``weighted_sum``: what several losses share.

``ccafl_plugin.terms`` decides in which epochs a loss is active and how training calls it.
"""

from ccafl_plugin.losses.grouping import group_means, unit_group_means
from ccafl_plugin.losses.ical import ICALLoss, positive_proxies
from ccafl_plugin.losses.icdl import ICDLComponents, ICDLLoss
from ccafl_plugin.losses.inter import InterCameraLoss, InterComponents, cluster_contrast
from ccafl_plugin.losses.intra import camera_contrast, instance_contrast
from ccafl_plugin.losses.memory import ClusterMemory, HybridMemory
from ccafl_plugin.losses.proxy_classifier import ProxyClassifier
from ccafl_plugin.losses.text import prompt_contrast, text_alignment
from ccafl_plugin.losses.triplet import batch_hard_triplet, centroid_triplet

__all__ = [
    "ClusterMemory",
    "HybridMemory",
    "ICALLoss",
    "ICDLComponents",
    "ICDLLoss",
    "InterCameraLoss",
    "InterComponents",
    "ProxyClassifier",
    "batch_hard_triplet",
    "camera_contrast",
    "centroid_triplet",
    "cluster_contrast",
    "group_means",
    "instance_contrast",
    "positive_proxies",
    "prompt_contrast",
    "text_alignment",
    "unit_group_means",
]
