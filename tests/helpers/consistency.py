"""Networks of two views in double precision, and the second view of one image by hand."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.data.batch import Batch
from dmtl.models import build
from dmtl.models.consistency.network import ConsistencyNetwork
from dmtl.models.shared.random import uniform
from helpers.narrow_resnet import narrow_backbones
from helpers.networks import NYUD, lighten, network
from helpers.project import tiny_params

ZOOMS = (1.0, 1.2, 1.5)
SIZE = (36, 60)


def fresh(
    method: str,
    outputs: dict[str, int] = NYUD,
    zooms: tuple[float, ...] = ZOOMS,
    resolution: str = "eighth",
    light: bool = False,
) -> ConsistencyNetwork:
    """A tiny network in double precision, evaluation mode, whose batch norms have statistics of their own.

    `light`: one convolution in place of each of the ResNet's stages, for the plain loops.
    """
    params = tiny_params()
    params["consistency"]["zooms"] = list(zooms)
    params["consistency"]["xtc"]["resolution"] = resolution
    torch.manual_seed(0)
    with narrow_backbones():
        model = build(network(method, outputs, params))
    if light:
        lighten(model)
    model = model.double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    for name, parameter in model.named_parameters():
        if name.endswith(("gamma", "beta")):
            parameter.data += 0.3 * torch.randn_like(parameter)
    if method == "xtc":  # codes are float32 whatever the network's precision
        for stem in model.mapping.stems.values():
            stem.register_forward_pre_hook(lambda _, args: args[0].double())
    assert isinstance(model, ConsistencyNetwork)
    return model


def doubled(batch: Batch) -> Batch:
    batch.images = batch.images.double()
    return batch


def crop_of(key: int, size: tuple[int, int], zooms: tuple[float, ...], flip: bool) -> tuple[float, int, int, int, int, bool]:
    """zoom, top, left, height, width and mirror of a key's view."""
    u = uniform(torch.tensor([key]), "second view", 0, (4,))[0].tolist()
    zoom = zooms[int(u[0] * len(zooms))]
    height, width = (int(side / zoom) for side in size)
    top, left = int(u[1] * (size[0] - height + 1)), int(u[2] * (size[1] - width + 1))
    return zoom, top, left, height, width, flip and u[3] < 0.5


def plain_view(key: int, x: Tensor, zooms: tuple[float, ...], flip: bool) -> Tensor:
    """Crop, bilinear zoom with corners aligned, mirror: one image `(C, H, W)`."""
    _, top, left, height, width, mirrored = crop_of(key, tuple(x.shape[-2:]), zooms, flip)
    crop = x[None, :, top : top + height, left : left + width]
    zoomed = F.interpolate(crop, size=x.shape[-2:], mode="bilinear", align_corners=True)[0]
    return zoomed.flip(-1) if mirrored else zoomed


def plain_pairs(labelled: list[set[int]], tasks: int) -> list[tuple[int, int, int]]:
    """(image, source, target), as the released code picks them."""
    found = []
    for image, known in enumerate(labelled):
        sources = set(range(tasks)) - known or known
        found += [(image, s, t) for s in range(tasks) for t in range(tasks) if s in sources and t in known and s != t]
    return found
