"""The claims as people read them: a part of the page, Markdown, and a chart of the intervals."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import mean

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markdown_it import MarkdownIt

from dmtl.report.charts import interval_chart
from dmtl.report.claims import DRAWS, LEVEL, NOT_RUN, Claim, Finding, Margin, with_steps
from dmtl.report.entries import METHODS, SETTINGS, Costs
from dmtl.report.results import Run, row_of
from dmtl.tasks import TASKS

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


def claims_markdown(
    claims: Sequence[Claim], margins: Sequence[Margin], runs: Sequence[Run], costs: Costs | None, checks: str
) -> str:
    """claims.md; the arguments are those of `claims_html`."""
    lines = ["# Do the paper's claims hold here?", "", EXPLAINED, "", *_table(("Claim", "Verdict", "From"), _verdicts(claims))]
    for claim in claims:
        lines += [
            "",
            f"## ({claim.key}) {claim.text}: {claim.verdict}",
            "",
            _sentence(claim.basis),
            "",
            *_table(HEADER, map(_row, claim.findings)),
        ]
    lines += ["", "## Every method against the constant", "", _about_margins(margins), "", *_table(*_margin_table(margins))]
    lines += ["", "## Compute", "", compute(runs), "", *_table(COMPUTE, compute_rows(runs, costs)), "", checks.strip(), ""]
    return "\n".join(lines)


def claims_html(claims: Sequence[Claim], margins: Sequence[Margin], runs: Sequence[Run], costs: Costs | None, checks: str) -> str:
    """A part of the page.

    Args:
        claims: what was found.
        margins: over the constant.
        runs: every evaluated training.
        costs: counts a cell's network at the size that was trained; None where it is not known.
        checks: Markdown; raw HTML in it is shown and not obeyed.
    """
    environment = Environment(
        loader=PackageLoader("dmtl.report"), autoescape=select_autoescape(["j2"]), undefined=StrictUndefined, trim_blocks=True
    )
    header, rows = _margin_table(margins)
    told = [finding for claim in claims for finding in claim.findings if finding.verdict != NOT_RUN]
    return environment.get_template("claims.html.j2").render(
        claims=[(claim, [_row(finding) for finding in claim.findings]) for claim in claims],
        header=HEADER,
        explained=EXPLAINED,
        chart=_chart([finding for finding in told if not finding.task]),
        margins_text=_about_margins(margins),
        margins_header=header,
        margins=list(rows),
        compute=compute(runs),
        compute_header=COMPUTE,
        compute_rows=list(compute_rows(runs, costs)),
        checks=MarkdownIt("commonmark", {"html": False}).enable("table").render(checks),
    )


def compute(runs: Sequence[Run]) -> str:
    """What the trainings took, as far as it is recorded."""
    trained = [run for run in runs if run.history]
    epochs = sum(len(run.history) for run in trained)
    return f"{len(trained)} trainings, {epochs} epochs in all (a single-task cell counts those of each of its networks)."


def compute_rows(runs: Sequence[Run], costs: Costs | None) -> Iterator[tuple[str, ...]]:
    """What a training of each row and number of steps took."""
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        if run.history:
            groups.setdefault((row_of(run.cell), run.cell.steps), []).append(run)
    for (row, steps), same in groups.items():
        cost = costs(same[0].cell) if costs else {}
        method = METHODS[row.method] + (with_steps(steps) if steps else "")
        numbers = [f"{cost[name]:.2f}" if name in cost else "" for name in ("params_m", "flops_g")]
        epochs = f"{mean(len(run.history) for run in same):g}"
        yield SETTINGS[row.setting], row.backbone, method, str(len(same)), epochs, *numbers


def _verdicts(claims: Sequence[Claim]) -> Iterator[tuple[str, ...]]:
    for claim in claims:
        yield f"({claim.key}) {claim.text}", f"**{claim.verdict}**", claim.basis


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _row(finding: Finding) -> tuple[str, ...]:
    measure = f"{TASKS[finding.task].title}, {finding.unit}" if finding.task else "Δm, %"
    compared = f"{_short(finding.a)} against {_short(finding.b)}"
    if finding.difference is None:
        return SETTINGS[finding.setting], compared, measure, "", "", NOT_RUN, "", "", ""
    places = 4 if finding.task == "depth" else 2
    interval = f"{finding.low:+.{places}f} to {finding.high:+.{places}f}"
    seeds = f"{finding.seeds_a} and {finding.seeds_b}"
    numbers = f"{finding.difference:+.{places}f}", interval
    return SETTINGS[finding.setting], compared, measure, *numbers, finding.verdict, seeds, finding.covers, finding.settles


def _short(name: str) -> str:
    """A cell's name without benchmark, setting and backbone: the method, the pinned steps, the stage."""
    key, _, stage = name.partition(" ")
    parts = key.split("-")
    method = next((METHODS[part] for part in parts if part in METHODS), key)
    steps = next((with_steps(int(part.removeprefix("steps"))) for part in parts if part.startswith("steps")), "")
    return f"{method}{steps}{f', {stage}' if stage else ''}"


def _chart(findings: Sequence[Finding]) -> str:
    rows = [
        (f"({f.claim}) {SETTINGS[f.setting]}: {_short(f.a)}\nagainst {_short(f.b)}", f.difference, f.low, f.high)
        for f in findings
        if f.difference is not None and f.low is not None and f.high is not None
    ]
    return interval_chart(rows, "difference of Δm, %") if rows else ""


def _about_margins(margins: Sequence[Margin]) -> str:
    below = [f"{m.method} ({m.setting}, {m.backbone}) on {TASKS[m.task].title.lower()}" for m in margins if m.least <= 0]
    if not margins:
        return "The constant was not evaluated."
    if not below:
        return "Every training that was evaluated, each seed of it, beats the best constant prediction on every task."
    return f"Not better than the best constant prediction, in one seed at least: {'; '.join(below)}."


def _margin_table(margins: Sequence[Margin]) -> tuple[tuple[str, ...], Iterator[tuple[str, ...]]]:
    tasks = list(dict.fromkeys(m.task for m in margins))
    found = {(m.setting, m.backbone, m.method, m.task): m for m in margins}
    rows = dict.fromkeys(key[:3] for key in found)
    header = (
        "Labels",
        "Backbone",
        "Method",
        *(f"{TASKS[task].title}: better by, {TASKS[task].unit} (worst seed)" for task in tasks),
    )

    def text(row: tuple[str, str, str], task: str) -> str:
        margin, places = found.get((*row, task)), 4 if task == "depth" else 2
        return "" if margin is None else f"{margin.gain:+.{places}f} ({margin.least:+.{places}f})"

    return header, ((*row, *(text(row, task) for task in tasks)) for row in rows)


def _table(header: Sequence[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows)]
