"""The small described files and pictures of the extractor's tests."""

from __future__ import annotations

from tests.features.conftest import crops, osnet_weights, tiny_model, tiny_weights

__all__ = ["crops", "osnet_weights", "tiny_model", "tiny_weights"]
