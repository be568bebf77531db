"""A trained network as a function of images: `dmtl.Predictor`.

The network sees an image as in training and evaluation: at the benchmark's size, filling it or scaled down where it is
larger and padded, as the benchmark says. So a test image gets the predictions that are scored, and any size will do. Predictions
are brought back to the image's size before they are decoded.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dmtl.benchmarks import benchmark
from dmtl.benchmarks.folder import described_tasks
from dmtl.benchmarks.shared.sample import Sample
from dmtl.data.loading import noise_key
from dmtl.data.transforms import centred, normalise
from dmtl.errors import UserError, nearest
from dmtl.inference.folding import load_for_inference
from dmtl.inference.prediction import ImageMaps, Prediction
from dmtl.models import read_description
from dmtl.pictures.read import read_image, upright_rgb
from dmtl.tasks import Kind, Task
from dmtl.tasks.shared.pixels import upsample

ImageLike = str | Path | Image.Image | np.ndarray | Tensor
AT_A_TIME = 8  # images that go through the network together, where a list is given


class Predictor:
    """A trained network and what it needs to know about its images.

    Args:
        model: a model folder, which a training or `import-official` wrote.
        precision: `32-true` or `bf16-mixed` for a network made ready for inference (`folding.py`); None as it was trained.
        device: such as `cpu` or `cuda:1`; None takes a GPU where there is one.
        tasks: only these; None takes all.

    Attributes:
        model: the network.
        tasks: that are predicted, in the benchmark's order.
        size: height and width of what the network sees.

    Raises:
        UserError: the folder holds no complete model, its model.json does not say of which benchmark and size, or there is no
            such device or task.

    >>> import dmtl
    >>> predict = dmtl.Predictor(model_folder)
    >>> prediction = predict("photo.png")
    >>> for task, values in prediction.items():
    ...     print(values.shape, prediction.units[task])
    (30, 40) class number
    (30, 40) m
    (30, 40, 3) unit vector
    >>> [len(found) for found in predict([photo, photo])]
    [3, 3]
    """

    def __init__(
        self,
        model: str | Path,
        precision: str | None = None,
        device: str | None = None,
        tasks: Sequence[str] | None = None,
    ) -> None:
        folder = Path(model)
        about = read_description(folder)
        name, size = about.get("benchmark"), about.get("size")
        if not isinstance(name, str) or not isinstance(size, list) or [type(side) for side in size] != [int, int]:
            raise UserError(
                f"{folder / 'model.json'} does not say 'benchmark' and 'size' (those of earlier versions do not): train the cell "
                'again, or add "benchmark": NAME and "size": [height, width] of its training images'
            )
        if (own := about.get("described")) is None:
            known, self.fit = benchmark(name).tasks, benchmark(name).fit
        else:  # a user's own benchmark, which its models describe
            known, self.fit = described_tasks(own), own["fit"]
        self.tasks = _chosen(known, tasks)
        self.size: tuple[int, int] = (size[0], size[1])
        self.seed = int(about.get("seed") or 0)
        self.device = _device(device)
        self.model = load_for_inference(folder, precision).to(self.device)

    @overload
    def __call__(self, images: ImageLike) -> Prediction: ...  # type: ignore[overload-overlap]  # a str is a sequence too, but the first fits
    @overload
    def __call__(self, images: Sequence[ImageLike]) -> list[Prediction]: ...
    def __call__(self, images: Any) -> Any:
        """Everything that the network says of an image, or of each of a list.

        Args:
            images: a path; an image of PIL; an array `(H, W, 3)` or `(H, W)` of uint8; a tensor `(3, H, W)` of uint8 or of floats
                from 0 to 1; or a list or tuple of such, of any sizes. They are not to be normalised.

        Raises:
            UserError: a file cannot be read.
            TypeError, ValueError: something else, or of another shape or range.
        """
        if isinstance(images, list | tuple):
            pixels = [_pixels(image) for image in images]
            names = [_name(image, number) for number, image in enumerate(images)]
            batches = (range(start, min(start + AT_A_TIME, len(pixels))) for start in range(0, len(pixels), AT_A_TIME))
            return [one for batch in batches for one in self.predictions([pixels[k] for k in batch], [names[k] for k in batch])]
        return self.predictions([_pixels(images)], [_name(images, 0)])[0]

    def predictions(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[Prediction]:
        """The predictions for `(H, W, 3)` uint8 images, which go through the network together; for `names` see `maps`."""
        maps = self.maps(images, names)
        return [Prediction(name, image, self.tasks, found) for name, image, found in zip(names, images, maps, strict=True)]

    @torch.no_grad()
    def maps(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[ImageMaps]:
        """Every prediction for each image, as maps of its size.

        Args:
            images: `(H, W, 3)` uint8 RGB each.
            names: what the inference noise is drawn from; a test image's id gives the noise that it is scored with.
        """
        contents = [Sample(image, {}).brought_to(self.size, self.fit, ()).image for image in images]
        places = [centred(self.size, content.shape[:2]) for content in contents]
        canvas = torch.zeros(len(images), 3, *self.size)
        for number, (content, (rows, columns)) in enumerate(zip(contents, places, strict=True)):
            pixels = torch.from_numpy(content.copy()).permute(2, 0, 1).float()
            canvas[number, :, rows, columns] = normalise(pixels, self.model.config.normalisation)
        keys = torch.tensor([noise_key(name, self.seed, epoch=-1) for name in names], device=self.device)
        predictions = self.model.predict(canvas.to(self.device), noise_keys=keys)
        return [self._of_one(predictions, k, places[k], image.shape[:2]) for k, image in enumerate(images)]

    def _of_one(self, predictions: Any, k: int, place: tuple[slice, slice], size: tuple[int, int]) -> ImageMaps:
        rows, columns = place
        kinds, names = self.model.kinds, [task.name for task in self.tasks]
        return {
            stage: {name: _decoded(kinds[name], maps[name][k, :, rows, columns], size) for name in names}
            for stage, maps in predictions.items()
            if maps
        }


def _decoded(kind: Kind, logits: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Logits `(C, h, w)` as a map of `size`; classes one channel after the other, since all of a large image do not fit."""
    if not kind.indexed:
        return kind.to_map(kind.decode(upsample(logits[None], size)[0]).cpu().numpy())
    best = torch.full(size, -torch.inf, device=logits.device)
    classes = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    for number, channel in enumerate(logits):
        score = upsample(channel[None, None], size)[0, 0]
        classes.masked_fill_(score > best, number)
        torch.maximum(best, score, out=best)
    return classes.cpu().numpy()


