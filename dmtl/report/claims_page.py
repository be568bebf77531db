"""The claims as people read them: a part of the page, Markdown, and a chart of the intervals."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from markdown_it import MarkdownIt

from dmtl.benchmarks import benchmark
from dmtl.config import Grid
from dmtl.report.charts import interval_chart
from dmtl.report.claims import DRAWS, LEVEL
from dmtl.report.columns import DELTA_M, FLOPS, PARAMS
from dmtl.report.findings import NOT_RUN, Claim, Finding
from dmtl.report.margins import Margin, with_steps
from dmtl.report.rendering import render
from dmtl.report.results import Run, row_of
from dmtl.report.table_cells import SETTING_TITLES, CostOf

HEADER = (
    "Labels",
    "Compared",
    "Measure",
    "Difference",
    f"{LEVEL:g} % interval",
    "Verdict",
    "Seeds",
    "Interval covers",
    "What would settle it",
)
COMPUTE = "Labels", "Backbone", "Method", "Trainings", "Epochs each", "Parameters M", "Multiply-adds an image G"
EXPLAINED = (
    "Differences are signed so that more is in the claim's favour. A claim holds where the whole interval is above zero, does "
    f"not hold where it is below, and cannot be told where zero is inside: {DRAWS} paired draws of the same test images for "
    "both sides and, where several seeds were trained, of seeds. Where a side has a single seed, the interval of Δm is widened "
    "by the spread that the methods with several have; with three seeds the spread is still understated, and no correction is "
    "made for looking at many comparisons. About what would settle it: of the interval's width, the images' part falls with "
    "their number and the seeds' with theirs."
)


@dataclass(frozen=True)
class ClaimsReport:
    """What is shown of the claims, in either format.

    Attributes:
        grid: whose cells are compared.
        claims: with what was found of each.
        margins: over the constant.
        runs: every evaluated training.
        costs: counts a cell's network at the size that was trained; None where it is not known.
        checks: Markdown about what was tried; raw HTML in it is shown and not obeyed.
    """

    grid: Grid
    claims: Sequence[Claim]
    margins: Sequence[Margin]
    runs: Sequence[Run]
    costs: CostOf | None = None
    checks: str = ""

    def markdown(self) -> str:
        """claims.md."""
        verdicts = ((f"({c.key}) {c.text}", f"**{c.verdict}**", c.basis) for c in self.claims)
        lines = ["# Do the paper's claims hold here?", "", EXPLAINED, "", *_table(("Claim", "Verdict", "From"), verdicts)]
        for claim in self.claims:
            lines += ["", f"## ({claim.key}) {claim.text}: {claim.verdict}", "", _sentence(claim.basis), ""]
            lines += _table(HEADER, map(self._row, claim.findings))
        header, rows = _margin_table(self.margins)
        lines += ["", "## Every method against the constant", "", _about_margins(self.margins), "", *_table(header, rows)]
        lines += ["", "## Compute", "", _compute(self.runs), "", *_table(COMPUTE, self._compute_rows())]
        return "\n".join([*lines, "", self.checks.strip(), ""])

    def html(self) -> str:
        """A part of the page."""
        header, rows = _margin_table(self.margins)
        return render(
            "claims.html.j2",
            claims=[(claim, list(map(self._row, claim.findings))) for claim in self.claims],
            header=HEADER,
            explained=EXPLAINED,
            chart=self._chart(),
            margins_text=_about_margins(self.margins),
            margins_header=header,
            margins=list(rows),
            compute=_compute(self.runs),
            compute_header=COMPUTE,
            compute_rows=list(self._compute_rows()),
            checks=MarkdownIt("commonmark", {"html": False}).enable("table").render(self.checks),
        )

    def _row(self, finding: Finding) -> tuple[str, ...]:
        """A finding in the columns of `HEADER`."""
        measure, places = self._measure(finding)
        compared = f"{self._short(finding.a)} against {self._short(finding.b)}"
        first = SETTING_TITLES[finding.setting], compared, f"{measure}, {finding.unit}"
        if finding.difference is None:
            return *first, "", "", NOT_RUN, "", "", ""
        numbers = f"{finding.difference:+.{places}f}", f"{finding.low:+.{places}f} to {finding.high:+.{places}f}"
        seeds = f"{finding.seeds_a} and {finding.seeds_b}"
        return *first, *numbers, finding.verdict, seeds, finding.covers, finding.settles

    def _measure(self, finding: Finding) -> tuple[str, int]:
        """What is compared, and with how many decimals it is printed."""
        if not finding.task:
            return "Δm", DELTA_M.decimals
        task = benchmark(self.grid.cells[finding.a.partition(" ")[0]].benchmark).task(finding.task)
        return task.title, task.kind.decimals

    def _short(self, name: str) -> str:
        """A cell's name without benchmark, setting and backbone: the method, the pinned steps, the stage."""
        key, _, stage = name.partition(" ")
        cell = self.grid.cells.get(key)
        method = self._method(cell.method, cell.steps) if cell else key
        return f"{method}, {stage}" if stage else method

    def _method(self, method: str, steps: int | None) -> str:
        return self.grid.title(method) + (with_steps(steps) if steps else "")

    def _chart(self) -> str:
        """The intervals of Delta_m; empty where none was run."""
        rows = []
        for finding in (finding for claim in self.claims for finding in claim.findings if not finding.task):
            if finding.difference is not None and finding.low is not None and finding.high is not None:
                first = f"({finding.claim}) {SETTING_TITLES[finding.setting]}: {self._short(finding.a)}"
                label = f"{first}\nagainst {self._short(finding.b)}"
                rows.append((label, finding.difference, finding.low, finding.high))
        return interval_chart(rows, "difference of Δm, %") if rows else ""

    def _compute_rows(self) -> Iterator[tuple[str, ...]]:
        """What a training of each row and number of steps took, in the columns of `COMPUTE`."""
        groups: dict[tuple, list[Run]] = {}
        for run in self.runs:
            if run.history:
                groups.setdefault((row_of(run.cell), run.cell.steps), []).append(run)
        for (row, steps), same in groups.items():
            cost = self.costs(same[0].cell) if self.costs else {}
            numbers = [f"{cost[name]:.2f}" if name in cost else "" for name in (PARAMS.metric, FLOPS.metric)]
            epochs = f"{mean(len(run.history) for run in same):g}"
            method = self._method(row.method, steps)
            yield SETTING_TITLES[row.setting], row.backbone, method, str(len(same)), epochs, *numbers


