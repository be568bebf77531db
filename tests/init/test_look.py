"""What `dmtl init` sees of files of which it reads as little as it can."""

from pathlib import Path

import numpy as np
from helpers.own_data import store, truncate

from dmtl.init.look import look, splits_of


def test_a_photo_whose_end_is_missing_is_found_without_decoding_it(tmp_path: Path) -> None:
    for k in range(3):
        noise = np.random.default_rng(k).integers(0, 256, (200, 200, 3)).astype(np.uint8)
        store(tmp_path / "image", f"{k}", noise, ".jpg")
        store(tmp_path / "semseg", f"{k}", np.zeros((200, 200), np.uint8))
    truncate(tmp_path / "image" / "1.jpg", by=5000)
    [broken] = look(tmp_path, splits_of(tmp_path), workers=0).broken
    assert broken.faults == [f"{tmp_path / 'image' / '1.jpg'} is truncated: its end is missing"]


def test_values_of_rare_labels_are_looked_at_and_damage_is_told_wherever_it_is(tmp_path: Path) -> None:
    """Of many images few have a depth; in others the header of a label is damaged, which is all that is read of most."""
    for k in range(450):
        store(tmp_path / "image", f"{k:03}", np.full((4, 4, 3), k % 256, np.uint8))
        store(tmp_path / "height", f"{k:03}", np.full((4, 4), 1000 + k, np.uint16))
    store(tmp_path / "far", "001", np.arange(16, dtype=np.uint16).reshape(4, 4) * 999)
    (tmp_path / "height" / "001.png").write_bytes(b"no picture")
    (tmp_path / "height" / "003.png").write_bytes(b"no picture")
    seen = look(tmp_path, splits_of(tmp_path), workers=0)
    assert seen.of("far")[0].values is not None
    assert len(seen.broken) == 2
    assert all("is truncated or no PNG" in fault for image in seen.broken for fault in image.faults)
