"""The commands that are no stage of the pipeline: `dmtl COMMAND --help`, or `python -m dmtl COMMAND --help`."""

import argparse

from dmtl import __version__
from dmtl.commands import commands
from dmtl.commands.shared.arguments import Parser
from dmtl.errors import one_line_errors


def main(argv: list[str] | None = None) -> None:
    """Read the command line and run one command."""
    arguments = parser().parse_args(argv)
    with one_line_errors():
        arguments.run(arguments)


def parser() -> argparse.ArgumentParser:
    """The command line: a subcommand for each file of `dmtl/commands`."""
    whole = Parser(prog="dmtl", description="DiffusionMTL rebuilt: commands beside the pipeline.")
    whole.add_argument("--version", action="version", version=f"dmtl {__version__}")
    subcommands = whole.add_subparsers(metavar="COMMAND")
    whole.set_defaults(run=lambda _: whole.print_help())
    for name, module in commands().items():
        title = (module.__doc__ or "").partition("\n")[0]
        command = subcommands.add_parser(name, help=title, description=title)
        module.add_arguments(command)
        command.set_defaults(run=module.run, parser=command)
    return whole


if __name__ == "__main__":
    main()
