"""Write the tables and the page: -> reports/<scale>/."""

import _root  # noqa: F401

from dmtl.config import Project, for_report
from dmtl.cost import Costs
from dmtl.report.tables import write_report
from dmtl.stage import run_stage


def report(project: Project) -> None:
    """Everything that people read, of all results."""
    costs = Costs(Project(project.paths.root, str(project.folder.relative_to(project.paths.root)), scale="paper"))
    write_report(for_report(project), project.paths, costs.figures)


if __name__ == "__main__":
    run_stage(__doc__, None, report)
