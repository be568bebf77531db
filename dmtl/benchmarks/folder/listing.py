"""The files of a collection: which images there are, which labels each has, and which names cannot be meant."""

import functools
import os
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from dmtl.config.own import Collection, Drawn, Lists
from dmtl.errors import UserError, nearest
from dmtl.reading.bounded import read_text

IMAGES = "image"  # the folder of the images; those of the labels stand beside it
PHOTOS = (".png", ".jpg", ".jpeg", ".npy")
LABELS = (".png", ".npy")  # JPEG changes values
SPLITS = ("train", "val")
LONGEST_NAME = 200


def files_of(folder: Path, endings: tuple[str, ...]) -> Mapping[str, str]:
    """The files of a folder by their names without the ending: stem -> file name, in no order.

    Hidden files and those of other endings are no part of the data.

    Raises:
        UserError: the folder cannot be read; two files have one stem; a link leads out of the folder; a name is too long.
    """
    try:
        return _files_of(folder, endings, folder.stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}): mend its name or its rights") from None


@functools.lru_cache(maxsize=256)
def _files_of(folder: Path, endings: tuple[str, ...], _changed: int) -> Mapping[str, str]:
    """Kept until the folder changes: it is asked for at each image."""
    found: dict[str, str] = {}
    for entry in os.scandir(folder):
        stem, ending = os.path.splitext(entry.name)
        if ending.lower() not in endings or stem.startswith("."):
            continue
        if stem in found:
            both = sorted((found[stem], entry.name))
            raise UserError(f"{folder}: {both[0]} and {both[1]} are of one name: keep one of them")
        if len(stem) > LONGEST_NAME:
            raise UserError(f"{folder}: the name {stem[:40]}... has more than {LONGEST_NAME} letters: shorten it")
        if entry.is_symlink():
            _require_inside(folder, entry.name)
        found[stem] = entry.name
    return found


def _require_inside(folder: Path, name: str) -> None:
    target, root = (folder / name).resolve(), folder.parent.resolve()
    if not target.is_relative_to(root):
        raise UserError(f"{folder / name} is a link that leads out of {root}: put the file itself there")


def collection_splits(root: Path, collection: Collection) -> dict[str, list[str]]:
    """The stems of the training and test images of a collection, in order.

    Raises:
        UserError: a folder or list is missing or empty; a list names an image that is not there, or one twice.
    """
    if collection.splits == "folders":
        splits = {split: list(files_of(_there(root / split / IMAGES), PHOTOS)) for split in SPLITS}
    else:
        stems = files_of(_there(root / IMAGES), PHOTOS)
        splits = (
            _listed(root, collection.splits, stems) if isinstance(collection.splits, Lists) else _drawn(collection.splits, stems)
        )
    skipped = set(collection.skip)
    return {split: sorted(set(stems) - skipped, key=_by_number) for split, stems in splits.items()}


def split_folder(root: Path, collection: Collection, split: str) -> Path:
    """The folder that holds `image` and the labels of a split."""
    return root / split if collection.splits == "folders" else root


def _there(folder: Path) -> Path:
    if not folder.is_dir():
        raise UserError(f"{folder} is missing: a collection has the folder '{IMAGES}' and one folder for each task")
    return folder


def _listed(root: Path, lists: Lists, stems: Mapping[str, str]) -> dict[str, list[str]]:
    files = {split: root / getattr(lists, split) for split in SPLITS}
    splits = {split: _lines(file) for split, file in files.items()}
    for split, names in splits.items():
        for name in names:
            if name not in stems:
                raise UserError(f"{files[split]}: no image '{name}' in {root / IMAGES}; {nearest(name, list(stems)[:2000])}")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"{files[split]} names '{twice}' twice: list every image once")
    both = sorted(set(splits["train"]) & set(splits["val"]))
    if both:
        raise UserError(f"'{both[0]}' is in {files['train'].name} and in {files['val'].name}: an image is of one split")
    return splits


def _lines(file: Path) -> list[str]:
    """The names in a list, with or without an ending; empty lines and comments aside."""
    try:
        text = read_text(file)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file} cannot be read ({' '.join(str(error).split())[:100]}): it lists the images, a name a line"
        ) from None
    lines = (line.strip() for line in text.splitlines())
    return [_without_ending(line) for line in lines if line and not line.startswith("#")]


def _without_ending(name: str) -> str:
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in PHOTOS else name


def _drawn(share: Drawn, stems: Iterable[str]) -> dict[str, list[str]]:
    """By a checksum of the name, so that a further image moves no other; at least one image is of each split."""
    ranked = sorted(stems, key=lambda stem: (zlib.crc32(stem.encode()), stem))
    test = min(max(1, round(share.val * len(ranked))), max(0, len(ranked) - 1))
    edge = round(share.val * 2**32)
    tested = [stem for stem in ranked if zlib.crc32(stem.encode()) < edge] or ranked[:test]
    tested = tested if len(tested) < len(ranked) else ranked[:test]
    return {"train": ranked[len(tested) :], "val": tested}  # in either case the first of them


def _by_number(stem: str) -> tuple[int, str]:
    return (int(stem) if stem.isascii() and stem.isdecimal() and len(stem) < 20 else -1, stem)


def image_id(collection: str | None, stem: str) -> str:
    """The name of an image in shards and results: its stem, after its collection where there are several; no white space."""
    name = re.sub(r"[\s%/\\]", lambda match: quote(match[0], safe=""), stem)
    return name if collection is None else f"{collection}-{name}"


def stem_of(image: str, collections: Iterable[str]) -> tuple[str, str]:
    """The collection and stem of an image's id."""
    names = list(collections)
    if len(names) == 1:
        return names[0], unquote(image)
    collection = max((name for name in names if image.startswith(f"{name}-")), key=len)
    return collection, unquote(image.removeprefix(f"{collection}-"))
