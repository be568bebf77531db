"""Every command of README, CONTRIBUTING and docs/ is one that there is: its program, subcommand, options, targets, keys."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from helpers.project import ROOT

from dmtl import __main__ as cli
from dmtl.config import Project, for_download, for_training
from dmtl.models import method_names

PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
PROGRAMS = ("make", "dvc", "python", "mlflow", "pip")
DVC = {"repro", "exp run", "exp show", "metrics diff", "metrics show", "plots show", "queue start", "push", "pull", "commit"}
DVC |= {"remote add", "status", "checkout", "init", "exp apply", "exp branch"}
PLACEHOLDERS = {"<cell>": "nyud-full-mtl_baseline", "NAME": "nyud", "CELL_A": "a", "CELL_B": "b", "[CELLS...]": ""}


def _commands() -> list[str]:
    found = []
    for name in PAGES:
        text = (ROOT / name).read_text()
        fenced = re.findall(r"^```(?:bash)?\n(.*?)^```$", text, re.M | re.S)
        lines = [line for block in fenced for part in block.splitlines() for line in re.split(r"&& | ; |do(?=\n)", part)]
        if not name.startswith("docs/"):  # whose sentences also name parts of commands
            lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
        lines = [line.split("   ")[0].partition("    #")[0].strip() for line in lines]
        found += [line for line in lines if line.split(" ")[0] in PROGRAMS and " " in line]
    return list(dict.fromkeys(found))


COMMANDS = _commands()


def _words(command: str) -> list[str]:
    for name, value in PLACEHOLDERS.items():
        command = command.replace(name, value)
    command = re.sub(r"\$\([^)]*\)", "", command)
    return shlex.split(command)


def _targets() -> set[str]:
    """What `dvc repro` may be told: stages, groups of them, single cells, of both pipelines."""
    names: set[str] = set()
    for folder in (ROOT, ROOT / "study"):
        grid = yaml.safe_load((folder / "grid.yaml").read_text())
        members = {
            "download": grid["benchmarks"],
            "shards": grid["benchmarks"],
            "train": grid["cells"],
            "evaluate": grid["cells"],
        }
        for stage in yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]:
            names |= {stage} | {f"{stage}@{key}" for key in members.get(stage, ())}
    return names | {"train@nyud-full-mtl_shallow"}  # the latter is CONTRIBUTING's example


def _options_of(words: list[str], *names: str) -> list[str]:
    return [value for option, value in pairwise(words) if option in names]


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 30
    assert {command.split(" ")[0] for command in COMMANDS} >= {"make", "dvc", "python", "mlflow"}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_targets_are_there(command: str) -> None:
    rules = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), re.M)
    assert command.split(" ")[1] in {name for rule in rules for name in rule.split()}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python ")])
def test_python_commands_are_there(command: str) -> None:
    """Subcommands and their options are parsed by the command line's own parser; scripts are there, with what they take."""
    words = _words(command)
    if words[1:3] == ["-m", "dmtl"]:
        if len(words) > 3:
            cli.parser().parse_args(words[3:])
    elif words[1] != "-c":
        assert (ROOT / words[1]).is_file()
        if words[1].startswith("stages/") and not words[2].startswith("$"):
            assert any(target.endswith(f"@{words[2]}") for target in _targets())


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("dvc ")])
def test_dvc_commands_are_there(command: str) -> None:
    """The subcommand is one of those that we use, its targets are stages, and its `-S` keys stand in params.yaml."""
    words = _words(command)
    assert words[1] in DVC or " ".join(words[1:3]) in DVC
    for setting in _options_of(words, "-S", "--set-param"):
        Project(ROOT).block(setting.partition("=")[0])
    rest = [word for word in words[2:] if "@" in word or word.endswith("dvc.yaml")]
    assert {word for word in rest if "$" not in word} <= _targets()


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("dvc ") and "-S" in c and "=$" not in c])
def test_what_is_set_is_valid(command: str, tmp_path: Path) -> None:
    """The value is one that the configuration takes."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for setting in _options_of(_words(command), "-S"):
        key, _, value = setting.partition("=")
        *path, last = key.split(".")
        block = params
        for part in path:
            block = block[part]
        block[last] = yaml.safe_load(value)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    (tmp_path / "grid.yaml").write_text((ROOT / "grid.yaml").read_text())
    project = Project(tmp_path)
    for key in project.grid["cells"]:
        assert for_training(project, key).cell.method in method_names()
    for benchmark in project.grid["benchmarks"]:
        for_download(project, benchmark)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("pip ")])
def test_extras_are_there(command: str) -> None:
    extras = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.M)
    asked = re.search(r"\[(\w+)\]", command)
    assert asked is not None
    assert asked[1] in extras or "torchjd" in command


def test_files_that_are_named_are_there() -> None:
    """Paths in backticks that look like ours."""
    names = set()
    for name in (*PAGES, "THIRD_PARTY_NOTICES.md"):
        names |= set(re.findall(r"`((?:dmtl|stages|bench|study|tests)/[\w/.]+|[A-Z_]+\.(?:md|cff))`", (ROOT / name).read_text()))
    assert names
    assert [name for name in sorted(names) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("command", ["cells --table 1", "data", "cells --project study --stage train"])
def test_quick_commands_run(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(command.split())
    assert len(capsys.readouterr().out.splitlines()) > 5
