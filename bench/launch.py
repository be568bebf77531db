"""What a launch costs beside its trainings, and against a plain `dvc repro`: `python bench/launch.py [CELLS...] [--workers N]`.

Works in a copy of this clone with its shards (`dvc repro shards` first), three times over the same cells: `dvc repro`, then
`launch` with one worker, then with all. Prints the parts: import, a worker's start, the way to the first step, training,
evaluation, DVC, and the share of the cores that idled. On a machine that others use too only the ratios mean something.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CELLS = ["nyud-full-mtl_baseline", "nyud-onelabel-mtl_baseline", "nyud-full-constant", "pascal-full-constant"]
COPIED = ["dmtl", "stages", "data", "dvc.yaml", "dvc.lock", "params.yaml", "grid.yaml", ".dvcignore"]
IMPORT = "import time; b = time.perf_counter(); import dmtl.launch.preload; print(time.perf_counter() - b)"
FORK = """
import multiprocessing, os, time
def nothing(): pass
if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dmtl.launch.preload"])
    for _ in range(4):
        begun = time.perf_counter()
        process = context.Process(target=nothing)
        process.start()
        took = time.perf_counter() - begun
        process.join()
    print(took)
"""
FIRST_STEP = """
import os, pathlib, sys, time
import dmtl.launch.preload
from dmtl.config import Project, for_training
from dmtl.training import loop
begun = time.perf_counter()
def step(*_):
    print(time.perf_counter() - begun, flush=True)
    os._exit(0)
loop.take_step = step
project = Project(pathlib.Path.cwd())
loop.train(for_training(project, sys.argv[1]), project.paths)
step()  # a method without networks takes none
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", nargs="*", default=CELLS)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _copy(root)
        print(f"import of all that workers need   {float(_python(root, '-c', IMPORT)):7.2f} s, once")
        for name, text in {"fork.py": FORK, "first.py": FIRST_STEP}.items():
            (root / name).write_text(text)
        print(f"start of a further worker         {float(_python(root, 'fork.py')):7.2f} s")
        print(f"from there to the first step      {float(_python(root, 'first.py', arguments.cells[0])):7.2f} s")
        targets = [f"evaluate@{cell}" for cell in arguments.cells]
        plain = _timed(root, "dvc repro", "-m", "dvc", "repro", "--quiet", *targets)
        made = _made(root)
        for workers in dict.fromkeys([1, arguments.workers]):
            _forget(root)
            command = ("-m", "dmtl", "launch", *arguments.cells, "--workers", str(workers))
            took = _timed(root, f"launch, {workers} at a time", *command)
            _parts(root, took, workers)
            print(f"  of dvc repro's time           {took / plain:9.2f}")
            assert _made(root) == made, "launch made other bytes than dvc repro"


def _copy(root: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root)
    _python(root, "-m", "dvc", "init", "--no-scm", "--quiet")
    _python(root, "-m", "dvc", "commit", "--quiet", "--force", "download", "shards")


def _python(root: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(root), "DMTL_TRACKING": "off"}
    done = subprocess.run([sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout


def _timed(root: Path, title: str, *command: str) -> float:
    """Run and print: seconds, processor seconds, the share of the cores that nothing of it used."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    _python(root, *command)
    took, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    idle = max(0.0, 1 - used / took / (os.cpu_count() or 1))
    print(f"{title:33} {took:7.2f} s, {used:.1f} s of processor time, {idle:.0%} of the cores not used by it")
    return took


def _parts(root: Path, took: float, workers: int) -> None:
    (timings,) = (root / ".work" / "launch").glob("*/timings.json")
    stages = json.loads(timings.read_text())
    both = 0.0
    for stage in ("train", "evaluate"):
        seconds = sum(value for key, value in stages.items() if key.startswith(f"{stage}@"))
        both += seconds
        print(f"  {stage:30}{seconds:9.2f} s in all workers")
    rest = took - both / workers
    print(f"  start, DVC and waiting        {rest:9.2f} s, {rest / took:.0%} of it")


def _made(root: Path) -> dict[str, bytes]:
    files = [path for folder in ("models", "results") for path in (root / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def _forget(root: Path) -> None:
    """As if nothing had been trained."""
    for name in ("models", "results", ".work", ".dvc/cache/runs"):
        shutil.rmtree(root / name, ignore_errors=True)
    shutil.copy(ROOT / "dvc.lock", root)
    _python(root, "-m", "dvc", "commit", "--quiet", "--force", "download", "shards")


if __name__ == "__main__":
    main()
