"""Trained models for other programs: ONNX and ``torch.export``, compared with the model when they are written."""

from ccafl_plugin.exporting.export import KINDS, Written, export_model

__all__ = ["KINDS", "Written", "export_model"]
