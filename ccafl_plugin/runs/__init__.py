"""One run of training and test, from the command line to its file of results.

- ``train_command``: ``ccafl-train`` and ``tools/train.py``;
- ``shipped_configurations``: the list of configurations in ``--help``;
- ``opening_lines``, ``data_report``: what a log says before training, short and once;
- ``run_files``: the log file, the whole configuration and the report on the system in a run's folder;
- ``fitting``: settings that follow from the amount of data; ``check_command``: ``tools/check_data.py``;
- ``building``: data manager, model and engine of a configuration;
- ``results``: what a run leaves behind for tables;
- ``published_settings``: where a run leaves the published settings that its configuration claims.
"""