def _compute(runs: Sequence[Run]) -> str:
    """What the trainings took, as far as it is recorded."""
    trained = [run for run in runs if run.history]
    epochs = sum(len(run.history) for run in trained)
    return f"{len(trained)} trainings, {epochs} epochs in all (a single-task cell counts those of each of its networks)."


def _about_margins(margins: Sequence[Margin]) -> str:
    below = [f"{m.method} ({m.setting}, {m.backbone}) on {m.task.title.lower()}" for m in margins if m.least <= 0]
    if not margins:
        return "The constant was not evaluated."
    if not below:
        return "Every training that was evaluated, each seed of it, beats the best constant prediction on every task."
    return f"Not better than the best constant prediction, in one seed at least: {'; '.join(below)}."


def _margin_table(margins: Sequence[Margin]) -> tuple[tuple[str, ...], Iterator[tuple[str, ...]]]:
    """Header and rows: a row per training, a column per task."""
    tasks = {m.task.name: m.task for m in margins}
    cells = {(m.setting, m.backbone, m.method, m.task.name): m for m in margins}
    rows = dict.fromkeys(key[:3] for key in cells)
    titles = (f"{task.title}: better by, {task.kind.unit} (worst seed)" for task in tasks.values())
    body = ((*row, *(_margin(cells.get((*row, task))) for task in tasks)) for row in rows)
    return ("Labels", "Backbone", "Method", *titles), body


def _margin(margin: Margin | None) -> str:
    if margin is None:
        return ""
    places = margin.task.kind.decimals
    return f"{margin.gain:+.{places}f} ({margin.least:+.{places}f})"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _table(header: Sequence[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows)]
