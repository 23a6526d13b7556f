"""Trained models in use: features of images and of texts, from weights that describe themselves.

- ``extractor``: images by path, picture or array to features, and texts where the weights have a text encoder;
- ``image_inputs``: what images may be given as;
- ``feature_set``: features of images in files, with what is known of each image.
"""

from ccafl_plugin.features.extractor import Extractor, FeatureExtractor, open_extractor

__all__ = ["Extractor", "FeatureExtractor", "open_extractor"]
