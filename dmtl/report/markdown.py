"""Tables as Markdown."""

from collections.abc import Iterable, Iterator
from statistics import mean

from dmtl.report.columns import headline_columns
from dmtl.report.layout import DASH, Line, Number, Section, name_of, provenance
from dmtl.report.results import Results

BEFORE = ("# labels", "Backbone", "Method")  # the columns before the numbers


def markdown(table: int, parts: list[Section], results: Results, scale: str) -> str:
    """A whole table as a Markdown page."""
    lines = [f"# {name_of(table)}, scale {scale}", "", provenance(table, scale), ""]
    for section in parts:
        lines += [f"## {section.title}", "", *_grid([*BEFORE, *section.headings], map(_fields, section.lines)), ""]
        lines += [f"- {note}" for note in section.notes] + [""] * bool(section.notes)
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
    lines = {line.row: line for line in section.lines if not line.copied}
    shown = [line for row in results if (line := lines.get(row)) and results[row].initial]
    if not shown:
        return []
    tasks = list(dict.fromkeys(task for line in shown for task in results[line.row].tasks()))
    columns = headline_columns(section.benchmark)
    body = ([line.setting, line.backbone, line.method, *_pairs(section.benchmark, tasks, line, results)] for line in shown)
    header = [*BEFORE, *(columns[task].heading for task in tasks)]
    return ["Initial → final predictions:", "", *_grid(header, body), ""]


def _pairs(benchmark: str, tasks: list[str], line: Line, results: Results) -> Iterator[str]:
    """Each task's initial and final score."""
    trained, columns = results[line.row], headline_columns(benchmark)
    for task in tasks:
        if task not in trained.tasks():
            yield DASH
            continue
        initial, final = (mean(seed[task] for seed in seeds) for seeds in (trained.initial, trained.final))
        yield f"{columns[task].form(initial)} → {columns[task].form(final)}"


def _grid(header: list[str], body: Iterable[list[str]]) -> list[str]:
    rule = ["---"] * len(BEFORE) + ["---:"] * (len(header) - len(BEFORE))
    return [f"| {' | '.join(fields)} |" for fields in (header, rule, *body)]
