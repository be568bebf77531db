"""Completion of commands and options by a shell: eval "$(dmtl completion bash)"."""

import argparse

SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="put the printed text where the shell reads it, such as ~/.bashrc")


def run(arguments: argparse.Namespace) -> None:
    import shtab

    from dmtl.__main__ import parser

    print(shtab.complete(parser(), arguments.shell))
