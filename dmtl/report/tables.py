"""Everything that the report stage writes: each table in every format, the figure over steps, and the summary."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from statistics import mean

from dmtl.config import Grid, Paths
from dmtl.files import replacing, write_json
from dmtl.metrics.per_image import load_per_image
from dmtl.report.claims import Finding, claims
from dmtl.report.claims import margins as margins_of
from dmtl.report.claims_page import claims_html, claims_markdown
from dmtl.report.costs import CostReport
from dmtl.report.entries import METHODS, SETTINGS, UNITS, Costs, Entry, StepEntry, table_entries, tables
from dmtl.report.gallery import gallery_html, image_scores, load_galleries
from dmtl.report.latex import latex
from dmtl.report.layout import sections
from dmtl.report.markdown import markdown
from dmtl.report.missing import missing
from dmtl.report.page import page
from dmtl.report.results import Results, Run, load_results, load_runs, load_steps, main_backbone, relative_gains, row_of, spread
from dmtl.tasks import TASKS

CURVES = ("cell", "benchmark", "setting", "method", "network", "epoch", "loss")
SUMMARISED = {"diffusion_prediction": "P", "diffusion_feature": "F"}


def write_report(
    grid: Grid,
    paths: Paths,
    costs: Costs | None,
    checks: str = "",
    trained: Costs | None = None,
    cost_report: CostReport | None = None,
    default_steps: int | None = None,
) -> None:
    """Write every table as CSV, Markdown and LaTeX, `steps.csv` where cells pin their steps, summary.json and the page.

    At scale study also what the paper's claims come to: claims.csv, claims.md and a part of the page.

    Args:
        costs: counts a cell's network at the paper's size; None where the project has no such size.
        checks: Markdown about what was tried where a claim did not hold.
        trained: counts a cell's network at the size that it was trained at, for the claims.
        cost_report: the costs as the page shows them, where the project has the paper's size.
        default_steps: diffusion steps of the cells that pin none, which so have their place among those that do.
    """
    results, runs = load_results(grid, paths), load_runs(grid, paths)
    layouts = {}
    for table in tables(grid):
        entries = list(table_entries(table, grid, results, costs, comparable=paths.scale == "paper"))
        layouts[table] = parts = sections(table, entries)
        stem = paths.reports() / f"table{table}"
        _write_csv(Entry, entries, stem.with_suffix(".csv"))
        _write_text(markdown(table, parts, results, paths.scale), stem.with_suffix(".md"))
        _write_text(latex(table, parts, paths.scale), stem.with_suffix(".tex"))
    steps = list(step_entries(grid, paths, results, costs, default_steps))
    if any(cell.steps is not None for cell in grid.cells.values()):
        _write_csv(StepEntry, steps, paths.reports() / "steps.csv")
    _write_rows(CURVES, curves(runs), paths.curves())
    claimed = _write_claims(grid, paths, results, runs, trained, checks) if paths.scale == "study" else ""
    gallery, shown = _gallery(grid, paths)
    gaps = list(missing(grid, results, steps, shown, paths.scale))
    whole = page(paths.scale, layouts, steps, results, runs, gallery, main_backbone(grid), claimed, cost_report, gaps)
    _write_text(whole, paths.reports() / "index.html")
    write_json(paths.reports() / "summary.json", _summary(grid, results, paths.scale))


def step_entries(
    grid: Grid, paths: Paths, results: Results, costs: Costs | None, default_steps: int | None
) -> Iterator[StepEntry]:
    """Quality and cost against the number of steps (the paper's Fig. 6), of the rows with a cell that pins it."""
    cells = {(row_of(cell), cell.steps or default_steps): cell for cell in grid.cells.values()}
    for row, pinned in load_steps(grid, paths).items():
        default = {default_steps: results[row]} if default_steps and row in results else {}
        for steps, trained in sorted({**default, **pinned}.items()):
            final = trained.final
            values = {(task, TASKS[task].metric): [seed[task] for seed in final] for task in final[0]}
            values["", "delta_m"] = relative_gains(row, final, results)
            values["", "flops_g"] = [costs(cells[row, steps])["flops_g"]] if costs else []
            for (task, metric), seeds in values.items():
                unit = TASKS[task].unit if task else UNITS[metric]
                if seeds:
                    yield StepEntry(*row, steps, task, metric, unit, mean(seeds), spread(seeds), len(seeds))


def _write_claims(grid: Grid, paths: Paths, results: Results, runs: Sequence[Run], costs: Costs | None, checks: str) -> str:
    """Write claims.csv and claims.md; returns the part of the page."""
    found, margins = claims(grid, paths), margins_of(results, load_steps(grid, paths))
    _write_csv(Finding, (finding for claim in found for finding in claim.findings), paths.reports() / "claims.csv")
    _write_text(claims_markdown(found, margins, runs, costs, checks), paths.reports() / "claims.md")
    return claims_html(found, margins, runs, costs, checks)


def _gallery(grid: Grid, paths: Paths) -> tuple[str, list[str]]:
    """The test images as a part of the page, with the scores of each; and the benchmarks that they are of."""
    galleries = load_galleries(grid, paths)
    scores = {}
    for gallery in galleries:
        cell = gallery.about["cell"]
        if paths.statistics(cell).exists():
            scores[cell] = image_scores(load_per_image(paths.statistics(cell)), gallery.ids)
    shown = [gallery.about["benchmark"] for gallery in galleries if "label" in gallery.stages()]
    return gallery_html(galleries, scores, METHODS, main_backbone(grid)), shown


def curves(runs: Sequence[Run]) -> Iterator[tuple]:
    """The training loss of every epoch of every network, what `dvc plots show` draws: rows of `CURVES`."""
    for run in runs:
        for epoch in run.history:
            network = "" if epoch["network"] == "all" else epoch["network"]
            about = run.key, run.cell.benchmark, run.cell.setting, run.cell.method
            yield *about, network, epoch["epoch"], epoch["losses"]["total"]


def _write_csv(kind: type, entries: Iterable, path: Path) -> None:
    _write_rows([field.name for field in fields(kind)], map(astuple, entries), path)


def _write_rows(header: Sequence[str], rows: Iterable[tuple], path: Path) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_text(text: str, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _summary(grid: Grid, results: Results, scale: str) -> dict[str, float]:
    """Delta_m of Prediction and Feature Diffusion in each benchmark and setting that a table has: what `dvc exp show` lists.

    The names are short, since each is a column there; the study's are told from the others', which DVC shows beside them.
    """
    prefix = f"{scale}-" if scale == "study" else ""
    rows = dict.fromkeys(row_of(cell) for key, cell in grid.cells.items() if key not in grid.extra and cell.method in SUMMARISED)
    evaluated = [row for row in rows if row.backbone == main_backbone(grid) and row in results]
    gains = {row: relative_gains(row, results[row].final, results) for row in evaluated}
    return {
        f"{prefix}{row.benchmark}-{SETTINGS[row.setting]}-{SUMMARISED[row.method]}": mean(values)
        for row, values in gains.items()
        if values
    }
