"""What the imports of each stage take, with the compiler that its libraries bring along and without: `python bench/start.py`.

The ways take turns, each in a process of its own; the fastest counts. Processor time, since other programs may run beside it.
"""

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGES = {
    "train": "train, dmtl.models.diffusion_feature",
    "evaluate": "dmtl.evaluation.evaluate, dmtl.models.diffusion_feature",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="turns (%(default)s)")
    arguments = parser.parse_args()
    print(f"{'':10} {'with':>7} {'without':>8} {'torch alone':>12} {'ratio':>6}   seconds of processor time")
    for stage, modules in STAGES.items():
        ways = {"with": f"import torch._dynamo, {modules}", "without": f"import {modules}", "torch": "import torch"}
        turns = [{way: seconds(script) for way, script in ways.items()} for _ in range(arguments.repeat)]
        best = {way: min(turn[way] for turn in turns) for way in ways}
        ratio = best["with"] / best["without"]
        print(f"{stage:10} {best['with']:7.2f} {best['without']:8.2f} {best['torch']:12.2f} {ratio:6.2f}", flush=True)


def seconds(script: str) -> float:
    """Processor time of a fresh Python that runs `script`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "stages")])}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
