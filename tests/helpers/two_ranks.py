"""Two processes, each with half a batch, against one with all of it: `python two_ranks.py cpu|cuda`.

Prints the largest difference of a gradient, as a share of the largest one. On one GPU both use it, over gloo, since NCCL wants a
device each. Batch norm is what `synchronise_batch_norm` makes of it; a CPU, which SyncBatchNorm refuses, gets `ReducedBatchNorm`.
"""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for `helpers`

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from dmtl.data.batch import Batch
from dmtl.training.devices import synchronise_batch_norm
from helpers.devices import full_float32, reduce_batch_norm
from helpers.networks import NYUD, batch_of, fresh

METHOD, CHANNELS = "diffusion_feature", {"semseg": 1, "depth": 1, "normals": 3}


def share(batch: Batch, rank: int) -> Batch:
    """Every second image; its losses count double, for gradients are averaged."""
    images = list(range(len(batch.ids)))[rank::2]
    kept = {task: [k for k, i in enumerate(index.tolist()) if i in images] for task, index in batch.image_index.items()}
    labels = {task: batch.labels[task][rows] for task, rows in kept.items() if rows}
    index = {task: torch.tensor([images.index(int(batch.image_index[task][k])) for k in kept[task]]) for task in labels}
    one = replace(batch, ids=tuple(batch.ids[i] for i in images), images=batch.images[images], labels=labels, image_index=index)
    one = replace(one, noise_keys=batch.noise_keys[images], image_weights=2 * batch.image_weights[images])
    return one.naming({task: CHANNELS[task] for task in batch.image_index})


def gradients(network: torch.nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
    torch.stack(list(network(batch).values())).sum().backward()
    return {name.removeprefix("module."): p.grad.cpu() for name, p in network.named_parameters() if p.grad is not None}


def work(rank: int, kind: str, file: str, out: str) -> None:
    """One of the two processes."""
    device = torch.device(kind, rank % torch.cuda.device_count()) if kind == "cuda" else torch.device("cpu")
    several = kind == "cuda" and torch.cuda.device_count() > 1
    if kind == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if several else "gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    with full_float32():
        network = fresh(METHOD).to(device).train()
        synchronise = synchronise_batch_norm if kind == "cuda" else reduce_batch_norm
        synchronise(network, SimpleNamespace(world_size=2))
        wrapped = DistributedDataParallel(network, [device] if kind == "cuda" else None, find_unused_parameters=True)
        ours = gradients(wrapped, share(batch_of("randomlabels"), rank).to(device))
        expected = gradients(fresh(METHOD).to(device).train(), batch_of("randomlabels").to(device))
    largest = max(float(g.abs().max()) for g in expected.values())
    difference = max(float((ours[name] - g).abs().max()) for name, g in expected.items())
    Path(f"{out}{rank}").write_text(str(difference / largest))
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    assert set(CHANNELS) == set(NYUD)
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work, (sys.argv[1], f"{folder}/meet", f"{folder}/out"), nprocs=2)
        print(max(float(Path(f"{folder}/out{rank}").read_text()) for rank in range(2)))
