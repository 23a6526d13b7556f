"""Rendered pedestrians, and a CLIP trained on pictures of them. The method's code does not import this folder.

- ``renderer``: people, cameras, pictures;
- ``dataset``: ``synthetic_persons`` as a torchreid dataset;
- ``pretraining``: captions, and the training of ``clip_tiny``;
- ``render_command``, ``pretrain_command``: the commands in ``tools/``.
"""
