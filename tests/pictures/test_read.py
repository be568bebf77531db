"""Images of any usual kind become RGB, upright; what is none is refused in one line."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmtl.errors import UserError
from dmtl.pictures.read import read_image


def _saved(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file


RED = Image.new("RGB", (5, 4), (255, 0, 0))
SIXTEEN = Image.fromarray(np.full((4, 5), 0x8080, np.uint16))
KINDS = {
    "rgb.png": (_saved(RED, "PNG"), (255, 0, 0)),
    "grey.png": (_saved(Image.new("L", (5, 4), 77), "PNG"), (77, 77, 77)),
    "bits.png": (_saved(Image.new("1", (5, 4), 1), "PNG"), (255, 255, 255)),
    "palette.png": (_saved(RED.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), (255, 0, 0)),
    "clear.png": (_saved(Image.new("RGBA", (5, 4), (9, 9, 9, 0)), "PNG"), (255, 255, 255)),
    "half.png": (_saved(Image.new("LA", (5, 4), (0, 128)), "PNG"), (127, 127, 127)),
    "palette_clear.gif": (_saved(Image.new("P", (5, 4), 3), "GIF", transparency=3), (255, 255, 255)),
    "sixteen.png": (_saved(SIXTEEN, "PNG"), (128, 128, 128)),
    "sixteen.tif": (_saved(SIXTEEN, "TIFF"), (128, 128, 128)),
    "print.jpg": (_saved(RED.convert("CMYK"), "JPEG", quality=100), (255, 0, 0)),
    "web.webp": (_saved(RED, "WEBP", lossless=True), (255, 0, 0)),
    "two.gif": (_saved(RED, "GIF", save_all=True, append_images=[Image.new("RGB", (5, 4))]), (255, 0, 0)),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_usual_kind_of_file_becomes_rgb(tmp_path: Path, name: str) -> None:
    content, colour = KINDS[name]
    (tmp_path / name).write_bytes(content.getvalue())
    image = read_image(tmp_path / name)
    assert image.shape == (4, 5, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - colour).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_set_upright(tmp_path: Path, orientation: int) -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:10, :20] = 255  # white at the upper left
    stored = {  # how a camera stores it under each orientation
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.transpose(1, 0, 2),
        6: pixels.transpose(1, 0, 2)[::-1], 7: pixels[::-1, ::-1].transpose(1, 0, 2), 8: pixels.transpose(1, 0, 2)[:, ::-1],
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), pixels)


@pytest.mark.parametrize("limit", ["PIL.Image.MAX_IMAGE_PIXELS", "dmtl.reading.images.MOST_PIXELS"])
def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(limit, 100 * 40)  # Pillow raises above twice of its own
    Image.new("RGB", (100, 100)).save(tmp_path / "bomb.png")
    with pytest.raises(UserError, match=r"bomb\.png: it has .* pixels, more than \d+ million: make it smaller"):
        read_image(tmp_path / "bomb.png")


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "page.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    Image.fromarray(np.full((4, 4), 1e5, np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.full((4, 4), 1 << 20, np.int32)).save(tmp_path / "int.tif")
    for name in ("pipe.png", "empty.png", "text.png", "page.png", "float.tif", "int.tif", "nothing.png"):
        with pytest.raises(UserError, match=name.replace(".", r"\.")) as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)
