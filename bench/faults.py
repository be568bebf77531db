"""What the stages make of a hostile machine: `python bench/faults.py [KIND ...] [--kills 5] [--only NAME ...]`, as root on Linux.

Kinds: `kills` (kill -9 at random moments of each stage and of a launch), `full` (a disk that fills up), `read-only`, `clock` (set
back by ten years while a stage runs), `twice` (two processes of one kind at once), `pools` (a worker is killed). After each fault
the same command runs again, and all files must have the bytes that they have without the fault. The code is that of the last
commit. Prints how often that was so. A NAME is a stage, or what the kind tries besides.
"""

import argparse
import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from helpers.project import tiny_params  # noqa: E402

CELL = "nyud-full-mtl_baseline"
PYTHON = sys.executable
STAGES = {  # in order, so that each finds what it needs
    "download": (PYTHON, "stages/download.py", "nyud"),
    "shards": (PYTHON, "stages/shards.py", "nyud"),
    "train": (PYTHON, "stages/train.py", CELL),
    "evaluate": (PYTHON, "stages/evaluate.py", CELL),
    "report": (PYTHON, "stages/report.py"),
    "launch": (PYTHON, "-m", "dmtl", "launch", CELL, "--workers", "1"),
}
LEFT = {"download": 16, "shards": 16, "train": 1024, "evaluate": 2, "report": 64, "launch": 1024}  # KiB that a full disk has free
LONGEST = 300  # seconds of a command
PASSING = {".work", ".git", ".dvc", "__pycache__", "tmp"}  # folders whose files are no results
CLOCK = """
import time
now, begun = time.time, time.monotonic()
time.time = lambda: now() - (3e8 if time.monotonic() > begun + 3 else 0)
time.time_ns = lambda: int(time.time() * 1e9)
"""


