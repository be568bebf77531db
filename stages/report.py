"""Write the tables and the page: -> reports/<scale>/."""

import _root  # noqa: F401

from dmtl import tracking_results
from dmtl.config import Project, for_report
from dmtl.cost import Costs, cost_report
from dmtl.report.tables import write_report
from dmtl.stage import run_stage


def report(project: Project) -> None:
    """Everything that people read, of all results."""
    folder = str(project.folder.relative_to(project.paths.root))
    paper = Project(project.paths.root, folder, scale="paper")
    costs = Costs(paper) if "paper" in paper.block("scales") else None
    checks = project.folder / "checks.md"
    said = checks.read_text(encoding="utf-8") if checks.exists() else ""
    trained = Costs(project).figures if project.paths.scale == "study" else None
    counted = (costs.figures, cost_report(costs)) if costs else (None, None)
    steps = project.block("diffusion")["steps"]
    write_report(for_report(project), project.paths, counted[0], said, trained, counted[1], steps)
    tracking_results.start(project, folder)


if __name__ == "__main__":
    run_stage(__doc__, None, report)
