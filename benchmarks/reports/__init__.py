"""The reports, in their order; a new one is a file here and a name in this list."""

from benchmarks.report import Report
from benchmarks.reports import first_command, imports

REPORTS: dict[str, Report] = {module.REPORT.name: module.REPORT for module in (imports, first_command)}
