"""Stage scripts and commands run as `python stages/train.py CELL` or `python -m dmtl ...` would run them, in this process.

As a script, `python stages.py JSON` runs several one after the other in one new process and prints a JSON list of their outputs:
for a copy of the code, whose modules are not those of the tests. Each new process would cost seconds of imports.
"""

import contextlib
import importlib
import io
import json
import runpy
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch


def run(folder: Path, *command: str, expect: int = 0) -> str:
    """What a command prints on both streams; it works on the project in `folder`, by the code that is imported.

    Args:
        folder: root of the project.
        command: a script in `stages/` with its arguments, or `-m dmtl` with those of `python -m dmtl`.
        expect: the exit status that it must end with.
    """
    root = Path(importlib.import_module("dmtl").__file__ or "").parents[1]
    with contextlib.chdir(folder):
        status, said = _called(root, command)
    assert status == expect, said
    return said


def run_in_one_process(copy: Path, *commands: list[str]) -> list[str]:
    """What each command prints, run by the code of a copy of the repository; `-c CODE` runs the code."""
    call = [sys.executable, __file__, json.dumps(commands)]
    done = subprocess.run(call, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _called(root: Path, command: tuple[str, ...]) -> tuple[int, str]:
    """Exit status and output."""
    said = io.StringIO()
    name, *arguments = command if command[0] != "-m" else command[1:]
    script = str(root / name) if command[0] != "-m" else name
    try:
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            patch.object(sys, "argv", [script, *arguments]),
            patch.object(sys, "path", [str(root / "stages"), str(root), *sys.path]),
        ):
            if name == "-c":
                exec(arguments[0], {"__name__": "__main__"})
            elif command[0] == "-m":
                runpy.run_module(name, run_name="__main__", alter_sys=False)
            else:
                runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    return 0, said.getvalue()


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, where the copy's code is not
    outputs = []
    for one in json.loads(sys.argv[1]):
        ended, text = _called(Path.cwd(), tuple(one))
        if ended:
            sys.exit(f"{one} ended with {ended}:\n{text}")
        outputs.append(text)
    print(json.dumps(outputs))
