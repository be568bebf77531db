"""Measure what each network takes on the device at hand: time, memory, share of its peak, and the hours of each table."""

import argparse

from dmtl.commands.shared.arguments import number
from dmtl.stage import add_project, project_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", nargs="+", default=[], metavar="CELL", help="only these, such as '*-diffusion_feature'")
    parser.add_argument(
        "--minutes", type=number(0, 10_000, above=True), default=10, help="no measurement begins after so many (%(default)s)"
    )
    parser.add_argument("--seconds", type=number(0, 600, above=True), default=1.0, help="that each thing is timed (%(default)s)")
    parser.add_argument("--scale", default="paper", help="whose sizes and recipes are measured (%(default)s)")
    parser.add_argument("--show", action="store_true", help="print what was measured before, and measure nothing")
    add_project(parser)


def run(arguments: argparse.Namespace) -> None:
    from dmtl.hardware.machine import device_at_hand
    from dmtl.hardware.measure import measure
    from dmtl.hardware.plan import missing, works
    from dmtl.hardware.record import Record
    from dmtl.hardware.text import as_text
    from dmtl.report.costs import Costs
    from dmtl.report.measured import Measured

    project, device = project_of(arguments, scale=arguments.scale), device_at_hand()
    costs, record = Costs(project), Record(project, device)
    todo = missing(works(project, costs, device, arguments.rows, arguments.seconds), record)
    done = arguments.show or measure(todo, record, arguments.minutes)
    print(as_text(Measured(record.content), costs, list(costs.grid.cells.values())))
    if not done:
        left = len(missing(todo, record))
        print(f"{left} of {len(todo)} things are left; the same command goes on with them")
    print(f"written to {record.file}" if record.file.is_file() else "nothing was measured yet")
