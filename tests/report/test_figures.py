"""Charts of what trainings note beside their losses."""

from helpers.project import ROOT

from dmtl.config import Project, for_report
from dmtl.report.figures import NOTED, noted_charts
from dmtl.report.results import Run


def test_the_share_of_kept_pixels_is_charted_by_task() -> None:
    grid = for_report(Project(ROOT))
    student = [{"network": "student", "epoch": e, "figures": {"kept/semseg": 0.1 * e, "kept/depth": 0.5}} for e in (1, 2)]
    teacher = [{"network": "teacher", "epoch": e} for e in (1, 2)]
    key = "nyud-onelabel-teacher_control"
    runs = [Run(key, grid.cells[key], 0, "", [*teacher, *student])]
    (chart,) = noted_charts(grid, runs)
    assert (chart.id, chart.title) == ("kept-nyud", f"{NOTED['kept'][0]}, NYUD")
    assert [row[1:] for row in chart.rows] == [["Semantic segmentation", "0.100", "0.200"], ["Depth", "0.500", "0.500"]]
    assert chart.images
    key = "nyud-onelabel-mtl_baseline"
    assert not list(noted_charts(grid, [Run(key, grid.cells[key], 0, "", teacher)]))
