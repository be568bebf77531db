"""What lies in a collection of images and labels: sizes, values, counts, and what is broken or does not fit.

Every file is read once (a checksum finds images that stand twice); pictures are decoded only where their pixels are needed: of
labels of classes all, of values every n-th. Damage inside other files is found when shards are built.
"""

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from dmtl.benchmarks.folder import labels, listing
from dmtl.config.own import Collection
from dmtl.errors import UserError
from dmtl.files import file_sha256
from dmtl.parallel import in_order
from dmtl.reading.bounded import LARGEST_FILE, read_within
from dmtl.reading.images import TooManyPixels, opened

SAMPLED = 200  # files of each folder whose values are looked at
FEW_VALUES = 256  # a file with more whole numbers shows no classes
PIXELS = 4096  # of a sampled file that are kept

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Label:
    """What was seen of a label file.

    Attributes:
        size: (height, width).
        channels: 1, or of an `(H, W, C)` file as many.
        whole: whether it holds whole numbers.
        bits: of a picture; None of an npy file.
        counts: whole number -> pixels, where it has few of them.
        values: `(n, channels)` float32, some of its values, where they were looked at.
    """

    size: Size
    channels: int
    whole: bool
    bits: int | None
    counts: Mapping[int, int] | None
    values: np.ndarray | None


@dataclass(frozen=True)
class Seen:
    """One image with its labels.

    Attributes:
        stem, split: which it is.
        photo: its file's name.
        record: bytes and CRC-32 of the photo, then of each label by folder.
        size: (height, width); None if it is broken.
        labels: folder -> what was seen.
        faults: what is broken or does not fit, a line each.
    """

    stem: str
    split: str
    photo: str
    record: dict[str, tuple[int, int]]
    size: Size | None
    labels: dict[str, Label]
    faults: list[str]


@dataclass
class Look:
    """All of a collection.

    Attributes:
        root: its folder.
        collection: how its splits are told; its tasks are what was seen, by folder.
        images: in order.
        notes: of the collection as a whole, a line each.
    """

    root: Path
    collection: Collection
    images: list[Seen]
    notes: list[str] = field(default_factory=list)

    @property
    def folders(self) -> list[str]:
        """The folders with labels, in order of their names."""
        return sorted({folder for image in self.images for folder in image.labels})

    def of(self, folder: str) -> list[Label]:
        """What was seen of the labels in a folder."""
        return [image.labels[folder] for image in self.images if folder in image.labels]

    @property
    def broken(self) -> list[Seen]:
        """The images with faults."""
        return [image for image in self.images if image.faults]