def _chosen(known: Iterable[Task], names: Sequence[str] | None) -> tuple[Task, ...]:
    tasks = {task.name: task for task in known}
    for name in names or ():
        if name not in tasks:
            raise UserError(f"the model has no task '{name}'; {nearest(name, tasks)}")
    return tuple(task for name, task in tasks.items() if names is None or name in names)


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        one = torch.ones(1, device=name)
        one.item()  # what computes nothing, such as 'meta', has no values
        return one.device
    except (RuntimeError, AssertionError) as error:  # torch raises the latter where it was built without CUDA
        raise UserError(f"device '{name}' cannot be used ({' '.join(str(error).split())[:160]}): try cpu") from None


def _name(image: ImageLike, number: int) -> str:
    """What the noise of an image is drawn from: a file's name, else its place in the list."""
    return Path(image).stem if isinstance(image, str | Path) else f"image {number}"


def _pixels(image: ImageLike) -> np.ndarray:
    """`(H, W, 3)` uint8 of any image."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return upright_rgb(image)
    if isinstance(image, Tensor):
        return _of_tensor(image.detach().cpu())
    if not isinstance(image, np.ndarray):
        raise TypeError(f"an image is a path, an image of PIL, an array or a tensor, but this is of type {type(image).__name__}")
    if image.dtype != np.uint8:
        raise TypeError(f"an array must hold uint8 values from 0 to 255, but holds {image.dtype}: do not normalise it")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"an array must be (H, W, 3) or (H, W), but is {image.shape}")
    return image


def _of_tensor(image: Tensor) -> np.ndarray:
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
        raise ValueError(f"a tensor must be (3, H, W), but is {tuple(image.shape)}")
    if image.is_floating_point():
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError("a tensor of floats must hold values from 0 to 1: do not normalise it")
        image = (255 * image).round().to(torch.uint8)
    if image.dtype != torch.uint8:
        raise TypeError(f"a tensor must hold uint8 or floats, but holds {image.dtype}")
    return image.permute(1, 2, 0).numpy()
