"""Suites of training runs and their tables: ``python tools/suite.py SUITE.yaml``.

- ``suite``, ``suite_file``: the content of a suite's file, and its checks;
- ``branching``: whether a run may continue from another run's checkpoint;
- ``run_plan``: the runs of a suite, each with its configuration and folder;
- ``runner``, ``processes``, ``run_folder``: run what is missing, several processes at once;
- ``results_file``, ``parsed_logs``: results of finished runs, from one file or from logs;
- ``outcomes``, ``statistics``, ``columns``, ``suite_table``, ``figures``: the results as tables and figures;
- ``published_rows``, ``excerpt``, ``generated_pages``: rows of published scores, and tables in documents;
- ``suite_command``: the command line.

Training itself is in ``ccafl_plugin.runs`` and ``ccafl_plugin.engine``.
"""
