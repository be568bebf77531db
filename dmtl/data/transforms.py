"""Augmentation of an image together with its labels, one function per step (docs/data.md, "Augmentation").

Images are `(3, H, W)` in [0, 255], uint8 until a step of MTAN's or the normalisation makes them float; labels `(C, H, W)` float
as `dmtl.tasks.shared.kind` describes them. What a step does to a label, its kind says.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.config import Augmentation, Normalisation, ScaleCrop, ScalePadCrop
from dmtl.tasks import IGNORE, Kind

Labels = dict[str, Tensor]
Kinds = Mapping[str, Kind]

CROP_TESTS = 10  # windows that `random_crop` draws and looks at before it takes the next one as it is


def augment(
    image: Tensor,
    labels: Labels,
    kinds: Kinds,
    rng: np.random.Generator,
    choice: Augmentation,
    canvas: tuple[int, int],
    crop_map: Tensor | None = None,
) -> tuple[Tensor, Labels]:
    """Augment as `choice` says.

    Args:
        image: `(3, H, W)` uint8.
        labels: task -> `(C, H, W)` float.
        kinds: task -> its kind.
        rng: what all choices are drawn from.
        choice: `scale_crop` (MTAN: zoom, flip) or `scale_pad_crop` (ATRC: scale, crop, flip, photometric distortion).
        canvas: (height, width) that crops may not exceed; smaller ones are padded later, by `finish`.
        crop_map: `(1, H, W)`, the classes by which a crop is chosen, where they are known.

    Returns:
        Image and labels of equal size, the image in [0, 255].
    """
    if isinstance(choice, ScaleCrop):
        image, labels = random_scale_crop(image.float(), labels, kinds, rng, choice.zooms)
    else:
        image, labels = random_rescale_and_crop(image, labels, kinds, rng, choice, canvas, crop_map)
    if choice.flip and rng.random() < 0.5:
        image, labels = horizontal_flip(image, labels, kinds)
    if isinstance(choice, ScalePadCrop) and choice.photometric:
        image = photometric_distortion(image, rng)
    return image, labels


def finish(
    image: Tensor, labels: Labels, kinds: Kinds, canvas: tuple[int, int], normalisation: Normalisation
) -> tuple[Tensor, Labels]:
    """What training and evaluation end with: normalise, pad to the canvas, mark what does not count as 255."""
    image, labels = padded(normalise(image, normalisation), labels, kinds, canvas)
    return image, hide_invalid(labels, kinds)


def random_scale_crop(
    image: Tensor, labels: Labels, kinds: Kinds, rng: np.random.Generator, zooms: Sequence[float]
) -> tuple[Tensor, Labels]:
    """Cut out 1/s of each side at a random place, s one of `zooms` (MTAN: 1, 1.2, 1.5), and zoom it to full size.

    Kinds say how their labels are resampled and what a nearer camera does to their values; normals, which are interpolated, are
    not made unit vectors again.
    """
    scale = zooms[int(rng.integers(len(zooms)))]
    full = image.shape[-2:]
    height, width = (int(side / scale) for side in full)
    top, left = (int(rng.integers(0, side - part + 1)) for side, part in zip(full, (height, width), strict=True))

    def crop(x: Tensor) -> Tensor:
        return x[..., top : top + height, left : left + width]

    def zoom(task: str, label: Tensor) -> Tensor:
        kind = kinds[task]
        return kind.zoomed(_resize(crop(label), full, kind.interpolation), scale)

    return _resize(crop(image), full, "bilinear"), {task: zoom(task, label) for task, label in labels.items()}


def random_rescale_and_crop(
    image: Tensor,
    labels: Labels,
    kinds: Kinds,
    rng: np.random.Generator,
    choice: ScalePadCrop,
    canvas: tuple[int, int],
    crop_map: Tensor | None = None,
) -> tuple[Tensor, Labels]:
    """Scale by s ~ U(`choice.scales`) to int(h s) x int(w s), then crop to at most the canvas (ATRC's first two steps).

    The image is interpolated, every label taken from the nearest pixel. Where a crop map is given, windows in which one class has
    too large a share are drawn anew.
    """
    scale = rng.uniform(*choice.scales)
    size = tuple(max(1, int(side * scale)) for side in image.shape[-2:])
    window = random_window(rng, size, canvas, crop_map, choice.cat_max_ratio)
    image = _bytes(F.interpolate(image[None].float(), size=size, mode="bilinear", align_corners=False)[0])  # cut, as released

    def crop(task: str, label: Tensor) -> Tensor:
        return kinds[task].zoomed(_nearest(label, size, window), scale)

    return image[..., window[0], window[1]], {task: crop(task, label) for task, label in labels.items()}


Window = tuple[slice, slice]  # rows, columns


def random_window(
    rng: np.random.Generator, size: Sequence[int], canvas: tuple[int, int], crop_map: Tensor | None, largest_share: float
) -> Window:
    """A uniformly placed window of at most the canvas in an image of `size`.

    Args:
        rng: where it is drawn from.
        size: (height, width) of the scaled image.
        canvas: (height, width).
        crop_map: `(1, H, W)` classes before scaling. Up to ten windows are looked at and drawn anew while they show one class
            only, or one class in `largest_share` or more of the labelled pixels. None: the first window is taken.
        largest_share: see there.
    """

    def draw() -> Window:
        parts = [min(side, most) for side, most in zip(size, canvas, strict=True)]
        starts = [int(rng.integers(0, side - part + 1)) for side, part in zip(size, parts, strict=True)]
        rows, columns = (slice(start, start + part) for start, part in zip(starts, parts, strict=True))
        return rows, columns

    window = draw()
    if crop_map is None:
        return window
    classes = torch.bincount(crop_map.byte().flatten(), minlength=IGNORE)[:IGNORE].nonzero()
    regions = (crop_map == classes[:, :, None]).float()
    for _ in range(CROP_TESTS):
        counts = _counts(regions, size, window)
        if (counts > 0).sum() > 1 and counts.max() < largest_share * counts.sum():
            break
        window = draw()
    return window


def _counts(regions: Tensor, size: Sequence[int], window: Window) -> Tensor:
    """Pixels that each region `(K, H, W)` has in a window of the image scaled to `size`, `(K,)`, without scaling it.

    A pixel of row i and column j turns up as often as row i times as often as column j.
    """
    sources = _sources(regions.shape[-2:], size, window)
    rows, columns = (torch.bincount(part, minlength=n).float() for part, n in zip(sources, regions.shape[-2:], strict=True))
    return (regions @ columns) @ rows


def _sources(full: Sequence[int], size: Sequence[int], window: Window) -> tuple[Tensor, Tensor]:
    """Rows and columns of an image of size `full` that a window shows once it is scaled to `size`: floor(i H / h), as OpenCV."""
    rows, columns = (torch.arange(w.start, w.stop) * side // new for w, side, new in zip(window, full, size, strict=True))
    return rows, columns


def _nearest(label: Tensor, size: Sequence[int], window: Window) -> Tensor:
    """A window of a label `(C, H, W)` that is scaled to `size` by taking the nearest pixel."""
    rows, columns = _sources(label.shape[-2:], size, window)
    return label.index_select(1, rows).index_select(2, columns)


def horizontal_flip(image: Tensor, labels: Labels, kinds: Kinds) -> tuple[Tensor, Labels]:
    """Mirror left and right."""
    return image.flip(-1), {task: kinds[task].mirrored(label) for task, label in labels.items()}


def photometric_distortion(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Brightness, contrast, saturation and hue, each changed in every second image (ATRC's fourth step).

    Contrast comes right after brightness or last. Each step is cut to [0, 255] and truncated to whole numbers; hue counts in
    steps of two degrees.

    Args:
        image: `(3, H, W)` uint8 RGB.
        rng: what the changes are drawn from.

    Returns:
        `(3, H, W)` uint8.
    """
    brightness, contrast, saturation, hue = (rng.random(4) < 0.5).tolist()
    shift, factor, colourful = rng.uniform(-32, 32), rng.uniform(0.5, 1.5), rng.uniform(0.5, 1.5)
    turn, contrast_last = int(rng.integers(-18, 18)), rng.random() < 0.5
    if brightness:
        image = _bytes(image + shift)
    if contrast and not contrast_last:
        image = _bytes(image * factor)
    if saturation:
        h, s, v = rgb_to_hsv(image)
        image = hsv_to_rgb(h, _bytes(s * colourful).float(), v)
    if hue:
        h, s, v = rgb_to_hsv(image)
        image = hsv_to_rgb((h + turn) % 180, s, v)
    if contrast and contrast_last:
        image = _bytes(image * factor)
    return image


def _bytes(values: Tensor) -> Tensor:
    return values.clamp(0, 255).byte()


def rgb_to_hsv(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`(3, H, W)` uint8 -> hue in [0, 180), saturation and value in [0, 255], whole numbers in float `(H, W)` each."""
    red, green, blue = channels = image.float()
    value = channels.amax(0)
    span = value - channels.amin(0)
    unit = 30 / span.clamp(min=1)
    hue = torch.where(
        value == red,
        (green - blue) * unit,
        torch.where(value == green, (blue - red) * unit + 60, (red - green) * unit + 120),
    )
    return hue.round() % 180, (span * 255 / value.clamp(min=1)).round(), value


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """The inverse of `rgb_to_hsv`: `(3, H, W)` uint8."""
    sector = hue / 30
    red, green, blue = (sector - 3).abs() - 1, 2 - (sector - 2).abs(), 2 - (sector - 4).abs()
    lost = value * saturation / 255
    return torch.stack([(value - lost * (1 - share.clamp(0, 1))).round().byte() for share in (red, green, blue)])


def centred(canvas: Sequence[int], content: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns that content (height, width) fills in the middle of a canvas (height, width)."""
    top, left = ((whole - part) // 2 for whole, part in zip(canvas, content, strict=True))
    return slice(top, top + content[0]), slice(left, left + content[1])


def padded(image: Tensor, labels: Labels, kinds: Kinds, canvas: tuple[int, int]) -> tuple[Tensor, Labels]:
    """Put a normalised image in the middle of a canvas of 0, each label in one of what its kind ignores."""
    content = image.shape[-2:]
    if content == canvas:
        return image, labels
    rows, columns = centred(canvas, content)

    def pad(x: Tensor, fill: float) -> Tensor:
        whole = x.new_full((len(x), *canvas), fill)
        whole[:, rows, columns] = x
        return whole

    return pad(image, 0), {task: pad(label, kinds[task].fill) for task, label in labels.items()}


def hide_invalid(labels: Labels, kinds: Kinds) -> Labels:
    """Labels in which 255 marks all that does not count."""
    return {task: kinds[task].hide_invalid(label) for task, label in labels.items()}


def normalise(image: Tensor, normalisation: Normalisation) -> Tensor:
    """`(..., 3, H, W)` in [0, 255] -> zero mean and unit variance over the images of the backbone's pretraining."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (normalisation.mean, normalisation.std))
    return (image / 255 - mean) / std


def _resize(x: Tensor, size: torch.Size, mode: str) -> Tensor:
    if x.shape[-2:] == size:
        return x
    corners = True if mode == "bilinear" else None
    return F.interpolate(x[None], size=tuple(size), mode=mode, align_corners=corners)[0]
