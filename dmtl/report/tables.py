"""Everything that the report stage writes: each table in every format, the figure over steps, the page and the summary."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from dmtl.config import Grid, Paths
from dmtl.files import replacing, together, write_json
from dmtl.metrics.per_image import load_per_image
from dmtl.report.changed import Changes, changes
from dmtl.report.claims import against_baseline, claims
from dmtl.report.claims_page import ClaimsReport
from dmtl.report.findings import Finding
from dmtl.report.frames import frames_html
from dmtl.report.gallery import METHODS, gallery_html, image_scores, load_galleries
from dmtl.report.latex import latex
from dmtl.report.layout import Section, file_of, sections
from dmtl.report.margins import margins
from dmtl.report.markdown import markdown
from dmtl.report.missing import missing
from dmtl.report.page import Content, page
from dmtl.report.results import (
    Results,
    Run,
    load_all,
    load_results,
    load_runs,
    load_steps,
    main_backbone,
    relative_gains,
    row_of,
    scored_on,
)
from dmtl.report.steps import StepsCell, steps_numbers
from dmtl.report.table_cells import BEYOND, OWN, SETTING_TITLES, BeyondCell, CostOf, TableCell, table_numbers, tables

if TYPE_CHECKING:
    from dmtl.report.costs import CostReport

CURVES = ("cell", "benchmark", "setting", "method", "network", "epoch", "loss")
SUMMARISED = {"diffusion_prediction": "P", "diffusion_feature": "F"}


def write_report(
    grid: Grid,
    paths: Paths,
    costs: CostOf | None,
    checks: str = "",
    trained: CostOf | None = None,
    cost_report: "CostReport | None" = None,
    default_steps: int | None = None,
    today: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write every table as CSV, Markdown and LaTeX, `steps.csv` where cells pin their steps, summary.json and the page.

    At scale study also what the paper's claims come to: claims.csv, claims.md and a part of the page.

    Args:
        costs: counts a cell's network at the paper's size; None where the project has no such size.
        checks: Markdown about what was tried where a claim did not hold.
        trained: counts a cell's network at the size that it was trained at, for the claims and benchmarks that no paper prints.
        cost_report: the costs as the page shows them, where the project has the paper's size.
        default_steps: diffusion steps of the cells that pin none and whose results do not tell, which so have their place among
            those that do.
        today: cell -> the configuration that it would be trained with now: rows that were trained with another are marked.
    """
    with together():  # a report is of one state of the results, or the former one stays
        _write_all(grid, paths, costs, checks, trained, cost_report, default_steps, today or {})


def _write_all(
    grid: Grid,
    paths: Paths,
    costs: CostOf | None,
    checks: str,
    trained: CostOf | None,
    cost_report: "CostReport | None",
    default_steps: int | None,
    today: Mapping[str, Mapping[str, Any]],
) -> None:
    results, runs, of_all = load_results(grid, paths), load_runs(grid, paths), load_all(grid, paths)
    changed = changes(runs, today)
    counted = {OWN: trained}
    parts = {table: _write_table(table, grid, paths, of_all, counted.get(table, costs), changed) for table in tables(grid)}
    unpinned = {row_of(run.cell): run.training.get("options", {}).get("steps") for run in runs if run.cell.steps is None}
    steps = list(steps_numbers(grid, paths, results, costs, lambda row: unpinned.get(row) or default_steps))
    if any(cell.steps is not None for cell in grid.cells.values()):
        _write_csv(StepsCell, steps, paths.reports() / "steps.csv")
    _write_rows(CURVES, curves(runs), paths.curves())
    claimed = _write_claims(grid, paths, results, runs, trained, checks, changed) if paths.scale == "study" else ""
    gallery, shown = _gallery(grid, paths)
    frames = frames_html(grid, paths) if paths.scale == "study" else ""
    gaps = list(missing(grid, of_all, steps, shown, paths.scale))
    content = Content(grid, paths.scale, parts, steps, results, runs, gaps, gallery, claimed, cost_report, frames)
    _write_text(page(content), paths.reports() / "index.html")
    write_json(paths.reports() / "summary.json", _summary(grid, results, paths.scale))


def _write_table(table: int, grid: Grid, paths: Paths, results: Results, costs: CostOf | None, changed: Changes) -> list[Section]:
    """Write a table in every format; returns its sections."""
    cells = list(table_numbers(table, grid, results, costs, comparable=paths.scale == "paper"))
    parts, stem = sections(table, cells, grid, changed), paths.reports() / file_of(table)
    if table == OWN:
        parts = [replace(part, notes=[*part.notes, scored_on(grid, paths, part.benchmark)]) for part in parts]
    _write_csv(BeyondCell if table == BEYOND else TableCell, cells, stem.with_suffix(".csv"))
    _write_text(markdown(table, parts, results, paths.scale), stem.with_suffix(".md"))
    _write_text(latex(table, parts, paths.scale), stem.with_suffix(".tex"))
    return parts


def _write_claims(
    grid: Grid, paths: Paths, results: Results, runs: Sequence[Run], costs: CostOf | None, checks: str, changed: Changes
) -> str:
    """Write claims.csv, methods.csv (every method against the baseline) and claims.md; returns the part of the page."""
    judged, every = claims(grid, paths), against_baseline(grid, paths)
    above = margins(grid, results, load_steps(grid, paths))
    report = ClaimsReport(grid, judged, above, runs, costs, checks, every, changed)
    _write_csv(Finding, (finding for claim in judged for finding in claim.findings), paths.reports() / "claims.csv")
    _write_csv(Finding, every, paths.reports() / "methods.csv")
    _write_text(report.markdown(), paths.reports() / "claims.md")
    return report.html()


def _gallery(grid: Grid, paths: Paths) -> tuple[str, list[str]]:
    """The test images as a part of the page, with the scores of each; and the benchmarks that they are of."""
    galleries = load_galleries(grid, paths)
    scores = {}
    for gallery in galleries:
        cell = gallery.about["cell"]
        if paths.statistics(cell).exists():
            scores[cell] = image_scores(load_per_image(paths.statistics(cell)), gallery.ids)
    shown = [gallery.about["benchmark"] for gallery in galleries if "label" in gallery.stages()]
    titles = {method: grid.title(method) for method in METHODS}
    return gallery_html(galleries, scores, titles, main_backbone(grid)), shown


def curves(runs: Sequence[Run]) -> Iterator[tuple]:
    """The training loss of every epoch of every network, what `dvc plots show` draws: rows of `CURVES`."""
    for run in runs:
        for epoch in run.history:
            network = "" if epoch["network"] == "all" else epoch["network"]
            training = run.key, run.cell.benchmark, run.cell.setting, run.cell.method
            yield *training, network, epoch["epoch"], epoch["losses"]["total"]


def _write_csv(kind: type, numbers: Iterable, path: Path) -> None:
    """A row per number, a column per field of `kind`, whose objects they are."""
    _write_rows([field.name for field in fields(kind)], map(astuple, numbers), path)


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
        f"{prefix}{row.benchmark}-{SETTING_TITLES[row.setting]}-{SUMMARISED[row.method]}": mean(values)
        for row, values in gains.items()
        if values
    }
