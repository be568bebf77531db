"""The command line: a command per file, found by name, started fast, ended in one line."""

import argparse
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from helpers.project import ROOT, tiny_params, write_project

import dmtl
from dmtl import commands
from dmtl.__main__ import main, parser

NAMES = sorted(commands.commands())


def test_every_file_is_a_command_and_nothing_else() -> None:
    files = [path.stem for path in (ROOT / "dmtl" / "commands").glob("*.py") if path.stem != "__init__"]
    assert sorted(name.replace("_", "-") for name in files) == NAMES
    assert "import-official" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its help begins with what it does, which `dmtl --help` says too, and says what each option is for."""
    title = (commands.commands()[name].__doc__ or "").splitlines()[0]
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(f"usage: dmtl {name} ")
    assert title in text
    assert title in " ".join(parser().format_help().split())


def test_a_new_file_is_a_new_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "say_hello.py").write_text(
        '"""Greet somebody."""\n'
        "def add_arguments(parser):\n"
        "    parser.add_argument('name')\n"
        "def run(arguments):\n"
        "    print('hello', arguments.name)\n"
    )
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    main(["say-hello", "you"])
    assert capsys.readouterr().out == "hello you\n"
    assert "Greet somebody." in parser().format_help()


def test_help_and_commands_without_networks_start_without_torch(tmp_path: Path) -> None:
    (tmp_path / "masks.tsv").write_text("a\t101\n")
    calls = [["--help"], ["--version"], ["data", "--help"], ["mapping", str(tmp_path / "masks.tsv")], ["cells", "--table", "1"]]
    script = (
        "import contextlib, sys\n"
        "from dmtl.__main__ import main\n"
        f"for call in {calls!r}:\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main(call)\n"
        "    assert 'torch' not in sys.modules, call\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_is_stated_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"dmtl {dmtl.__version__}\n"
    assert version("dmtl") == dmtl.__version__


def test_the_installed_command_is_this_one() -> None:
    (script,) = entry_points(group="console_scripts", name="dmtl")
    assert script.load() is main


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(dmtl.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("call", [["no-such-command"], ["predict"], ["evaluate", "m", "--benchmark", "b", "--precision", "8"]])
def test_a_wrong_call_is_refused(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(call)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_a_project_that_is_not_there_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["cells", "--project", str(tmp_path / "nowhere")])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "params.yaml" in line


def test_cells_are_targets_of_dvc(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the pipeline in whose folder they are, of the stage that was asked for."""
    main(["cells", "--stage", "train"])
    everything = capsys.readouterr().out.split()
    assert all(target.startswith("train@") for target in everything)
    main(["cells", "--table", "1", "--stage", "train"])
    assert set(capsys.readouterr().out.split()) < set(everything)
    main(["cells", "--project", "study"])
    assert all(target.startswith("evaluate@nyud-") for target in capsys.readouterr().out.split())


def test_options_are_read_as_they_are_typed() -> None:
    arguments = parser().parse_args(["launch", "a", "b", "--gpus-per-cell", "0.5", "--project", "study"])
    assert isinstance(arguments, argparse.Namespace)
    assert (arguments.cells, arguments.gpus_per_cell, arguments.project, arguments.address) == (["a", "b"], 0.5, "study", None)


def test_dmtl_alone_is_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert capsys.readouterr().out == parser().format_help()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", shell])
    script = capsys.readouterr().out
    assert [name for name in NAMES if name not in script] == []
    assert "--benchmark" in script


def test_the_page_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = write_project(tmp_path / "p", tiny_params())
    with pytest.raises(SystemExit):
        main(["page", "--project", str(project)])
    assert "is missing: run 'dvc repro --single-item report'" in capsys.readouterr().err
    page = project / "reports" / "demo" / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    main(["page", "--project", str(project)])
    assert capsys.readouterr().out == f"the page: {page}\n"


def test_an_unknown_cell_is_told_the_three_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "nyud-onelabel-difusion", "nyud-full-constant"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: grid.yaml has no cell 'nyud-onelabel-difusion'; did you mean 'nyud-onelabel-")
    assert line.count("nyud-onelabel-") == 4
