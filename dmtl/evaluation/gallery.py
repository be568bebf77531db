"""What the report's pictures of test images are made of: a few images' maps, one byte per value, beside a cell's result file.

Written once a training by `evaluate`: predictions, and in the file of the reference method also images and labels, which so are
there once for each benchmark and setting. Maps are kept, not colours: a change of colours evaluates nothing again.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dmtl.errors import UserError
from dmtl.files import replacing
from dmtl.reading.bounded import LARGEST_FILE, Npz, parse_json, read_within
from dmtl.tasks import Kind, kinds_of
from dmtl.tasks.shared.arrays import nearest_pixels
from dmtl.tasks.shared.probability import Probability

if TYPE_CHECKING:
    from dmtl.data.loading import Example
    from dmtl.data.shards import Shard
    from dmtl.models.shared.method import Method, Stages

COUNT = 8  # images of each benchmark
LONGEST = 256  # pixels of a kept map's longer side
REFERENCE = "mtl_baseline"  # the method whose file also holds images and labels
IMAGE = "image"
STAGES = ("label", "initial", "noisy", "final")


@dataclass(frozen=True)
class Gallery:
    """Maps of some test images.

    Attributes:
        about: `cell`, `benchmark`, `method`, `ids`, the images' names, `spans`, task -> the values that its bytes tell apart, and
            `kinds`, what a task is whose name `dmtl.tasks` does not know.
        content: `(n, 2)` int32: height and width of each image at the top left of the arrays.
        arrays: `<stage>/<task>` -> `(n, H, W)` or `(n, H, W, C)` uint8 (`Kind.to_bytes`); `image` ->
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
        """The map of image number `k`, as `Kind.to_map` describes."""
        kind = kinds_of([task], self.about["kinds"])[task]
        return kind.from_bytes(self._cut(f"{stage}/{task}", k), tuple(self.about["spans"][task]))

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
        file = Npz(read_within(path, LARGEST_FILE))
        about = parse_json(file.text("header"))
        gallery = Gallery(about, file["content"], {name: file[name] for name in about.pop("names")})
        _require_pictures(gallery)
        return gallery
    except FileNotFoundError:
        raise UserError(f"{path} is missing: the stage evaluate writes it; run 'dvc repro'") from None
    except (OSError, KeyError, TypeError, ValueError, AttributeError, IndexError, UserError) as error:
        reason = " ".join(str(error).replace(str(path), "it").split())[:160]
        raise UserError(f"{path} holds no pictures ({reason}): evaluate again") from None


