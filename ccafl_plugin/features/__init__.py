"""Trained models in use: features of images and of texts, from weights that describe themselves.

- ``extractor``: images by path, picture or array to features, and texts where the weights have a text encoder;
- ``onnx_extractor``: the same by exported ONNX files;
- ``image_inputs``: what images may be given as;
- ``feature_set``: features of images in files, with what is known of each image;
- ``extract_command``: features of a folder: ``image_list`` finds its images, ``resumable`` goes on after a stop;
- ``thresholds``: similarities that mean "same person" at chosen false-accept rates;
- ``search_command``: search by image or text: ``search_index`` is what all indices share, ``exact_index``,
  ``faiss_index`` and ``milvus_index`` are the three, ``search_targets`` chooses, ``search_page`` draws the results;
- ``without_cameras``: camera-wise normalisation of an index and of what it is searched by.
"""

from ccafl_plugin.features.extractor import Extractor, FeatureExtractor, open_extractor
from ccafl_plugin.features.onnx_extractor import OnnxExtractor

__all__ = ["Extractor", "FeatureExtractor", "OnnxExtractor", "open_extractor"]
