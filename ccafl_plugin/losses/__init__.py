"""Losses and memories: tensors and labels in, scalars out. Nothing here knows of configs or engines."""

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
