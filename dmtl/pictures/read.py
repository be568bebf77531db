"""One's own image files: finding them, reading any of the usual kinds as RGB, and names for what is made of them."""

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from dmtl.errors import UserError, in_one_line
from dmtl.reading.images import TooManyPixels, opened

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")  # taken from folders
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")
LONGEST_NAME = 100
ORIENTATION = ExifTags.Base.Orientation


def find_images(patterns: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The files that files, folders (with all below them) and glob patterns name, each once, and what named nothing.

    Returns:
        Files in the order of the patterns, sorted within each; one message for each pattern that names none.
    """
    files: dict[Path, Path] = {}
    problems = []
    for pattern in patterns:
        found = _named_by(pattern)
        if not found:
            kinds = ", ".join(SUFFIXES)
            problems.append(f"{pattern} is no file, no pattern that matches one and no folder with images ({kinds})")
        for path in found:
            files.setdefault(path.resolve(), path)
    return list(files.values()), problems


def _named_by(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if path.exists():
        return [path]
    return sorted(file for file in map(Path, glob.glob(pattern, recursive=True)) if file.is_file())


def read_image(path: Path) -> np.ndarray:
    """An image file as `(H, W, 3)` uint8 RGB, turned upright as its EXIF orientation says.

    Grey, palette, CMYK and other colour kinds become RGB; 16-bit values are scaled to 8; what is transparent becomes white; of
    several frames the first is taken.

    Raises:
        UserError: there is no such file; it is damaged, no image, of another kind, or of too many pixels.
    """
    if not path.is_file():
        raise UserError(f"{path} is no file")
    try:
        with opened(path) as image:
            return upright_rgb(image)
    except TooManyPixels as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # a damaged file can raise nearly anything
        reason = " ".join(str(error).replace(str(path), "it").split())[:160] or type(error).__name__
        raise UserError(f"{path} is damaged or no image that can be read ({reason})") from None


def image_or_problem(path: Path) -> np.ndarray | str:
    """`read_image`, or the message of its error: one bad file of many is no reason to end."""
    try:
        return read_image(path)
    except UserError as error:
        return str(error)


def printable(text: object) -> str:
    """Text of one line with `?` for what of a file's name is no UTF-8 (Python's surrogates), which nothing can print or draw."""
    return in_one_line(str(text).encode("utf-8", "replace").decode("utf-8"))


def upright_rgb(image: Image.Image) -> np.ndarray:
    """An opened image as `read_image` gives it.

    Raises:
        ValueError: its values are floating-point, or whole numbers of more than 16 bits.
    """
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode in SIXTEEN_BITS:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its whole numbers are not of 16 bits; convert it to 8-bit RGB")
        return np.repeat(((values.astype(np.uint32) + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("its values are floating-point; convert it to 8-bit RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def distinct_names(paths: Iterable[Path]) -> list[str]:
    """A folder name for each file: its name without the suffix, numbered from the second of equals on.

    Letters, digits, `_`, `-` and `.` within are kept, so that no name leaves the folder that it is made in; names that differ in
    case only count as equal, since some disks hold them to be.
    """
    taken: set[str] = set()
    names = []
    for path in paths:
        stem = re.sub(r"[^\w.-]", "_", printable(path.stem)).strip(".")[:LONGEST_NAME] or "image"
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names
