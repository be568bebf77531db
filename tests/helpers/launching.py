"""A project in which everything about a launch is real but the trainings, the evaluations and DVC, so that it takes a second.

A folder `plan` tells the false stages what to do: `plan/<cell>` holds words such as `die`, `fail` or `wait`.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from helpers.project import ROOT, tiny_params, write_project

PRELOAD = """
import signal
from dmtl.launch.stage_run import end_with_parent_by
end_with_parent_by(signal.SIGKILL)
"""

TRAIN = """
import os, pathlib, signal, sys, time
import _root
from dmtl.config import Project, for_training
from dmtl.files import write_json
from dmtl.training.fingerprint import fingerprint_of

cell = sys.argv[1]
root = pathlib.Path.cwd()
def told(): return (root / "plan" / cell).read_text() if (root / "plan" / cell).exists() else ""
def say(what):
    with (root / "said").open("a") as file: file.write(f"{what} {cell}\\n")
work = root / ".work" / cell
tries = int(work.read_text()) if work.exists() else 0
work.parent.mkdir(exist_ok=True)
work.write_text(str(tries + 1))
say(f"train{tries}")
if "die" in told() and tries < int(told().split()[1]): os.kill(os.getpid(), signal.SIGKILL)
if "fail" in told(): sys.exit("error: the loss is not finite")
def stop(number, frame):
    say("saved")
    raise SystemExit(128 + number)
for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, stop)
while "wait" in told(): time.sleep(0.05)
project = Project(root)
training = for_training(project, cell)
folder = project.paths.model(cell)
folder.mkdir(parents=True)
(folder / "model.safetensors").write_text(cell)
write_json(folder / "history.json", [])
shard = project.paths.shard(training.cell.benchmark, "train")
write_json(folder / "model.json", {"fingerprint": fingerprint_of(training, shard).value})
"""

EVALUATE = """
import pathlib, sys
import _root
from dmtl.config import Project
cell = sys.argv[1]
with pathlib.Path("said").open("a") as file: file.write(f"evaluate {cell}\\n")
paths = Project(pathlib.Path.cwd()).paths
paths.result(cell).parent.mkdir(parents=True, exist_ok=True)
for path in (paths.result(cell), paths.scores(cell), paths.statistics(cell), paths.gallery(cell)): path.write_text(cell)
"""

RECORDED = """
import json, pathlib, sys
lock = pathlib.Path("dvc.lock")
recorded = lock.read_text().split() if lock.exists() else []
"""
STATUS = f"""{RECORDED}
assert sys.argv[1] == "status"
print(json.dumps({{name: [] for name in pathlib.Path("stages.txt").read_text().split() if name not in recorded}}))
"""
COMMIT = f"""{RECORDED}
with pathlib.Path("commits").open("a") as file: file.write(" ".join(sys.argv[1:]) + "\\n")
lock.write_text("\\n".join(dict.fromkeys([*recorded, *sys.argv[1:]])) + "\\n")
"""


def write_false_shards(folder: Path) -> Path:
    """A tiny project whose shards are there, but hold nothing."""
    params = tiny_params()
    write_project(folder, params)
    for benchmark in params["scales"]["demo"]["data"]:
        for split in ("train", "val"):
            shard = folder / "data" / "shards" / "demo" / benchmark / f"{split}.h5"
            shard.parent.mkdir(parents=True, exist_ok=True)
            shard.write_bytes(bytes(1000))
    return folder


class FalseProject:
    """A clone whose stages and DVC are false; `cells` are all stale."""

    def __init__(self, folder: Path, cells: list[str]) -> None:
        self.folder = folder
        write_false_shards(folder)
        shutil.copytree(ROOT / "dmtl", folder / "dmtl", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "dmtl" / "launch" / "preload.py").write_text(PRELOAD)
        for name, text in {
            "stages/train.py": TRAIN,
            "stages/evaluate.py": EVALUATE,
            "dvc/__init__.py": "",
            "dvc/__main__.py": STATUS,
            "dmtl/launch/commit.py": COMMIT,
        }.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        shutil.copy(ROOT / "stages" / "_root.py", folder / "stages")
        (folder / "plan").mkdir()
        (folder / "stages.txt").write_text("\n".join(f"{stage}@{cell}" for cell in cells for stage in ("train", "evaluate")))

    def plan(self, cell: str, what: str) -> None:
        """What a cell's training does; nothing: it ends well."""
        (self.folder / "plan" / cell).write_text(what)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Begin to launch."""
        environment = os.environ | {"PYTHONPATH": str(self.folder), "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.Popen(
            [sys.executable, "-m", "dmtl", "launch", *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def launch(self, *arguments: str) -> tuple[int, str]:
        """Launch -> exit status, all that it wrote."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return process.returncode, out + err

    def lines(self, name: str) -> list[str]:
        """Of `said` (by the stages) or `commits` (DVC's targets)."""
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def wait_for(self, line: str, count: int = 1) -> None:
        """Until the stages have said it that often."""
        deadline = time.monotonic() + 120
        while self.lines("said").count(line) < count:
            assert time.monotonic() < deadline, f"nobody said '{line}': {self.lines('said')}"
            time.sleep(0.02)

    def recorded(self) -> set[str]:
        """The stages that DVC has recorded."""
        return set(self.lines("dvc.lock"))

    def processes(self) -> list[int]:
        """Those that still run in the project."""
        here = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                gone = (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
                if not gone and os.readlink(process / "cwd") == str(self.folder):
                    here.append(int(process.name))
            except OSError:
                continue
        return here

    def wait_for_end(self) -> None:
        """Until no process runs in the project."""
        deadline = time.monotonic() + 60
        while running := self.processes():
            assert time.monotonic() < deadline, f"{running} are left"
            time.sleep(0.05)
