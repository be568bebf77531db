"""A test shard of PASCAL in memory, and networks to evaluate on it."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import yaml

from dmtl.benchmarks import benchmark
from dmtl.config import FAMILIES, NetworkConfig
from dmtl.models import build
from dmtl.models.shared.method import Method
from dmtl.tasks import kinds_of
from helpers.narrow_resnet import narrow_backbones
from helpers.project import ROOT

TASKS = benchmark("pascal").outputs
CANVAS = (32, 64)
CONTENTS = [(32, 64), (32, 41), (21, 64), (25, 39), (32, 64), (18, 20), (31, 63)]
DESCRIPTION = {"cell": "pascal-onelabel-x", "scale": "demo", "seed": 3}


class PascalShard:
    """What evaluation asks of a PASCAL test shard, from memory: images smaller than the canvas, some off the odsF list."""

    path = Path("val.h5")
    outputs = TASKS
    kinds = kinds_of(TASKS)
    described_kinds: ClassVar[dict] = {}
    labelled = None
    size = CANVAS
    ids = tuple(f"2008_{k:06}" for k in range(len(CONTENTS)))
    boundary_listed = np.array([k % 3 != 1 for k in range(len(CONTENTS))])

    def __len__(self) -> int:
        return len(self.ids)

    def content_size(self, k: int) -> tuple[int, int]:
        return CONTENTS[k]

    def image(self, k: int) -> np.ndarray:
        return np.random.default_rng(k).integers(0, 256, (*CONTENTS[k], 3), np.uint8)

    def label(self, task: str, k: int) -> np.ndarray:
        rng = np.random.default_rng([k, len(task)])
        if task == "normals":
            return rng.normal(size=(*CONTENTS[k], 3)).astype(np.float32) * (rng.random((*CONTENTS[k], 1)) < 0.7)
        classes = 2 if task == "boundary" else TASKS[task]
        label = rng.integers(0, classes, CONTENTS[k]).astype(np.uint8)
        return np.where(rng.random(CONTENTS[k]) < 0.2, 255, label).astype(np.uint8)

    def label_map(self, k: int) -> np.ndarray:
        coarse = np.random.default_rng(k).integers(0, 460, (4, 5)).astype(np.uint16)
        return np.kron(coarse, np.ones((8, 13), np.uint16))[: CONTENTS[k][0], : CONTENTS[k][1]]


def small_model(method: str = "diffusion_prediction") -> Method:
    """A narrow network for PASCAL's tasks with random weights; a method, or the family of the plain ones."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    family = method if method in FAMILIES else "diffusion" if method.startswith("diffusion") else "plain"
    block = params[family]
    if family == "plain":
        block = {"decoder_blocks": 1, "single_task_images": "labelled"}
    if family == "diffusion":
        block["network"] |= {"decoder_blocks": 1, "blocks": 1}
    network = NetworkConfig(
        method=method,
        family=family,
        backbone="resnet18",
        width=8,
        outputs=TASKS,
        options=FAMILIES[family].model_validate(block),
    )
    torch.manual_seed(0)
    with narrow_backbones():
        return build(network).eval()
