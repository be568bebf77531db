"""Model folders of tiny networks with random weights."""

from pathlib import Path

import torch

from dmtl.benchmarks import benchmark as benchmark_of
from dmtl.config import Project, for_training
from dmtl.files import write_json
from dmtl.models import build, save_weights
from helpers.narrow_resnet import narrow_backbones
from helpers.project import tiny_params, write_project


def random_model(folder: Path, cell: str, size: tuple[int, int], benchmark: str | None = None, seed: int = 0) -> Path:
    """`folder` with the network that `cell` of the tiny project has, of `benchmark` if that is another."""
    project = Project(write_project(folder.parent / "project", tiny_params()))
    name = benchmark or cell.partition("-")[0]
    network = for_training(project, cell).network(benchmark_of(name).outputs)
    torch.manual_seed(0)
    with narrow_backbones():
        save_weights(folder, build(network))
    about = {"cell": cell, "scale": "demo", "seed": seed, "benchmark": name, "size": list(size)}
    write_json(folder / "model.json", about | {"network": network.model_dump(mode="json")})
    return folder
