"""Write the tables and the page: -> reports/<scale>/."""

import _root  # noqa: F401

from dmtl.config import Project, default_steps, for_report, resolve
from dmtl.report.costs import Costs
from dmtl.report.measured import load_measured, report_of, with_memory
from dmtl.report.results import load_runs
from dmtl.report.tables import write_report
from dmtl.stage import run_stage
from dmtl.tracking import results as tracking_results


def report(project: Project) -> str:
    """Everything that people read, of all results."""
    folder, grid = project.paths.root, for_report(project)
    paper = Project(folder, scale="paper")
    runs = load_runs(grid, project.paths)
    options = {run.key: run.training.get("options", {}) for run in runs}
    recipes = {run.key: run.training["recipe"] for run in runs if run.training}
    costs = Costs(paper, options) if "paper" in paper.mapping("scales") else None
    measured = load_measured(folder) if costs else None
    checks = folder / "checks.md"
    write_report(
        grid,
        project.paths,
        with_memory(costs, measured) if costs else None,
        checks.read_text(encoding="utf-8") if checks.exists() else "",
        trained=Costs(project, options, recipes).figures if project.paths.scale in ("study", "own") else None,
        cost_report=report_of(costs, measured) if costs else None,
        default_steps=default_steps(project),
        today={key: resolve(project, cell).model_dump(mode="json") for key, cell in grid.cells.items()},
    )
    tracking_results.start(project)
    return f"the page: {project.paths.reports() / 'index.html'}"


if __name__ == "__main__":
    run_stage(__doc__, None, report)