def main() -> None:
    """All kinds of faults, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--kills", type=int, default=5, metavar="N", help="of each stage (5)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="such as report launch (all)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        way = Way(Path(folder), arguments.only)
        for kind in arguments.kinds or KINDS:
            for name, faults in itertools.groupby(KINDS[kind](way, arguments.kills), lambda found: found[0]):
                said = [fault for _, fault in faults]
                print(f"{kind} {name}: {said.count('')} of {len(said)}", *filter(None, said), sep="\n    ", flush=True)


class Way:
    """A tiny project before each stage, and the bytes that each stage gives when nothing disturbs it."""

    def __init__(self, folder: Path, only: list[str]) -> None:
        self.folder, self.count, self.only = folder, 0, only
        self.before: dict[str, Path] = {}
        self.after: dict[str, dict[str, str]] = {}
        self.seconds: dict[str, float] = {}
        project = folder / "project"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(project)], check=True)
        params, grid = tiny_params(), yaml.safe_load((project / "grid.yaml").read_text())
        params["scales"]["demo"]["data"]["nyud"] |= {"train": 24, "val": 16}
        params["scales"]["demo"]["train"]["nyud"] |= {"epochs": 8}
        (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        grid |= {"benchmarks": ["nyud"], "cells": {CELL: grid["cells"][CELL]}, "extra": {}}
        (project / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
        shutil.rmtree(project / "reports")
        for stage, command in STAGES.items():
            if stage == "launch":  # of a training and its evaluation, as if these had not run
                project = self.copy("train")
                done(project, (PYTHON, "-m", "dvc", "commit", "-q", "-f", "download@nyud", "shards@nyud"))
            self.before[stage] = Path(shutil.copytree(project, folder / f"before-{stage}", symlinks=True))
            begun = time.monotonic()
            status, said = done(project, command)
            assert status == 0, said
            self.seconds[stage], self.after[stage] = time.monotonic() - begun, content(project)

    def tried(self, name: str) -> bool:
        """Whether the user asked for it."""
        return not self.only or name in self.only

    def copy(self, stage: str) -> Path:
        """The project as it is before a stage."""
        self.count += 1
        return Path(shutil.copytree(self.before[stage], self.folder / f"trial-{self.count}", symlinks=True))

    def again(self, project: Path, stage: str) -> str:
        """What is wrong after the stage has run once more, undisturbed; nothing where all bytes are as they must be."""
        status, said = done(project, STAGES[stage])
        if status:
            return f"it cannot go on: {said[-300:]}"
        return difference(content(project), self.after[stage])


def kills(way: Way, count: int) -> Iterator[tuple[str, str]]:
    """kill -9 at a random moment."""
    for stage in filter(way.tried, STAGES):
        command = STAGES[stage]
        for trial in range(count):
            project = way.copy(stage)
            process = begin(project, command)
            time.sleep(random.Random(f"{stage}{trial}").uniform(0.2, 1.0) * way.seconds[stage])
            process.kill()
            process.communicate(timeout=LONGEST)  # waits for all that it had started
            yield stage, way.again(project, stage)
            shutil.rmtree(project)


def full(way: Way, _: int) -> Iterator[tuple[str, str]]:
    """A disk of its own with a few KiB free; it then becomes larger."""
    for stage in filter(way.tried, STAGES):
        project = way.copy(stage)
        megabytes = 8 + sum(path.lstat().st_size for path in project.rglob("*")) // 1_000_000 * 2
        before = (
            f"mount -t tmpfs -o size={megabytes}m none {project}", f"cp -a {way.before[stage]}/. {project}", f"cd {project}",
            "dd if=/dev/zero of=filler bs=4k 2>/dev/null", f"truncate -s -{LEFT[stage]}K filler",
        )  # fmt: skip
        after = ("rm filler", f"mount -o remount,size=4g {project}")
        yield stage, in_namespace(way, stage, project, before, after, "No space left")


def read_only(way: Way, _: int) -> Iterator[tuple[str, str]]:
    """A folder that takes nothing."""
    for stage in filter(way.tried, STAGES):
        project = way.copy(stage)
        before = (f"mount --bind {project} {project}", f"mount -o remount,ro,bind {project}", f"cd {project}")
        after = (f"mount -o remount,rw,bind {project}",)
        yield stage, in_namespace(way, stage, project, before, after, "Read-only")


def in_namespace(way: Way, stage: str, project: Path, before: tuple[str, ...], after: tuple[str, ...], reason: str) -> str:
    """What is wrong with a stage between two changes of its disk, which nobody else sees."""
    made, notes = way.folder / "made", way.folder / "notes"
    for folder in (made, notes):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    steps = (
        *before, f'"$@" >{notes}/out 2>{notes}/said', f"echo $? >{notes}/status",
        f"find . -name '*.tmp' -o -name '*.part' >{notes}/half", *after, f'"$@" >{notes}/out 2>{notes}/again',
        f"echo $? >{notes}/second", f"cp -a {project}/. {made}",
    )  # fmt: skip
    call = ["unshare", "-m", "bash", "-c", "; ".join(steps), "bash", *STAGES[stage]]
    subprocess.run(call, env=environment(project), timeout=2 * LONGEST, check=False)
    said = [line for line in (notes / "said").read_text().splitlines() if line.strip() and not line.startswith("note:")]
    if (notes / "status").read_text().strip() == "0":
        return "it ended as if all were well"
    if (stage != "launch" and len(said) != 1) or not any(
        "error: " in line and (reason in line or "free" in line) for line in said
    ):
        return f"it says {said[-5:]}"
    if half := (notes / "half").read_text().split():
        return f"half-written files are left: {half}"
    if (notes / "second").read_text().strip() != "0":
        return f"it cannot go on: {(notes / 'again').read_text()[-300:]}"
    return difference(content(made), way.after[stage])


def clock(way: Way, _: int) -> Iterator[tuple[str, str]]:
    """Python's clock goes back by ten years after three seconds (`time.time`; files keep the disk's times)."""
    site = way.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(CLOCK)
    for stage in filter(way.tried, STAGES):
        project = way.copy(stage)
        status, said = done(project, STAGES[stage], f"{site}:{project}")
        yield stage, said[-300:] if status else difference(content(project), way.after[stage])


def twice(way: Way, _: int) -> Iterator[tuple[str, str]]:
    """Two at once: each ends well, or one says in words that another is at work."""
    repro = (PYTHON, "-m", "dvc", "repro", "-q", f"evaluate@{CELL}")
    for name, stage, command in (
        ("downloads", "download", STAGES["download"]), ("shards", "shards", STAGES["shards"]),
        ("trainings", "train", STAGES["train"]), ("evaluations", "evaluate", STAGES["evaluate"]),
        ("reports", "report", STAGES["report"]), ("launches", "launch", STAGES["launch"]), ("dvc repro", "launch", repro),
    ):  # fmt: skip
        if not way.tried(name):
            continue
        project = way.copy(stage)
        both = [begin(project, command) for _ in range(2)]
        ended = [(process.communicate(timeout=LONGEST)[0], process.returncode) for process in both]
        failed = [said for said, status in ended if status]
        if len(failed) == 2 or any("Traceback" in said for said in failed):
            yield name, f"both failed: {failed}"
        else:
            yield name, way.again(project, stage)


def pools(way: Way, _: int) -> Iterator[tuple[str, str]]:
    """One process of a pool is killed: it ends within 30 s in one line, or goes on, and then gives the same bytes."""
    if way.tried("loading"):
        yield "loading", loading(way)
    for stage, kind in {"download": "spawn_main", "shards": "spawn_main", "launch": "forkserver"}.items():
        if not way.tried(stage):
            continue
        project = way.copy(stage)
        yield stage, one_killed(project, STAGES[stage], kind, stage == "launch") or way.again(project, stage)
    project = way.copy("report")
    for folder in ("soft", "labels"):
        (project / folder).mkdir()
        for number in range(40):
            pixels = np.random.default_rng(number).integers(0, 255, (300, 400), np.uint8)
            Image.fromarray(pixels).save(project / folder / f"{number}.png")
    more = ("--model", f"models/demo/{CELL}", "--out", "tmp", "--processes", "2")
    for name, command in {
        "boundaries": (PYTHON, "-m", "dmtl", "odsf", "soft", "labels", "--workers", "2"),
        "predictions": (PYTHON, "-m", "dmtl", "predict", "soft", *more),
    }.items():  # fmt: skip
        if way.tried(name):
            yield name, one_killed(project, command, "spawn_main")


def loading(way: Way) -> str:
    """What is wrong with a training of which a worker that loads is killed."""
    project = way.copy("train")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["scales"]["demo"]["train"]["nyud"] |= {"workers": 2, "epochs": 60}
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    undisturbed = Path(shutil.copytree(project, way.folder / "undisturbed", symlinks=True))
    assert done(undisturbed, STAGES["train"])[0] == 0
    return one_killed(project, STAGES["train"], "train.py") or gone_on(project, STAGES["train"], content(undisturbed))


def one_killed(project: Path, command: tuple[str, ...], kind: str, may_go_on: bool = False) -> str:
    """What is wrong with how a command ends of which one working process is killed, whose command line holds `kind`."""
    process = begin(project, command)
    least = 1 if kind == "spawn_main" else 2  # beside the one that others are forked from, or that looks at a shard
    while process.poll() is None:
        time.sleep(0.1)
        if len(workers := descendants(process.pid, kind)) < least:
            continue
        with suppress(ProcessLookupError):  # over in this very moment
            os.kill(workers[-1], signal.SIGKILL)
            break
    else:
        return f"no working process was seen: {process.communicate()[0][-300:]}"
    begun = time.monotonic()
    said, _ = process.communicate(timeout=LONGEST)
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    if may_go_on and process.returncode == 0:
        return ""
    if process.returncode == 0 or len(lines) != 1 or "Traceback" in said:
        return f"status {process.returncode}: {said[-300:]}"
    return "" if time.monotonic() - begun < 30 else f"it took {time.monotonic() - begun:.0f} s"


def gone_on(project: Path, command: tuple[str, ...], expected: dict[str, str]) -> str:
    """What is wrong after a command has run again."""
    status, said = done(project, command)
    return said[-300:] if status else difference(content(project), expected)


def descendants(process: int, kind: str) -> list[int]:
    """The processes below one whose command lines hold a text."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            with suppress(OSError):  # one that has ended
                found += [child] * (kind in Path(f"/proc/{child}/cmdline").read_text())
                found += descendants(child, kind)
    return found


