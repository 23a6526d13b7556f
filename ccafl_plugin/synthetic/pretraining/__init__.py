"""Training of ``clip_tiny`` on rendered persons and their captions: a CLIP that needs no download.

- ``people``, ``cameras``, ``captions``, ``pairs``: what is learned from;
- ``train``: CLIP's contrastive loss between pictures and captions;
- ``attributes``: what the result has understood;
- ``export``: the small file that comes with the package;
- ``tool``: the command.
"""
