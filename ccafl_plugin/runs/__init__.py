"""One run of training and test, from the command line to the file of its results.

- ``train_command``: ``ccafl-train`` and ``tools/train.py``;
- ``shipped_configurations``: what ``--config-file`` takes, for ``--help``;
- ``opening_lines``, ``data_report``: what a log says before training, short and once;
- ``run_files``: the log's file, the whole configuration and the system's description in a run's folder;
- ``fitting``: settings that follow from the amount of data; ``check_command``: ``tools/check_data.py``;
- ``building``: data manager, model and engine of a configuration;
- ``results``: what a run leaves behind for tables;
- ``published_settings``: where a run leaves the published settings that its configuration claims.
"""
