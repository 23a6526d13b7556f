"""Suites of runs and their tables: ``python tools/suite.py SUITE.yaml``.

- ``suite``, ``suite_file``: what a suite's file says, checked;
- ``branching``: whether a run may go on from another one's checkpoint;
- ``plan``: the runs of a suite, each with its configuration and folder;
- ``runner``: runs what is missing, side by side;
- ``results_file``: numbers of finished runs in one file;
- ``statistics``, ``table``, ``figures``: what came out.
"""
