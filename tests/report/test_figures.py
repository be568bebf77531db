"""Charts of the page with the numbers that they show."""

from helpers.project import ROOT

from dmtl.config import Project, for_report
from dmtl.report.figures import NOTED, noted_charts, steps_chart
from dmtl.report.results import Run
from dmtl.report.steps import StepsCell


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


def test_each_setting_has_a_line_of_its_own_over_steps_and_intervals_where_they_are_known() -> None:
    grid = for_report(Project(ROOT))
    row = ("diffusion_prediction", "resnet18")
    cells = [
        StepsCell("nyud", setting, *row, steps, "semseg", "miou", "%", 20.0 + steps, None, 1, *ends)
        for setting, ends in (("onelabel", (19.0, 25.0)), ("randomlabels", (None, None)))
        for steps in (2, 5)
    ]
    chart = steps_chart(grid, cells)
    assert chart is not None
    names = ["DiffusionMTL (Prediction), NYUD, labels: one", "DiffusionMTL (Prediction), NYUD, labels: random"]
    assert chart.images[-1].alt == f"legend: {', '.join(names)}"
    assert chart.header == ["Benchmark", "Labels", "Method", "Steps", "Metric", "Value", "95 % interval"]
    assert [line[1] for line in chart.rows] == ["one", "one", "random", "random"]
    assert [line[-1] for line in chart.rows] == ["19.00 to 25.00"] * 2 + [""] * 2
    assert "95 % intervals over test images, of one seed each" in chart.text
    unknown = steps_chart(grid, cells[2:])
    assert unknown is not None
    assert unknown.header[-1] == "Value"  # no empty column
    assert "interval" not in unknown.text
