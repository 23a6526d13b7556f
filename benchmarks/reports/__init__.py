"""The reports, in their order; a new report is a file here and a name in this list."""

import ccafl_plugin  # noqa: F401  before torchreid, whose warning about its missing evaluator is out of place then
from benchmarks.report import Report
from benchmarks.reports import (
    association_growth,
    first_command,
    identities,
    images,
    imports,
    loading,
    processes,
    stage2,
    stage2_memory,
)

REPORTS: dict[str, Report] = {
    report.name: report
    for report in (
        imports.REPORT,
        first_command.REPORT,
        association_growth.REPORT,
        identities.REPORT,
        identities.MANY,
        images.REPORT,
        stage2.REPORT,
        stage2.OTHER_SWITCHES,
        stage2_memory.REPORT,
        loading.REPORT,
        processes.REPORT,
    )
}
