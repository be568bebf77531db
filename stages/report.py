"""Write the tables and the page: -> reports/<scale>/."""

import _root  # noqa: F401

from dmtl.config import Project, for_report
from dmtl.report.costs import Costs, cost_report
from dmtl.report.tables import write_report
from dmtl.stage import run_stage
from dmtl.tracking import results as tracking_results


def report(project: Project) -> None:
    """Everything that people read, of all results."""
    folder = str(project.folder.relative_to(project.paths.root))
    paper = Project(project.paths.root, folder, scale="paper")
    costs = Costs(paper) if "paper" in paper.block("scales") else None
    checks = project.folder / "checks.md"
    write_report(
        for_report(project),
        project.paths,
        costs.figures if costs else None,
        checks.read_text(encoding="utf-8") if checks.exists() else "",
        trained=Costs(project).figures if project.paths.scale == "study" else None,
        cost_report=cost_report(costs) if costs else None,
        default_steps=project.block("diffusion")["steps"],
    )
    tracking_results.start(project, folder)


if __name__ == "__main__":
    run_stage(__doc__, None, report)
