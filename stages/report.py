"""Write the tables: -> reports/<scale>/."""

import _root  # noqa: F401

from dmtl.config import Project, for_report
from dmtl.report.tables import write_report
from dmtl.stage import run_stage


def report(project: Project) -> None:
    """Tables and summary of all results."""
    write_report(for_report(project), project.paths, {})


if __name__ == "__main__":
    run_stage(__doc__, None, report)
