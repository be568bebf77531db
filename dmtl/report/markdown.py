"""Tables as Markdown."""

from collections.abc import Iterable
from statistics import mean

from dmtl.report.entries import METHODS, SETTINGS
from dmtl.report.layout import Line, Number, Section, benchmark_title, form, heading, provenance
from dmtl.report.results import Results
from dmtl.tasks import TASKS


def markdown(table: int, parts: list[Section], results: Results, scale: str) -> str:
    """A whole table as a Markdown page."""
    lines = [f"# Table {table}, scale {scale}", "", provenance(scale), ""]
    for section in parts:
        header = ["# labels", "Backbone", "Method", *section.headings]
        lines += [f"## {benchmark_title(section.benchmark)}", "", *_grid(header, map(_fields, section.lines), numbers_from=3), ""]
        lines += _initial_against_final(section, results)
    return "\n".join(lines)


def _fields(line: Line) -> list[str]:
    method = f"<i>{line.method}</i>" if line.copied else line.method
    return [line.setting, line.backbone, method, *(_number(number, line.copied) for number in line.numbers)]


def _number(number: Number, copied: bool) -> str:
    if copied:
        return f"(<i>{number.paper_text}</i>)" if number.paper_text else number.text
    ours = f"**{number.text}**" if number.best else number.text
    return f"{ours} ({number.paper_text})" if number.paper_text else ours


def _initial_against_final(section: Section, results: Results) -> list[str]:
    rows = [row for row in results if row.benchmark == section.benchmark and results[row].initial]
    shown = {(line.setting, line.backbone, line.method) for line in section.lines}
    rows = [row for row in rows if (SETTINGS[row.setting], row.backbone, METHODS.get(row.method, row.method)) in shown]
    if not rows:
        return []
    columns = [(task, TASKS[task].metric) for task in results[rows[0]].final[0]]
    body = []
    for row in rows:
        trained = results[row]
        initial, final = (
            {task: mean(s[task] for s in seeds) for task, _ in columns} for seeds in (trained.initial, trained.final)
        )
        pairs = [f"{form(initial[c[0]], c)} → {form(final[c[0]], c)}" for c in columns]
        body.append([SETTINGS[row.setting], row.backbone, METHODS.get(row.method, row.method), *pairs])
    header = ["# labels", "Backbone", "Method", *map(heading, columns)]
    return ["Initial → final predictions:", "", *_grid(header, body, numbers_from=3), ""]


def _grid(header: list[str], body: Iterable[list[str]], numbers_from: int) -> list[str]:
    rule = ["---"] * numbers_from + ["---:"] * (len(header) - numbers_from)
    return [f"| {' | '.join(fields)} |" for fields in (header, rule, *body)]
