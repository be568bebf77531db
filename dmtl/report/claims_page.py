"""The claims as people read them: a part of the page, Markdown, and a chart of the intervals."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean

from markdown_it import MarkdownIt

from dmtl.benchmarks import benchmark
from dmtl.config import Cell, Grid
from dmtl.report.changed import Changes
from dmtl.report.charts import Interval, interval_chart
from dmtl.report.claims import BASELINE, DRAWS, LEVEL
from dmtl.report.columns import DELTA_M, FLOPS, PARAMS
from dmtl.report.findings import ALPHA, NOT_RUN, Claim, Finding
from dmtl.report.layout import changed_notes
from dmtl.report.margins import Margin, with_steps
from dmtl.report.power import ENOUGH
from dmtl.report.rendering import render, without_empty
from dmtl.report.results import Run, row_of, row_with_steps
from dmtl.report.table_cells import SETTING_TITLES, CostOf

HEADER = (
    "Labels",
    "Compared",
    "Measure",
    "Difference",
    f"{LEVEL:g} % interval",
    "Verdict",
    "p, corrected (Holm)",
    "The paper's difference",
    "Could it have been shown (power)",
    "Seeds",
    "Interval covers",
    "What would settle it",
)
SUMMARY = "Claim", "Verdict", "With Holm's correction", "The paper's difference", "Could it have been shown (power)", "From"
COMPUTE = "Labels", "Backbone", "Method", "Trainings", "Epochs each", "Parameters M", "Multiply-adds an image G"
EXPLAINED = (
    "Differences are signed so that more is in the claim's favour. A claim holds where the whole interval is above zero, does "
    f"not hold where it is below, and cannot be told where zero is inside: {DRAWS} paired draws of the same test images for "
    "both sides and, where several seeds were trained, of seeds. Where a side has a single seed, the interval of Δm is widened "
    "by the spread that the methods with several have; with three seeds the spread is still understated.\n"
    "Of many intervals some leave zero out by chance. Holm's correction makes it as improbable that any of this page's verdicts "
    f"is such a one as it is of a single interval: a verdict stays where its corrected p-value is below {ALPHA:g}.\n"
    "The paper's difference is that of its ResNet-18 rows, on the same benchmark or else on the one that is named; power is the "
    f"probability that an interval as wide as ours would lie above zero if that difference were the true one. Below "
    f"{100 * ENOUGH:.0f} % an open verdict says little about the paper's claim.\n"
    "About what would settle it: of the interval's width, the images' part falls with their number and the seeds' with theirs."
)
EVERY = "Every method against {} of the same labels: differences of Δm with their {} % intervals, where more is better."


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
        every: Delta_m of every method against the multi-task baseline.
        changed: rows that were trained with other parameters than would be taken now.
    """

    grid: Grid
    claims: Sequence[Claim]
    margins: Sequence[Margin]
    runs: Sequence[Run]
    costs: CostOf | None = None
    checks: str = ""
    every: Sequence[Finding] = ()
    changed: Changes = field(default_factory=dict)

    def markdown(self) -> str:
        """claims.md."""
        lines = ["# Do the paper's claims hold here?", "", *_table(SUMMARY, map(self._summary, self.claims)), ""]
        for paragraph in [*EXPLAINED.splitlines(), *self._notes()]:
            lines += [paragraph, ""]
        if self.every:
            lines += ["## Every method", "", self._about_every(), "", *_table(*without_empty(HEADER, map(self._row, self.every)))]
        for claim in self.claims:
            lines += ["", f"## ({claim.key}) {claim.text}: {claim.verdict}", "", _sentence(claim.basis), ""]
            lines += _table(*without_empty(HEADER, map(self._row, claim.findings)))
        header, rows = _margin_table(self.margins)
        lines += ["", "## Every method against the constant", "", _about_margins(self.margins), "", *_table(header, rows)]
        lines += ["", "## Compute", "", _compute(self.runs), "", *_table(*without_empty(COMPUTE, self._compute_rows()))]
        return "\n".join([*lines, "", self.checks.strip(), ""])

    def html(self) -> str:
        """A part of the page."""
        return render(
            "claims.html.j2",
            claims=[(claim, *without_empty(HEADER, map(self._row, claim.findings))) for claim in self.claims],
            summary_header=SUMMARY,
            summary=[self._summary(claim, bold=False) for claim in self.claims],
            explained=EXPLAINED.splitlines(),
            notes=list(self._notes()),
            every_text=self._about_every(),
            every_chart=self._every_chart(),
            every=without_empty(HEADER, map(self._row, self.every)),
            chart=self._chart(),
            margins_text=_about_margins(self.margins),
            margins=without_empty(*_margin_table(self.margins)),
            compute=_compute(self.runs),
            compute_table=without_empty(COMPUTE, self._compute_rows()),
            checks=MarkdownIt("commonmark", {"html": False}).enable("table").render(self.checks),
        )

    def _summary(self, claim: Claim, bold: bool = True) -> tuple[str, ...]:
        """A claim in the columns of `SUMMARY`."""
        verdict = f"**{claim.verdict}**" if bold else claim.verdict
        printed = dict.fromkeys(self._paper(finding) for finding in claim.findings if finding.paper is not None)
        papers, shown = ", ".join(printed) or "not printed", _shown(claim.powers)
        return f"({claim.key}) {claim.text}", verdict, claim.corrected, papers, shown, claim.basis

    def _notes(self) -> Iterator[str]:
        """How rows that the claims are about were trained otherwise than they would be now."""
        compared = {cell for claim in self.claims for f in (*claim.findings, *self.every) for cell in map(self._cell, (f.a, f.b))}
        rows = dict.fromkeys(row_with_steps(cell) for cell in self.grid.cells.values() if cell in compared)
        named = ((row, self._method(row.method, row.steps), SETTING_TITLES[row.setting]) for row in rows)
        return changed_notes(named, self.changed)

    def _row(self, finding: Finding) -> tuple[str, ...]:
        """A finding in the columns of `HEADER`."""
        measure, places = self._measure(finding)
        compared = f"{self._short(finding.a)} against {self._short(finding.b)}"
        first = SETTING_TITLES[finding.setting], compared, f"{measure}, {finding.unit}"
        if finding.difference is None:
            return *first, "", "", NOT_RUN, "", self._paper(finding), "", "", "", ""
        numbers = f"{finding.difference:+.{places}f}", f"{finding.low:+.{places}f} to {finding.high:+.{places}f}"
        holm = "" if finding.p_holm is None else f"{finding.p_holm:.3f}" if finding.p_holm >= 0.001 else "< 0.001"
        power, seeds = _shown([] if finding.power is None else [finding.power]), f"{finding.seeds_a} and {finding.seeds_b}"
        return *first, *numbers, finding.verdict, holm, self._paper(finding), power, seeds, finding.covers, finding.settles

    def _paper(self, finding: Finding) -> str:
        """The paper's difference, and of which benchmark where it is another."""
        if finding.paper is None:
            return ""
        cell = self._cell(finding.a)
        elsewhere = "" if cell and cell.benchmark == finding.paper_on else f" on {benchmark(finding.paper_on).title}"
        return f"{finding.paper:+.2f}{elsewhere}"

    def _cell(self, name: str) -> Cell | None:
        """The cell that a side of a finding names."""
        return self.grid.cells.get(name.partition(" ")[0])

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
        changed = cell is not None and row_with_steps(cell) in self.changed
        method = self._method(cell.method, cell.steps) + " †" * changed if cell else key
        return f"{method}, {stage}" if stage else method

    def _method(self, method: str, steps: int | None) -> str:
        return self.grid.title(method) + (with_steps(steps) if steps else "")

    def _chart(self) -> str:
        """The intervals of Delta_m under each claim; empty where none was run."""
        shown = [finding for claim in self.claims for finding in claim.findings if not finding.task and finding.low is not None]
        labels = [f"({f.claim}) {SETTING_TITLES[f.setting]}: {self._short(f.a)}\nagainst {self._short(f.b)}" for f in shown]
        return _intervals(labels, shown)

    def _every_chart(self) -> str:
        return _intervals([f"{SETTING_TITLES[f.setting]}: {self._short(f.a)}" for f in self.every], self.every)

    def _about_every(self) -> str:
        return EVERY.format(self.grid.title(BASELINE) if BASELINE in self.grid.methods else BASELINE, f"{LEVEL:g}")

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


def _intervals(labels: Sequence[str], findings: Sequence[Finding]) -> str:
    """A forest plot of differences of Delta_m as a data URI; empty where there are none."""
    rows = [
        Interval(label, f.difference, f.low, f.high, f.paper)
        for label, f in zip(labels, findings, strict=True)
        if f.difference is not None and f.low is not None and f.high is not None
    ]
    return interval_chart(rows, "difference of Δm, %") if rows else ""


def _shown(powers: Sequence[float]) -> str:
    """Whether intervals with these powers could have shown the paper's differences, such as `no (38 to 71 %)`."""
    if not powers:
        return ""
    low, high = min(powers), max(powers)
    word = "yes" if low >= ENOUGH else "no" if high < ENOUGH else "in part"
    span = dict.fromkeys((f"{100 * low:.0f}", f"{100 * high:.0f}"))
    return f"{word} ({' to '.join(span)} %)"


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


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows)]
