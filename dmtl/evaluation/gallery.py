"""What the report's pictures of test images are made of: a few images' maps, one byte a value, beside a cell's result file.

Written once a training by `evaluate`: predictions, and in the file of the reference method also images and labels, which so are
there once for each benchmark and setting. Maps are kept, not colours: a change of colours evaluates nothing again.
"""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dmtl.errors import UserError
from dmtl.evaluation.maps import decode, decode_label, from_bytes, kind, to_bytes
from dmtl.files import replacing

if TYPE_CHECKING:
    from dmtl.data.loading import Example
    from dmtl.data.shards import Shard
    from dmtl.models.shared.method import Maps, Method

COUNT = 8  # images of each benchmark
LONGEST = 256  # pixels of a kept map's longer side
REFERENCE = "mtl_baseline"  # the method whose file also holds images and labels
IMAGE = "image"
STAGES = ("label", "initial", "noisy", "final")


@dataclass(frozen=True)
class Gallery:
    """Maps of some test images.

    Attributes:
        about: `cell`, `benchmark`, `method` and `ids`, the images' names.
        content: `(n, 2)` int32: height and width of each image at the top left of the arrays.
        arrays: `<stage>/<task>` -> `(n, H, W)` or, for normals, `(n, H, W, 3)` uint8 (`maps.to_bytes`); `image` ->
            `(n, H, W, 3)`. Stages: `final`; `initial` where a method predicts twice; `noisy`, the map that denoising starts from,
            where that is a prediction; `label`, like `image`, for the reference method alone.
    """

    about: dict[str, Any]
    content: np.ndarray
    arrays: dict[str, np.ndarray]

    @property
    def ids(self) -> list[str]:
        """The images' names."""
        return self.about["ids"]

    def tasks(self) -> tuple[str, ...]:
        """In the benchmark's order."""
        return tuple(name.partition("/")[2] for name in self.arrays if name.startswith("final/"))

    def stages(self) -> tuple[str, ...]:
        """Those that the file holds."""
        return tuple(stage for stage in STAGES if any(name.startswith(f"{stage}/") for name in self.arrays))

    def image(self, k: int) -> np.ndarray:
        """`(h, w, 3)` uint8 RGB."""
        return self._cut(IMAGE, k)

    def map(self, stage: str, task: str, k: int) -> np.ndarray:
        """The map of image number `k`, as `dmtl.evaluation.maps` describes."""
        return from_bytes(self.about["benchmark"], task, self._cut(f"{stage}/{task}", k))

    def _cut(self, name: str, k: int) -> np.ndarray:
        height, width = self.content[k]
        return self.arrays[name][k, :height, :width]

    def save(self, path: Path) -> None:
        """Write the file; equal maps give equal bytes."""
        header = np.array(json.dumps({**self.about, "names": list(self.arrays)}))
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, header=header, content=self.content, **self.arrays)  # type: ignore[arg-type]


def load_gallery(path: Path) -> Gallery:
    """Read what `Gallery.save` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["header"]))
            return Gallery(about, file["content"], {name: file[name] for name in about.pop("names")})
    except FileNotFoundError:
        raise UserError(f"{path} is missing: the stage evaluate writes it; run 'dvc repro'") from None
    except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} holds no pictures ({' '.join(str(error).split())[:160]}): evaluate again") from None


def chosen_images(total: int, count: int = COUNT) -> list[int]:
    """Positions of `count` images spread evenly over a test set: the same for every method."""
    count = min(count, total)
    return [(2 * k + 1) * total // (2 * count) for k in range(count)]


def make_gallery(model: "Method", shard: "Shard", description: dict[str, Any]) -> Gallery:
    """Predict the chosen images of a test shard.

    Args:
        model: in evaluation mode; it is moved to the GPU if there is one.
        shard: of the model's own benchmark.
        description: the model's model.json.
    """
    from dmtl.data.loading import EvaluationSet
    from dmtl.data.transforms import centred

    chosen = chosen_images(len(shard))
    data = EvaluationSet(shard, description.get("seed") or 0)
    examples = [data[k] for k in chosen]
    method = description["network"]["method"]
    benchmark = str(shard.about["benchmark"])
    sizes = [shard.content_size(k) for k in chosen]
    small = [_small_size(size) for size in sizes]
    canvas = tuple(max(size[axis] for size in small) for axis in (0, 1))

    def packed(task: str, maps: list[np.ndarray]) -> np.ndarray:
        """Whole-canvas maps -> their content, made small, in one array."""
        out = np.zeros((len(maps), *canvas, *maps[0].shape[2:]), np.uint8)
        for k, whole in enumerate(maps):
            values = _scaled(task, whole[centred(shard.size, sizes[k])], small[k])
            out[k, : small[k][0], : small[k][1]] = to_bytes(benchmark, task, values)
        return out

    arrays: dict[str, np.ndarray] = {}
    for stage, maps in _predictions(model, examples).items():
        for task, logits in maps.items():
            arrays[f"{stage}/{task}"] = packed(task, [decode(task, x.numpy()) for x in logits.cpu()])
    if method == REFERENCE:
        arrays[IMAGE] = np.zeros((len(chosen), *canvas, 3), np.uint8)
        for k, (height, width) in enumerate(small):
            photo = Image.fromarray(shard.image(chosen[k]))
            arrays[IMAGE][k, :height, :width] = photo.resize((width, height), Image.Resampling.BILINEAR)
        for task in shard.outputs:
            arrays[f"label/{task}"] = packed(task, [decode_label(task, e.labels[task].numpy()) for e in examples])
    about = {"cell": description.get("cell"), "benchmark": benchmark, "method": method, "ids": [shard.ids[k] for k in chosen]}
    return Gallery(about, np.array(small, np.int32), arrays)


def _predictions(model: "Method", examples: "list[Example]") -> "dict[str, Maps]":
    """Final, initial and noisy maps `(n, C, H, W)` on the canvas; a stage that a method lacks is left out."""
    import torch

    from dmtl.losses import upsample

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = torch.stack([example.image for example in examples]).to(device)
    keys = torch.tensor([example.key for example in examples], device=device)
    noisy: list[Maps] = []
    denoiser = getattr(model, "denoiser", None)
    if denoiser is not None and len(denoiser.predict):  # it works on predictions, not on features
        hook = denoiser.register_forward_pre_hook(lambda _, inputs: noisy.append(inputs[0]))
    stages = model.to(device).eval().predict(images, keys=keys)
    if noisy:
        hook.remove()
        stages["noisy"] = {task: upsample(noisy[0][task], images.shape[-2:]) for task in model.tasks}
    return {stage: {task: maps[task] for task in model.tasks} for stage, maps in stages.items() if maps}


def _small_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1, LONGEST / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _scaled(task: str, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map made smaller: probabilities are averaged, so that thin lines stay; the others taken from the pixel at the centre."""
    if values.shape[:2] == size:
        return values
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(size, values.shape[:2], strict=True))
    nearest = values[rows[:, None], columns]
    if kind(task) != "probability":
        return nearest
    mean = Image.fromarray(np.nan_to_num(values)).resize(size[::-1], Image.Resampling.BOX)
    return np.where(np.isnan(nearest), np.nan, np.asarray(mean))
