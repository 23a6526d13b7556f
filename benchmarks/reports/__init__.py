"""The reports, in their order; a new one is a file here and a name in this list."""

from benchmarks.report import Report
from benchmarks.reports import first_command, imports, loading, stage2, stage2_memory

REPORTS: dict[str, Report] = {
    module.REPORT.name: module.REPORT for module in (imports, first_command, stage2, stage2_memory, loading)
}
