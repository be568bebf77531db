"""Our training step and inference against the plain per-sample loop (bench/plain.py): `python bench/training.py [--small]`.

Feature Diffusion on PASCAL's shapes: a step of six one-label images of 256x256, inference of one image of 512x512, float32 and
bfloat16, on the GPU if there is one. Every figure comes from a process of its own, whose peak memory is its own too; the best
of `--repeat` counts. Prints the ratios, the peak memory and the share of the machine's measured peak (the best of some matrix
products in that precision).
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

OUTPUTS = {"semseg": 21, "human_parts": 7, "saliency": 2, "normals": 3, "boundary": 1}
BATCH = 6
AIMS = {  # at least, aim
    "training step, float32": (1.2, 1.5),
    "training step, bfloat16": (2.0, 2.5),
    "training step, our default against plain float32": (6.0, 8.0),
    "inference, float32": (1.2, 1.5),
    "inference, bfloat16": (2.5, 3.5),
    "inference, our default against plain float32": (6.0, 8.0),
}


def main() -> None:
    arguments = _arguments()
    if arguments.one:
        print(json.dumps(_measure(arguments)))
        return
    peaks = _peaks()
    print("machine: " + ", ".join(f"{peak:.2f} TFLOP/s in {precision}" for precision, peak in peaks.items()), flush=True)
    print(f"{'':42} {'seconds':>8} {'peak MB':>8} {'TFLOP':>6} {'of peak':>8}")
    results: dict[tuple[str, ...], dict[str, float]] = {}
    for work in ("training step", "inference"):
        for precision in peaks:
            for way in ("plain", "ours", *(["compiled"] if arguments.compile else [])):
                got = results[work, precision, way] = _in_a_process(arguments, work, precision, way)
                share = got["tflop"] / got["seconds"] / peaks[precision]
                name = f"{work}, {precision}, {way}"
                print(f"{name:42} {got['seconds']:8.3f} {got['mb']:8.0f} {got['tflop']:6.2f} {share:8.0%}", flush=True)
    _print_ratios(results)


def _print_ratios(results: dict[tuple[str, ...], dict[str, float]]) -> None:
    def ratio(work: str, ours: str, plain: str, what: str = "seconds") -> float:
        return results[work, plain, "plain"][what] / results[work, ours, "ours"][what]

    print(f"\n{'plain / ours':52} {'ratio':>6} {'at least':>9} {'aim':>5}")
    for work in ("training step", "inference"):
        ratios = {f"{work}, {precision}": ratio(work, precision, precision) for precision in ("float32", "bfloat16")}
        ratios[f"{work}, our default against plain float32"] = ratio(work, "bfloat16", "float32")
        for name, value in ratios.items():
            least, aim = AIMS[name]
            print(f"{name:52} {value:6.2f} {least:9.1f} {aim:5.1f}")
    for work in ("training step", "inference"):
        for precision in ("float32", "bfloat16"):
            memory = 1 / ratio(work, precision, precision, "mb")
            print(f"{f'peak memory, {work}, {precision}, ours / plain':52} {memory:6.2f} {1:9.1f} {0.8:5.1f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="width 128 and a quarter of the pixels, to try it out")
    parser.add_argument("--repeat", type=int, default=3, help="runs after the first, of which the best counts (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="of torch (default: its own)")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    parser.add_argument("--profile", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=3, metavar=("WORK", "PRECISION", "WAY"), help="one figure, as JSON")
    return parser.parse_args()


def _in_a_process(arguments: argparse.Namespace, work: str, precision: str, way: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--repeat", str(arguments.repeat), "--threads", str(arguments.threads)]
    command += ["--small"] if arguments.small else []
    done = subprocess.run([*command, "--one", work, precision, way], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _measure(arguments: argparse.Namespace) -> dict[str, float]:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    work, precision, way = arguments.one
    side = (256 if work == "training step" else 512) // (2 if arguments.small else 1)
    torch.manual_seed(0)
    made = {"training step": _step, "inference": _inference}[work]
    run = made(128 if arguments.small else 512, side, precision, way)
    if way == "compiled":
        run()
    with FlopCounterMode(display=False) as counter:
        run()
    best = min(_seconds(run) for _ in range(arguments.repeat))
    if arguments.profile:
        from torch.profiler import profile

        with profile() as profiled:
            run()
        print(profiled.key_averages().table(sort_by="self_cpu_time_total", row_limit=20, max_name_column_width=45))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if _device().type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    return {"seconds": best, "mb": peak, "tflop": counter.get_total_flops() / 1e12}


def _step(width: int, side: int, precision: str, way: str) -> Callable[[], object]:
    """A training step: forward, backward, clipping, Adam."""
    import plain
    import torch
    from lightning_fabric import Fabric

    from dmtl.training.compiling import compile_parts
    from dmtl.training.epoch_losses import GRADIENT, EpochLosses

    model = _network(width).train()
    batch = _batch(side)
    if way == "plain":
        optimiser = torch.optim.Adam(model.parameters(), lr=2e-5, weight_decay=1e-6)

        def plain_step() -> None:
            with torch.autocast(_device().type, torch.bfloat16, enabled=precision == "bfloat16"):
                losses = plain.losses(model, batch)
            optimiser.zero_grad()
            sum(losses.values()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimiser.step()
            [float(loss) for loss in losses.values()]

        return plain_step

    mixed = precision == "bfloat16"
    fabric = Fabric(devices=1, precision="bf16-mixed" if mixed else "32-true")
    if mixed:
        model.to(memory_format=torch.channels_last)
    if way == "compiled":
        compile_parts(model)
    module, wrapped = fabric.setup(model, torch.optim.Adam(model.parameters(), lr=2e-5, weight_decay=1e-6, fused=True))
    sums = EpochLosses(model.tasks, fabric.device)

    def our_step() -> None:
        losses = module(batch)
        wrapped.zero_grad()
        total = torch.stack(list(losses.values())).sum()
        fabric.backward(total)
        norm = fabric.clip_gradients(module, wrapped, max_norm=10.0, error_if_nonfinite=False)
        wrapped.step()
        sums.add(fabric, {**losses, "total": total, GRADIENT: norm})

    return our_step


def _inference(width: int, side: int, precision: str, way: str) -> Callable[[], object]:
    """All tasks of one image."""
    import plain
    import torch

    from dmtl.inference.folding import Inference
    from dmtl.training.compiling import compile_parts

    model = _network(width).eval()
    image = torch.randn(1, 3, side, side, device=_device())
    if way == "plain":

        def plain_inference() -> object:
            with torch.no_grad(), torch.autocast(_device().type, torch.bfloat16, enabled=precision == "bfloat16"):
                return plain.predict(model, image)

        return plain_inference
    ready = Inference(model, "bf16-mixed" if precision == "bfloat16" else "32-true")
    if way == "compiled":
        compile_parts(ready.network)
    return lambda: ready.predict(image)


def _network(width: int):
    from dmtl.config import Diffusion, NetworkConfig, Project
    from dmtl.models import build

    options = Diffusion.model_validate(Project(ROOT).block("diffusion"))
    about = {"method": "diffusion_feature", "family": "diffusion", "backbone": "resnet18", "width": width}
    return build(NetworkConfig(**about, outputs=OUTPUTS, options=options)).to(_device())


def _batch(side: int):
    """Six images, each with one label, the tasks in turn."""
    from dmtl.hardware.batches import random_batch
    from dmtl.tasks import kinds_of

    return random_batch(kinds_of(OUTPUTS), OUTPUTS, (side, side), BATCH).to(_device())


def _device():
    from dmtl.hardware.machine import device_at_hand

    return device_at_hand()


def _peaks() -> dict[str, float]:
    """TFLOP/s of the best of some matrix products."""
    from dmtl.hardware.machine import matrix_peak

    return {precision: matrix_peak(_device(), of) for precision, of in (("float32", "32-true"), ("bfloat16", "bf16-mixed"))}


def _seconds(run: Callable[[], object]) -> float:
    from dmtl.hardware.machine import wait

    wait(_device())
    begun = time.perf_counter()
    run()
    wait(_device())
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