def splits_of(root: Path) -> Collection:
    """How the folder `root` tells its splits: folders, lists, or not at all, so that a fifth of the images become test images.

    Raises:
        UserError: it is no collection.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder")
    if (root / listing.IMAGES).is_dir():
        lists = {split: f"{split}.txt" for split in listing.SPLITS}
        told = all((root / file).is_file() for file in lists.values())
        return Collection.model_validate({"splits": lists if told else {"val": 0.2}, "tasks": {}})
    there = [split for split in listing.SPLITS if (root / split / listing.IMAGES).is_dir()]
    if len(there) == 2:
        return Collection(splits="folders", tasks={})
    if there:
        other = next(split for split in listing.SPLITS if split not in there)
        raise UserError(f"{root} has {there[0]}/{listing.IMAGES} but no {other}/{listing.IMAGES}: make that too")
    raise UserError(
        f"{root} has no folder '{listing.IMAGES}', nor train/{listing.IMAGES} and val/{listing.IMAGES}: put the images there, "
        "and the labels of each task into a folder beside it"
    )


def look(root: Path, collection: Collection, folders: Sequence[str] | None = None, workers: int | None = None) -> Look:
    """Look at a collection.

    Args:
        root: its folder.
        collection: how its splits are told, and what is skipped.
        folders: those with labels; None: all beside `image`.
        workers: processes; None takes every core.

    Raises:
        UserError: as `listing.collection_splits`; no image is there.
    """
    splits = listing.collection_splits(root, collection)
    places = {split: listing.split_folder(root, collection, split) for split in listing.SPLITS}
    found = [_folders(places[split]) for split in listing.SPLITS]
    known = sorted({name for names in found for name in names}) if folders is None else list(folders)
    notes = [note for place in dict.fromkeys(places.values()) for folder in known for note in _notes(place, folder)]
    sampled = {split: {folder: _sample(places[split], folder, stems) for folder in known} for split, stems in splits.items()}
    items = [
        (split, stem, frozenset(folder for folder in known if stem in sampled[split][folder]))
        for split, stems in splits.items()
        for stem in stems
    ]
    if not items:
        raise UserError(f"{root} holds no image ({', '.join(listing.PHOTOS)}) in '{listing.IMAGES}'")
    seen = in_order(partial(_see, places, known), items, root.name, workers)
    return Look(root, collection, list(seen), notes)


def _sample(place: Path, folder: str, stems: Sequence[str]) -> frozenset[str]:
    """Some of the images that have a label in a folder: those whose values are looked at."""
    there = listing.files_of(place / folder, listing.LABELS) if (place / folder).is_dir() else {}
    labelled = [stem for stem in stems if stem in there]
    return frozenset(labelled[:: max(1, len(labelled) // SAMPLED)])


def twice(looks: Sequence[Look]) -> Iterator[str]:
    """Images that stand in train and in val, by their content."""
    photos: dict[tuple[int, int], list[tuple[str, Path]]] = {}
    for one in looks:
        for image in one.images:
            path = listing.split_folder(one.root, one.collection, image.split) / listing.IMAGES / image.photo
            photos.setdefault(image.record[listing.IMAGES], []).append((image.split, path))
    for same in photos.values():
        tested = [path for split, path in same if split == "val"]
        for path in [path for split, path in same if split == "train"] if tested else []:
            if file_sha256(path) == file_sha256(tested[0]):
                yield f"{path} is a training image, and as {tested[0]} a test image: keep one of them"


def _folders(place: Path) -> list[str]:
    return [
        path.name for path in place.iterdir() if path.is_dir() and path.name != listing.IMAGES and not path.name.startswith(".")
    ]


def _notes(place: Path, folder: str) -> Iterator[str]:
    """What of a folder cannot be used: files of other endings, and labels without an image."""
    if not (place / folder).is_dir():
        return
    stems = listing.files_of(place / folder, listing.LABELS)
    others = Counter(
        path.suffix.lower() or path.name for path in (place / folder).iterdir() if path.suffix.lower() not in listing.LABELS
    )
    for ending, count in others.items():
        yield f"{place / folder}: {count} file{'s' if count > 1 else ''} of ending '{ending}' cannot be labels: store PNG or npy"
    photos = listing.files_of(place / listing.IMAGES, listing.PHOTOS)
    orphans = sorted(set(stems) - set(photos))
    if orphans:
        cased = {stem.casefold(): stem for stem in photos}
        near = cased.get(orphans[0].casefold())
        but = f"; the image is called {near}" if near else ""
        yield f"{place / folder}: {len(orphans)} labels without an image, such as {stems[orphans[0]]}{but}"


def _see(places: Mapping[str, Path], folders: Sequence[str], item: tuple[str, str, frozenset[str]]) -> Seen:
    split, stem, sampled = item
    place = places[split]
    photo = listing.files_of(place / listing.IMAGES, listing.PHOTOS)[stem]
    seen = Seen(stem, split, photo, {}, None, {}, [])
    size = _photo_size(place / listing.IMAGES / photo, seen)
    for folder in folders:
        there = listing.files_of(place / folder, listing.LABELS) if (place / folder).is_dir() else {}
        if stem in there:
            _see_label(place / folder / there[stem], folder, size, folder in sampled, seen)
    return Seen(stem, split, photo, seen.record, size, seen.labels, seen.faults)


def _photo_size(path: Path, seen: Seen) -> Size | None:
    """From the header, where the file also ends as its kind does."""
    try:
        content = _content(path, listing.IMAGES, seen)
        if path.suffix.lower() == ".npy":
            return labels.read_photo(path).shape[:2]
        with opened(content) as image:
            width, height = image.size
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            ends = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}.get(image.format or "", b"")
        if ends not in content[-4096:]:
            raise UserError(f"{path} is truncated: its end is missing")
        return (width, height) if turned else (height, width)
    except UserError as error:
        seen.faults.append(str(error))
    except TooManyPixels as error:
        seen.faults.append(f"{path}: {error}")
    except Exception as error:  # a damaged file can raise nearly anything
        seen.faults.append(f"{path} is damaged or no image ({' '.join(str(error).split())[:100]})")
    return None


def _see_label(path: Path, folder: str, size: Size | None, sampled: bool, seen: Seen) -> None:
    try:
        _content(path, folder, seen)
        label = _label(path, sampled)
    except UserError as error:
        seen.faults.append(str(error))
        return
    except Exception as error:  # the header of a damaged file can raise nearly anything
        seen.faults.append(f"{path} is truncated or no PNG ({' '.join(str(error).split())[:100]})")
        return
    if size is not None and label.size != size:
        one, other = (f"{height}x{width}" for height, width in (label.size, size))
        seen.faults.append(f"{path} is {one} (height x width), its image {other}: bring them to one size")
    seen.labels[folder] = label


def _label(path: Path, sampled: bool) -> Label:
    if path.suffix.lower() == ".png" and not sampled:
        with opened(path, ("PNG",)) as image:  # the header alone tells whether there can be classes in it
            if image.mode in ("I;16", "I;16B", "I", "RGB"):
                channels = 3 if image.mode == "RGB" else 1
                return Label((image.height, image.width), channels, True, labels.WHOLE[image.mode], None, None)
    array = labels.stored_label(path)
    bits = None if path.suffix.lower() == ".npy" else 8 * array.dtype.itemsize
    channels = array.shape[2] if array.ndim == 3 else 1
    whole = array.dtype.kind != "f" or bool((array[:: max(1, len(array) // 16)] % 1 == 0).all())
    counts = _counts(array) if channels == 1 and whole else None
    values = None
    if sampled:
        flat = array.reshape(-1, channels)
        values = flat[:: max(1, len(flat) // PIXELS)].astype(np.float32)
    return Label((array.shape[0], array.shape[1]), channels, whole, bits, counts, values)


def _counts(array: np.ndarray) -> Mapping[int, int] | None:
    """Whole number -> pixels; None where there are too many numbers."""
    values, counts = labels.occurring(array)
    if len(values) > FEW_VALUES or not np.isfinite(values).all() or (values % 1 != 0).any():
        return None
    return dict(zip(map(int, values), map(int, counts), strict=True))


def _content(path: Path, folder: str, seen: Seen) -> bytes:
    try:
        content = read_within(path, LARGEST_FILE)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    seen.record[folder] = (len(content), zlib.crc32(content))
    return content
