"""What a network says of one image: named arrays with their units, pictures of them, and the files that `predict` writes.

For an image the folder that `save` is given holds

    sheet.png                      the image and every prediction, with legends
    <final or initial>/<task>.png  the prediction in colour, at the image's size; classes as an indexed PNG whose indices are them
    overlay/<task>.png             the final prediction laid over the image, where that is asked for
    predictions.npz                `<final or initial>/<task>`: classes (H, W) uint8; probabilities (H, W) float16; depth (H, W)
                                   float32 as the benchmark stores it; normals (H, W, 3) float16 unit vectors x, y, z

Nothing here needs torch, so that the processes which write start fast.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dmtl.files import replacing
from dmtl.pictures.colours import palette
from dmtl.pictures.contact_sheet import contact_sheet
from dmtl.tasks import Task

ImageMaps = dict[str, dict[str, np.ndarray]]  # "final", "initial" -> task -> map
PNG_LEVEL = 3  # of zlib: half the time of the usual 6, a third more bytes


@dataclass(frozen=True, eq=False)
class Prediction(Mapping[str, np.ndarray]):
    """Everything that a network says of an image. As a mapping: task -> the final map, of the image's size.

    Attributes:
        title: of the contact sheet.
        image: `(H, W, 3)` uint8 RGB.
        tasks: of the benchmark, those that were asked for.
        maps: "final" and, of a method that predicts twice, "initial" -> task -> `(H, W)` or `(H, W, C)`.
    """

    title: str
    image: np.ndarray
    tasks: Sequence[Task]
    maps: ImageMaps

    def __getitem__(self, task: str) -> np.ndarray:
        return self.maps["final"][task]

    def __iter__(self) -> Iterator[str]:
        return iter(self.maps["final"])

    def __len__(self) -> int:
        return len(self.maps["final"])

    def __repr__(self) -> str:
        arrays = (
            f"{name}: {'x'.join(map(str, self[name].shape))} {self[name].dtype}, {unit}" for name, unit in self.units.items()
        )
        return f"Prediction({'; '.join(arrays)})"

    @property
    def initial(self) -> dict[str, np.ndarray]:
        """Task -> the map before denoising; empty for methods that predict once."""
        return self.maps.get("initial", {})

    @property
    def units(self) -> dict[str, str]:
        """Task -> what the values are: class numbers, probabilities, metres, components of a unit vector."""
        return {task.name: task.kind.values_are(task) for task in self.tasks}

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Task -> the names of its classes, in the order of their numbers; of the tasks that have classes."""
        return {task.name: task.classes for task in self.tasks if task.classes}

    def picture(self, task: str, stage: str = "final", alpha: float = 1.0) -> np.ndarray:
        """A prediction in colour, `(H, W, 3)` uint8.

        Args:
            task: its name.
            stage: "final" or "initial".
            alpha: how much of the colours is laid over the image: 1 shows them alone, 0 the image alone.
        """
        (about,) = (one for one in self.tasks if one.name == task)
        return blended(self.image, about.kind.picture(about, self.maps[stage][task]), alpha)

    def sheet(self) -> Image.Image:
        """The image and every prediction in one picture, with legends."""
        return contact_sheet(self.tasks, self.title, self.image, self.maps)

    def show(self) -> None:
        """Open the contact sheet in the system's viewer, or, in a notebook, below the cell."""
        if "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
            sys.modules["IPython"].display.display(self.sheet())
        else:
            self.sheet().show()

    def save(self, folder: str | Path, alpha: float | None = None) -> Path:
        """Write the arrays, the pictures and the contact sheet.

        Args:
            folder: gets the files that the top of this module lists; those of the same names are replaced.
            alpha: with it also `overlay/<task>.png`, see `picture`.

        Returns:
            The folder.

        Raises:
            UserError: it cannot be written.
        """
        folder = Path(folder)
        arrays: dict[str, Any] = {}
        pictures: ImageMaps = {}
        for stage, maps in self.maps.items():
            pictures[stage] = {task.name: task.kind.picture(task, maps[task.name]) for task in self.tasks}
            for task in self.tasks:
                values = maps[task.name]
                _write_picture(folder / stage / f"{task.name}.png", _image(task, values, pictures[stage][task.name]))
                arrays[f"{stage}/{task.name}"] = values.astype(task.kind.compact or values.dtype)
        for task in self.tasks if alpha is not None else ():
            over = blended(self.image, pictures["final"][task.name], alpha or 0.0)
            _write_picture(folder / "overlay" / f"{task.name}.png", Image.fromarray(over))
        with replacing(folder / "predictions.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
        sheet = contact_sheet(self.tasks, self.title, self.image, self.maps, pictures)
        _write_picture(folder / "sheet.png", sheet)
        return folder


def blended(image: np.ndarray, colours: np.ndarray, alpha: float) -> np.ndarray:
    """`alpha` of the colours and the rest of the image, `(H, W, 3)` uint8 each.

    >>> import numpy as np
    >>> blended(np.full((1, 1, 3), 100, np.uint8), np.full((1, 1, 3), 200, np.uint8), 0.25).ravel().tolist()
    [125, 125, 125]
    """
    if alpha == 1:
        return colours
    return np.rint(alpha * colours.astype(np.float32) + (1 - alpha) * image).astype(np.uint8)


def _image(task: Task, values: np.ndarray, picture: np.ndarray) -> Image.Image:
    if not task.kind.indexed:
        return Image.fromarray(picture)
    indexed = Image.fromarray(values)
    indexed.putpalette(palette(task.colours).tobytes())
    return indexed


def _write_picture(path: Path, image: Image.Image) -> None:
    with replacing(path) as temporary:
        image.save(temporary, format="png", compress_level=PNG_LEVEL)