def _require_pictures(gallery: Gallery) -> None:
    """ValueError unless names, shapes, types, counts and ranges are those that `make_gallery` gives."""
    about, content, count = gallery.about, gallery.content, len(gallery.ids)
    if not set(about) >= {"benchmark", "method", "ids", "spans", "kinds"} or not all(isinstance(k, str) for k in gallery.ids):
        raise ValueError("its header lacks what the pictures are of")
    if content.shape != (count, 2) or content.dtype.kind != "i" or not count or content.min() < 1 or content.max() > LONGEST:
        raise ValueError(f"'content' is of type {content.dtype} and shape {content.shape}, or has impossible sizes")
    if not gallery.tasks():
        raise ValueError("it has no final predictions")
    kinds_of(gallery.tasks(), about["kinds"])
    for task in gallery.tasks():
        low, high = about["spans"][task]
        if not np.isfinite([low, high]).all():
            raise ValueError(f"the values of {task} have no span")
    for name, array in gallery.arrays.items():
        stage, _, task = name.partition("/")
        if name != IMAGE and (stage not in STAGES or task not in gallery.tasks()):
            raise ValueError(f"'{name[:60]}' is no map of a task")
        large = array.ndim >= 3 and (array.shape[1:3] >= content.max(axis=0)).all()
        if not large or array.dtype != np.uint8 or len(array) != count or (name == IMAGE and array.shape[3:] != (3,)):
            raise ValueError(f"'{name}' is of type {array.dtype} and shape {array.shape}")


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

    chosen = chosen_images(len(shard))
    data = EvaluationSet(shard, description.get("seed") or 0, model.config.normalisation)
    examples = [data[k] for k in chosen]
    pack = _Packing(shard, chosen)
    labels = {t: [kind.label_map(e.labels[t].numpy()) for e in examples] for t, kind in shard.kinds.items()}
    spans = {t: kind.span(np.concatenate([m.ravel() for m in labels[t]])) for t, kind in shard.kinds.items()}
    arrays: dict[str, np.ndarray] = {}
    for stage, maps in _predictions(model, examples).items():
        for task, logits in maps.items():
            kind = shard.kinds[task]
            decoded = [kind.to_map(kind.decode(x).numpy()) for x in logits.cpu()]
            arrays[f"{stage}/{task}"] = pack(kind, decoded, spans[task])
    method = description["network"]["method"]
    if method == REFERENCE:
        arrays[IMAGE] = pack.photos()
        arrays |= {f"label/{task}": pack(shard.kinds[task], maps, spans[task]) for task, maps in labels.items()}
    about = {"cell": description.get("cell"), "benchmark": str(shard.about["benchmark"]), "method": method}
    about |= {"ids": [shard.ids[k] for k in chosen], "spans": spans, "kinds": shard.described_kinds}
    return Gallery(about, pack.content, arrays)


class _Packing:
    """Maps of the chosen images, made small, in one array."""

    def __init__(self, shard: "Shard", chosen: list[int]) -> None:
        self._shard, self._chosen = shard, chosen
        self._sizes = [shard.content_size(k) for k in chosen]
        self._small = [_small_size(size) for size in self._sizes]
        self.content = np.array(self._small, np.int32)

    def __call__(self, kind: Kind, maps: list[np.ndarray], span: tuple[float, float]) -> np.ndarray:
        """Whole-canvas maps of a kind -> their content."""
        from dmtl.data.transforms import centred

        whole = self._shard.size
        contents = [m[centred(whole, size)] for m, size in zip(maps, self._sizes, strict=True)]
        return self._stacked(
            [kind.to_bytes(_scaled(kind, m, small), span) for m, small in zip(contents, self._small, strict=True)]
        )

    def photos(self) -> np.ndarray:
        """The images themselves."""
        pairs = zip(self._chosen, self._small, strict=True)
        photos = [Image.fromarray(self._shard.image(k)).resize(s[::-1], Image.Resampling.BILINEAR) for k, s in pairs]
        return self._stacked([np.asarray(photo) for photo in photos])

    def _stacked(self, maps: list[np.ndarray]) -> np.ndarray:
        out = np.zeros((len(maps), *self.content.max(axis=0), *maps[0].shape[2:]), np.uint8)
        for k, values in enumerate(maps):
            out[k, : values.shape[0], : values.shape[1]] = values
        return out


def _predictions(model: "Method", examples: "list[Example]") -> "Stages":
    """Final, initial and noisy maps `(n, C, H, W)` on the canvas; a stage that a method lacks is left out."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = torch.stack([example.image for example in examples]).to(device)
    keys = torch.tensor([example.noise_key for example in examples], device=device)
    stages = model.to(device).eval().predict(images, noise_keys=keys, noisy=True)
    return {stage: {task: maps[task] for task in model.tasks} for stage, maps in stages.items() if maps}


def _small_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1, LONGEST / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _scaled(kind: Kind, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map made smaller: probabilities are averaged, so that thin lines stay; the others taken from the pixel at the centre."""
    if values.shape[:2] == size:
        return values
    nearest = nearest_pixels(values, size)
    if not isinstance(kind, Probability):
        return nearest
    mean = Image.fromarray(np.nan_to_num(values)).resize(size[::-1], Image.Resampling.BOX)
    return np.where(np.isnan(nearest), np.nan, np.asarray(mean))
