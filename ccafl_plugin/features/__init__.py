"""Trained models in use: features of images and of texts, from weights that describe themselves.

- ``extractor``: images by path, picture or array to features, and texts where the weights have a text encoder;
- ``onnx_extractor``: the same by exported ONNX files;
- ``image_inputs``: what images may be given as;
- ``feature_set``: features of images in files, with what is known of each image.
"""

from ccafl_plugin.features.extractor import Extractor, FeatureExtractor, open_extractor
from ccafl_plugin.features.onnx_extractor import OnnxExtractor

__all__ = ["Extractor", "FeatureExtractor", "OnnxExtractor", "open_extractor"]
