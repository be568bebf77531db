"""The narrowest network of every method, and batches of random labels for it."""

from importlib.util import find_spec
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import nn

from dmtl.config import FAMILIES, NetworkConfig
from dmtl.data.batch import Batch
from dmtl.losses import image_weights
from dmtl.models import build
from dmtl.models.shared.method import Method
from helpers.narrow_resnet import narrow_backbones
from helpers.project import ROOT, tiny_params

NYUD = {"semseg": 13, "depth": 1, "normals": 3}
PASCAL = {"semseg": 21, "human_parts": 7, "saliency": 2, "normals": 3, "boundary": 1}
FAMILY = {name: method["cell"]["family"] for name, method in yaml.safe_load((ROOT / "grid.yaml").read_text())["methods"].items()}
LATENT = ("latent_regression", "latent_regression_vae")  # one call of the denoiser, one loss of all tasks
ONE_STEP = (*LATENT, "stable_mtl")  # which goes through no chain either
DIFFUSION = tuple(sorted(method for method, family in FAMILY.items() if family == "diffusion" and method not in ONE_STEP))
PACKAGES = {"stable_mtl": "diffusers"}  # method -> what it needs of an extra that the lock leaves out
MASKS = {  # setting -> which of NYUD's labels each of four images shows
    "onelabel": [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]],
    "randomlabels": [[1, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]],
    "full": [[1, 1, 1]] * 4,
}


def installed(method: str) -> bool:
    """Whether what a method needs is there."""
    return method not in PACKAGES or find_spec(PACKAGES[method]) is not None


def need(method: str) -> None:
    """Skip where it is not."""
    if not installed(method):
        pytest.skip(f"{method} needs the extra '{PACKAGES[method]}', which is not installed")


def network(
    method: str,
    outputs: dict[str, int] = NYUD,
    params: dict | None = None,
    width: int = 8,
    backbone: str = "resnet18",
    kinds: dict[str, dict] | None = None,
    **options: object,
) -> NetworkConfig:
    """The configuration of a network: of the tiny project where no `params` are given, with `options` instead of some of them."""
    params = params or tiny_params()
    family = FAMILY.get(method, "plain")
    block = params[family] | options
    if family == "plain":  # as config does for one scale
        block = {"single_task_images": "labelled", **{key: value for key, value in block.items() if key != "single_task"}}
        teacher = block["teacher_control"]
        block["teacher_control"] = {**teacher, "thresholds": teacher["thresholds"].get("nyud", {})}
    if family == "consistency":  # as config does for one benchmark
        block = {key: value for key, value in block.items() if key != "benchmarks"} | {"on": block["benchmarks"]["nyud"]}
    made = FAMILIES[family].model_validate(block)
    return NetworkConfig(
        method=method, family=family, backbone=backbone, width=width, outputs=outputs, kinds=kinds or {}, options=made
    )


def fresh(method: str, **options: object) -> Method:
    """A network with a narrow backbone and the same random weights every time; skips where a package of it is missing."""
    need(method)
    torch.manual_seed(0)
    with narrow_backbones():
        return build(network(method, **options))  # type: ignore[arg-type]


def lighten(model: Method) -> None:
    """One convolution in place of each of the ResNet's stages, for what does not depend on them."""
    for number, (inputs, channels) in enumerate(pairwise((64, *model.trunk.channels)), start=1):
        stage = nn.Conv2d(inputs, channels, 1, stride=1 if number == 1 else 2), nn.BatchNorm2d(channels), nn.ReLU()
        setattr(model.trunk.backbone, f"layer{number}", nn.Sequential(*stage))


def batch_of(setting: str, size: tuple[int, int] = (32, 64), seed: int = 0, label_balance: str = "per_image") -> Batch:
    """Four images with the labels of NYUD that `MASKS` shows."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.tensor(MASKS[setting])
    image_index = {task: mask[:, t].nonzero()[:, 0] for t, task in enumerate(NYUD) if mask[:, t].any()}
    labels = {
        "semseg": lambda n: torch.randint(0, 13, (n, 1, *size), generator=generator).float(),
        "depth": lambda n: torch.rand(n, 1, *size, generator=generator) * 5,
        "normals": lambda n: F.normalize(torch.randn(n, 3, *size, generator=generator), dim=1),
    }
    return Batch(
        ids=("a", "b", "c", "d"),
        images=torch.randn(4, 3, *size, generator=generator),
        noise_keys=torch.tensor([11, 12, 13, 14]),
        labels={task: labels[task](len(index)) for task, index in image_index.items()},
        image_index=image_index,
        image_weights=image_weights(mask, label_balance),
    )
