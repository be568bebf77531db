"""A training that is killed at a random moment, again and again: what the fault tests share."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def train_in_a_process(folder: Path, cell: str) -> multiprocessing.process.BaseProcess:
    """A process that trains a cell and saves after every step; forked from one that has imported what it needs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dmtl.training.loop", "dmtl.models.diffusion_feature", "torch._dynamo"])
    process = context.Process(target=_train, args=(folder, cell))
    process.start()
    return process


def _train(folder: Path, cell: str) -> None:
    import torch

    from dmtl.config import Project, for_training
    from dmtl.training import checkpoint, loop

    torch.set_num_threads(1)
    checkpoint.FIRST_SECONDS, checkpoint.COST_RATIO = 0.0, 0
    project = Project(folder)
    (folder / "begun").touch()
    loop.train(for_training(project, cell), project.paths)


def killed_at_random(folder: Path, cell: str, seed: int, seconds: float) -> int:
    """Train, kill at a random moment of the first `seconds`, train to the end; how the first process ended."""
    (folder / "begun").unlink(missing_ok=True)
    rng = random.Random(seed)
    process = train_in_a_process(folder, cell)
    while not (folder / "begun").exists() and process.is_alive():
        time.sleep(0.005)
    time.sleep(rng.uniform(0, seconds))
    if process.pid is not None and process.is_alive():
        os.kill(process.pid, SIGNALS[seed % len(SIGNALS)])
    process.join()
    ended = process.exitcode
    again = train_in_a_process(folder, cell)
    again.join()
    assert again.exitcode == 0, "the training that goes on must end well"
    return int(ended or 0)