def environment(project: Path, path: str | None = None) -> dict[str, str]:
    """In which a project's own code runs, without MLflow."""
    return os.environ | {"PYTHONPATH": path or str(project), "DMTL_TRACKING": "off", "OMP_NUM_THREADS": "1"}


def begin(project: Path, command: tuple[str, ...], path: str | None = None) -> "subprocess.Popen[str]":
    """Start a command in a project."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=project, env=environment(project, path), start_new_session=True, **streams)


def done(project: Path, command: tuple[str, ...], path: str | None = None) -> tuple[int, str]:
    """Exit status of a command, and what it says."""
    process = begin(project, command, path)
    said, _ = process.communicate(timeout=LONGEST)
    return process.returncode, said


def content(project: Path) -> dict[str, str]:
    """File -> SHA-256, of all that is a result."""
    files = (path for path in project.rglob("*") if path.is_file() and not PASSING & {*path.relative_to(project).parts})
    hashes = {str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: value for name, value in hashes.items() if not name.endswith(".lock") or name == "dvc.lock"}


def difference(found: dict[str, str], expected: dict[str, str]) -> str:
    """The files that are others than expected."""
    names = [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]
    return f"{len(names)} files differ: {', '.join(names[:5])}" if names else ""


KINDS: dict[str, Callable[[Way, int], Iterator[tuple[str, str]]]] = {
    "kills": kills, "full": full, "read-only": read_only, "clock": clock, "twice": twice, "pools": pools,
}  # fmt: skip

if __name__ == "__main__":
    main()
