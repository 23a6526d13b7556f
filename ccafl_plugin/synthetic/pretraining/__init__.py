"""Training of ``clip_tiny`` on rendered persons and their captions: a CLIP that needs no download.

- ``training_people``, ``training_cameras``, ``captions``, ``image_text_pairs``: the training data;
- ``contrastive_training``: CLIP's contrastive loss between pictures and captions, and its training loop;
- ``attribute_scores``: zero-shot accuracy by attribute;
- ``weights_file``: the small file that comes with the package.

The command is ``ccafl_plugin.synthetic.pretrain_command``.
"""
