"""The device at hand: its name, what its matrix products reach, how long something takes on it and how much memory."""

import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

import torch

DTYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}
PEAK_SECONDS = 0.5
MOST_RUNS = 50  # of one thing that is timed


def device_at_hand() -> torch.device:
    """CUDA's first, or else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def name_of(device: torch.device) -> str:
    """What the maker calls it, such as `NVIDIA H100 80GB HBM3`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {torch.get_num_threads()} threads"


def as_file_name(name: str) -> str:
    """Lower case, with hyphens for everything but letters and digits."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def wait(device: torch.device) -> None:
    """Until the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def milliseconds(run: Callable[[], object], device: torch.device, seconds: float = 1.0) -> float:
    """Mean time of a run, over about so many seconds of them after one that warms up; at least one."""
    run()
    once = _seconds(run, 1, device)
    runs = max(1, min(MOST_RUNS, round(seconds / once)))
    return 1000 * _seconds(run, runs, device) / runs


def matrix_peak(device: torch.device, precision: str, side: int | None = None) -> float:
    """TFLOP/s of the best of some products of square matrices; a multiply-add counts twice."""
    side = side or (8192 if device.type == "cuda" else 1024)
    a, b = (torch.randn(side, side, device=device, dtype=DTYPES[precision]) for _ in range(2))
    best, end = _seconds(lambda: a @ b, 1, device), time.perf_counter() + PEAK_SECONDS
    while time.perf_counter() < end:
        best = min(best, _seconds(lambda: a @ b, 1, device))
    return 2 * side**3 / best / 1e12


class PeakMemory:
    """Megabytes that a `with` block took at most: what CUDA's allocator held, or what this process grew by.

    `megabytes` is None where the system does not tell.
    """

    megabytes: float | None = None

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def __enter__(self) -> "PeakMemory":
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            self._before = _process_megabytes("VmRSS") if _reset_peak() else None
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            self.megabytes = torch.cuda.max_memory_allocated(self._device) / 2**20
        elif self._before is not None and (peak := _process_megabytes("VmHWM")) is not None:
            self.megabytes = max(0.0, peak - self._before)


def _seconds(run: Callable[[], object], runs: int, device: torch.device) -> float:
    wait(device)
    begun = time.perf_counter()
    for _ in range(runs):
        run()
    wait(device)
    return time.perf_counter() - begun


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _process_megabytes(field: str) -> float | None:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else None
