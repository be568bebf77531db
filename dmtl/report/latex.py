"""Tables as LaTeX for a paper: `booktabs`, and `xcolor` for the printed figures in grey."""

from dmtl.report.layout import Line, Number, Section, name_of
from dmtl.report.table_cells import BEYOND, OWN

_SPECIAL = {name: rf"\{name}" for name in "&%#_"}
_SYMBOLS = {"–": "--", "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "Δ": r"$\Delta$", "†": r"$\dagger$"}
_PLAIN = str.maketrans(_SPECIAL | _SYMBOLS)


def latex(table: int, parts: list[Section], scale: str) -> str:
    """A whole table as one `table` environment per benchmark."""
    head = f"% {name_of(table)}, scale {scale}. Needs \\usepackage{{booktabs,xcolor}}."
    return "\n".join([head, *(_environment(table, section, scale) for section in parts)]) + "\n"


def _environment(table: int, section: Section, scale: str) -> str:
    name = {OWN: "Scores", BEYOND: "Beyond DiffusionMTL"}.get(table, f"Table {table} of DiffusionMTL")
    printed = {OWN: "", BEYOND: ": ours, what other papers print, not comparable, in grey"}.get(
        table, ": ours, the paper's in grey"
    )
    caption = f"{name} on {section.title}, scale {scale}{printed}."
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(caption)}}}",
            rf"\begin{{tabular}}{{lll{'r' * len(section.columns)}}}",
            r"\toprule",
            _joined([_escaped(name) for name in ("# labels", "Backbone", "Method", *section.headings)]),
            r"\midrule",
            *_body(section),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {_escaped(note)}" for note in section.notes),
            r"\end{table}",
        ]
    )


def _body(section: Section) -> list[str]:
    lines: list[str] = []
    group = None
    for line in section.lines:
        if group not in (None, (line.setting, line.backbone)):
            lines.append(r"\midrule")
        group = line.setting, line.backbone
        lines.append(
            _joined(
                [
                    _escaped(line.setting),
                    _escaped(line.backbone),
                    _method(line),
                    *(_number(number, line.copied) for number in line.numbers),
                ]
            )
        )
    return lines


def _method(line: Line) -> str:
    return rf"\textit{{{_escaped(line.method)}}}" if line.copied else _escaped(line.method)


def _number(number: Number, copied: bool) -> str:
    if copied and number.paper_text:
        return rf"\textcolor{{gray}}{{({number.paper_text})}}"
    ours = _escaped(number.text)
    ours = rf"\textbf{{{ours}}}" if number.best else ours
    return rf"{ours} \textcolor{{gray}}{{({number.paper_text})}}" if number.paper_text else ours


def _escaped(text: str) -> str:
    return text.translate(_PLAIN)


def _joined(fields: list[str]) -> str:
    return " & ".join(fields) + r" \\"
