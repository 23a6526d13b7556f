"""One run of training and test, from the command line to the file of its results.

- ``train_command``: ``ccafl-train`` and ``tools/train.py``;
- ``building``: data manager, model and engine of a configuration;
- ``results``: what a run leaves behind for tables;
- ``published_settings``: where a run leaves the published settings that its configuration claims.
"""
