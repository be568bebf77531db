"""Image files that anybody may have made: opened here alone, as one of a few formats and of a bounded number of pixels."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image

PHOTOS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # none that runs a program, as EPS would
MOST_PIXELS = 64_000_000  # a square of 8000


class TooManyPixels(ValueError):
    """An image is larger than what is read here."""


@contextmanager
def opened(source: Path | bytes, formats: Sequence[str] = PHOTOS) -> Iterator[Image.Image]:
    """An image of one of `formats`, by its content and not by its name; its pixels are not unpacked yet.

    Raises:
        TooManyPixels: it has more than `MOST_PIXELS`.
        ValueError, OSError, SyntaxError: it is damaged or no such image.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged metadata, which nobody reads
        try:
            with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=tuple(formats)) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise TooManyPixels(_too_many(image.width * image.height))
                yield image
        except Image.DecompressionBombError:
            raise TooManyPixels(_too_many(None)) from None


def _too_many(pixels: int | None) -> str:
    count = "too many" if pixels is None else f"{pixels / 1e6:.0f} million"
    return f"it has {count} pixels, more than {MOST_PIXELS // 1_000_000} million: make it smaller"
