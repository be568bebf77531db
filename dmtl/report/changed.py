"""Which rows were trained with other parameters than params.yaml and grid.yaml have now: a report shows what is there."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dmtl.files import flat
from dmtl.report.published import Row
from dmtl.report.results import Run, row_with_steps

Changes = Mapping[Row, Sequence[str]]  # row -> what differs, such as "options.steps 2, now 6"


def changes(runs: Sequence[Run], today: Mapping[str, Mapping[str, Any]]) -> Changes:
    """The rows with a training whose configuration is not today's; nothing of results that do not tell theirs.

    Args:
        today: cell -> the whole configuration that it would be trained with now, as JSON has it.
    """
    rows: dict[Row, dict[str, None]] = {}
    for run in runs:
        if run.training and run.key in today:
            for difference in _differences(flat(run.training), flat(today[run.key])):
                rows.setdefault(row_with_steps(run.cell), {})[difference] = None
    return {row: list(differences) for row, differences in rows.items()}


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*then, *now]):
        if then.get(name) != now.get(name):
            yield f"{name} {then.get(name, 'unset')}, now {now.get(name, 'unset')}"
