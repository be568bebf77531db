"""A trained network as an ONNX file or a program of torch.export, for use without this project.

The file takes `images`, `(B, 3, H, W)` float32, normalised, and gives the final map of each task at the images' size: logits or
values, as `Method.predict` does with its noise at zero. It was run, and compared with the network, before it is there.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dmtl.errors import UserError
from dmtl.files import replacing
from dmtl.models import load_model, read_description
from dmtl.models.shared.method import Maps, Method
from dmtl.tasks.shared.pixels import upsample

TOLERANCE = 1e-4  # that the file's values may be from the network's, of the largest of them where that is above 1
SIDES = {0: "batch", 2: "height", 3: "width"}  # of the images, that may be free
SMALLEST = 64  # height and width that are traced: at a smaller size maps of one pixel are treated apart
Size = tuple[int, int, int]  # batch, height, width
Runner = Callable[[Tensor], list[np.ndarray]]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        file: the file.
        free: which of `images`' sides may differ from those of the export: "batch", "height", "width".
        sizes: `(B, H, W)` that it was compared with the network at.
        difference: the largest that was found, as `TOLERANCE` counts it.
    """

    file: Path
    free: tuple[str, ...]
    sizes: tuple[Size, ...]
    difference: float


class Deterministic(nn.Module):
    """A network whose noise is zero: images `(B, 3, H, W)` -> task -> `(B, C, H, W)`."""

    def __init__(self, model: Method) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Maps:
        keys = torch.zeros(images.shape[0], dtype=torch.int64, device=images.device)
        final = self.model.maps(images, 0.0, keys)["final"]
        return {task: upsample(maps, images.shape[-2:]) for task, maps in final.items()}


def export(folder: Path, out: Path, form: str) -> Exported:
    """Write a model folder's network as a file of another program.

    Args:
        folder: of the model.
        out: the file.
        form: `onnx` or `pt2`.

    Raises:
        UserError: the folder holds no complete model, its method cannot be exported, or the file does not give what the network
            does.
        ModuleNotFoundError: the extra `export` is not installed.
    """
    if form == "onnx":
        import onnxruntime  # noqa: F401  # before the work
        import onnxscript  # noqa: F401
    about, network = read_description(folder), Deterministic(load_model(folder)).eval().requires_grad_(False)
    height, width = about.get("size") or (224, 224)
    traced = (2, max(SMALLEST, height), max(SMALLEST, width))
    program, free = _program(network, traced)
    further = ((1, traced[1] + 32, traced[2] + 64), (3, traced[1] + 8, traced[2]))
    sizes = tuple(dict.fromkeys((traced, *(_where_free(size, traced, free) for size in further))))
    with replacing(out) as temporary:
        run = _write_onnx(program, temporary, network, about) if form == "onnx" else _write_pt2(program, temporary)
        difference = max(_difference(network, run, size) for size in sizes)
        if not difference <= TOLERANCE:
            raise UserError(
                f"{out} would differ from the network by {difference:.2g}, more than {TOLERANCE:g}: it is not written"
            )
    return Exported(out, free, sizes, difference)


def _program(network: Deterministic, size: Size) -> tuple[Any, tuple[str, ...]]:
    """The traced network, and which sides of its input it leaves free."""
    images = torch.zeros(size[0], 3, *size[1:])
    shapes = {"images": dict.fromkeys(SIDES, torch.export.Dim.AUTO)}
    try:
        program = torch.export.export(network, (images,), dynamic_shapes=shapes)
    except Exception as error:  # torch raises many kinds for what it cannot trace
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"the method {network.model.config.method} cannot be exported ({reason})") from None
    (taken,) = (node.meta["val"].shape for node in program.graph.nodes if node.name == "images")
    return program, tuple(name for side, name in SIDES.items() if _is_free(taken[side]))


def _is_free(side: "int | torch.SymInt") -> bool:
    return not isinstance(side, int) and side.node.maybe_as_int() is None


def _where_free(size: Size, traced: Size, free: Sequence[str]) -> Size:
    """A size with the sides of the traced one where those cannot differ."""
    batch, height, width = (a if side in free else b for a, b, side in zip(size, traced, SIDES.values(), strict=True))
    return batch, height, width


def _write_onnx(program: Any, path: Path, network: Deterministic, about: dict[str, Any]) -> Runner:
    import onnxruntime

    tasks = network.model.tasks
    made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=["images"], output_names=list(tasks))
    assert made is not None
    normalisation = network.model.config.normalisation
    told = {"tasks": list(tasks), "mean": normalisation.mean, "std": normalisation.std, "scale": 255, "order": "RGB"}
    made.model.metadata_props["dmtl"] = json.dumps(told | {name: about.get(name) for name in ("cell", "benchmark", "size")})
    made.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(list(tasks), {"images": images.numpy()})


def _write_pt2(program: Any, path: Path) -> Runner:
    with path.open("wb") as file:
        torch.export.save(program, file)
    with path.open("rb") as file:
        module = torch.export.load(file).module()
    return lambda images: [maps.detach().numpy() for maps in module(images).values()]


@torch.no_grad()
def _difference(network: Deterministic, run: Runner, size: Size) -> float:
    images = torch.randn(size[0], 3, *size[1:], generator=torch.Generator().manual_seed(0))
    pairs = zip(run(images), network(images).values(), strict=True)
    return max(float(np.abs(ours - theirs.numpy()).max()) / max(1.0, float(theirs.abs().max())) for ours, theirs in pairs)
