"""Rendered pedestrians, and a CLIP trained on pictures of them. Nothing of the method imports this folder.

- ``renderer``: people, cameras, pictures;
- ``dataset``: ``synthetic_persons`` as a dataset of torchreid;
- ``pretraining``: captions, and the training of ``clip_tiny``;
- ``render_command``, ``pretrain_command``: the commands in ``tools/``.
"""
