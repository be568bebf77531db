"""How many photos a second `predict` does, in one process and in several: `python bench/predict.py FOLDER_OF_PHOTOS`.

The network is Feature Diffusion on PASCAL with random weights. The plain way, one process and Pillow's usual compression, and
ours take turns; the fastest of each counts. The processor time of all processes, divided by the cores, says what a quiet machine
needs.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

AIM = 3.0  # times as many photos a second, on two cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--width", type=int, default=64, help="channels of the network (%(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(144, 192), metavar=("H", "W"), help="that it sees (%(default)s)")
    parser.add_argument("--repeat", type=int, default=2, help="turns (%(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Print the seconds of both ways and their ratio."""
    from dmtl.inference import prediction
    from dmtl.inference.predict import predict_files
    from dmtl.inference.predictor import Predictor

    save_network(folder / "model", arguments.width, arguments.size)
    level = prediction.PNG_LEVEL

    def predict(processes: int | None) -> None:
        prediction.PNG_LEVEL = 6 if processes == 0 else level  # the other processes read the module anew
        predict_files([str(arguments.photos)], Predictor(folder / "model"), folder / "out", processes=processes)

    seconds: dict[str, list[tuple[float, float]]] = {"plain": [], "ours": []}
    for _ in range(arguments.repeat):
        seconds["plain"].append(timed(lambda: predict(0)))
        seconds["ours"].append(timed(lambda: predict(None)))
    count = len(list((folder / "out").iterdir()))
    best = {way: min(turns) for way, turns in seconds.items()}
    for way, (wall, work) in best.items():
        print(f"{way:6} {wall:7.2f} s, {count / wall:6.2f} photos a second, {work:7.2f} s of processor time")
    print(f"ratio  {best['plain'][0] / best['ours'][0]:7.2f} (aim {AIM} on two cores; here {os.cpu_count()})")


def save_network(folder: Path, width: int, size: tuple[int, int]) -> None:
    """A model folder."""
    import torch

    from dmtl.benchmarks import benchmark
    from dmtl.config import Project, for_training
    from dmtl.files import write_json
    from dmtl.models import build, save_weights

    torch.manual_seed(0)
    training = for_training(Project(ROOT), "pascal-onelabel-diffusion_feature")
    training = training.model_copy(update={"recipe": training.recipe.model_copy(update={"width": width})})
    network = training.network(benchmark("pascal").outputs)
    save_weights(folder, build(network))
    about = {"benchmark": "pascal", "size": list(size), "network": network.model_dump(mode="json")}
    write_json(folder / "model.json", about)


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds of the clock, and of all processes together."""
    start, before = time.perf_counter(), processor_time()
    work()
    return time.perf_counter() - start, processor_time() - before


def processor_time() -> float:
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in used)


if __name__ == "__main__":
    main()
