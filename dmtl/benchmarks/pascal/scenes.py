"""Synthetic snapshots for the PASCAL benchmark, in the published files.

The main subject stands at the origin and the camera looks along z. Everything that a file shows is read off the same ray cast
scene, so all tasks agree.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dmtl.benchmarks.pascal.encode import Snapshot, contents, image_id, names
from dmtl.benchmarks.pascal.people import PART_LABELS, build_person
from dmtl.benchmarks.pascal.subjects import CATALOGUE, PERSON
from dmtl.benchmarks.shared import scene
from dmtl.benchmarks.shared.raycast import Camera, Solid, axes_toward, pinhole
from dmtl.benchmarks.shared.scene import View, look_at, photograph
from dmtl.benchmarks.shared.things import make_solid, moved, numbered, sky, turned

SIZES = ((375, 500), (375, 500), (333, 500), (375, 500), (500, 375), (334, 500), (500, 333), (281, 500))
LONG = ("aeroplane", "boat", "bus", "train")  # seen from the front, more or less: from the side they would be small
ON_TABLE = ("bottle", "tv")


class Place(NamedTuple):
    """Where snapshots are taken: the ground's material, what the subject can be, what may be beside it and far behind it."""

    ground: str
    subjects: str
    beside: str
    behind: str


PLACES = (  # some subjects often, so that a few snapshots teach them, and each of the others now and then
    Place("grass", "person person person person dog horse horse", "person person horse", "tree tree hill house"),
    Place("road", "car car car bus bus bus person person motorbike bicycle", "car person", "house house tree fence"),
    Place("grass", "sheep sheep sheep horse horse person person cow", "sheep horse person", "hill hill tree fence"),
    Place("floor", "sofa sofa sofa person person person person chair cat table tv", "person plant sofa", "cupboard window"),
    Place("floor", "person person plant plant bottle cat", "person plant chair", "cupboard window window"),
    Place("water", "boat boat boat boat bird", "boat", "hill hill tree house"),
    Place("track", "train train train bus", "person", "house tree tree hill"),
    Place("soil", "aeroplane bird person person", "person car", "hill house tree"),
)


def _build(rng: np.random.Generator, name: str) -> list[Solid]:
    return build_person(rng) if name == "person" else CATALOGUE.build(rng, name)


def extent(solids: list[Solid]) -> tuple[np.ndarray, np.ndarray]:
    """The least and greatest x, y, z (3,) that turned solids may reach."""
    around = [np.hypot(s.half[0], s.half[2]) for s in solids]
    reach = np.stack([np.array([r, s.half[1], r]) if s.yaw else s.half for s, r in zip(solids, around, strict=True)])
    centres = np.stack([s.centre for s in solids])
    return (centres - reach).min(0), (centres + reach).max(0)


def _set_down(rng: np.random.Generator, name: str, yaw: float, thing: int) -> list[Solid]:
    """A thing, turned, at the origin; small ones stand on a table, which is the next thing."""
    up, table = 0.0, []
    if name in ON_TABLE:
        table = numbered(turned(_build(rng, "table"), rng.normal(0, 0.2)), thing + 1)
        up = -extent(table)[0][1]
    return [*numbered(moved(turned(_build(rng, name), yaw), 0, up, 0), thing), *table]


def _beside(rng: np.random.Generator, place: Place, low: np.ndarray, high: np.ndarray) -> list[Solid]:
    """Up to two things next to the subject, which reaches from `low` to `high` (3,), or somewhat behind it."""
    solids: list[Solid] = []
    left, right = low[0], high[0]
    for k in range(rng.choice(3, p=(0.5, 0.35, 0.15))):
        choice = place.beside.split()
        one = _set_down(rng, choice[rng.integers(len(choice))], rng.uniform(-math.pi, math.pi), 10 + 2 * k)
        least, most = (reach[0] for reach in extent(one))
        gap = rng.uniform(0.05, 0.4) * (right - left + 1)
        to_the_right = rng.random() < 0.5
        x = right + gap - least if to_the_right else left - gap - most
        solids += moved(one, x, 0, rng.uniform(-0.3, 2.0))
        left, right = (left, x + most) if to_the_right else (x + least, right)
    return solids


def _outdoors(rng: np.random.Generator, place: Place, far: float) -> list[Solid]:
    """The ground, the sky, and what stands beyond `far` metres."""
    air, ground = (CATALOGUE.coat(rng, material) for material in ("sky", place.ground))
    solids = [make_solid(0, -0.1, 0, (1200, 0.1, 1200), ground)]
    if rng.random() < 0.6:
        other = "grass" if place.ground in ("road", "track", "soil") else "soil"
        z = far + 300 + rng.uniform(0, 4)
        solids.append(make_solid(0, -0.08, z, (1200, 0.1, 600), CATALOGUE.coat(rng, other)))
    solids += sky(air, ahead=400, behind=-400, beside=400, middle=0, length=1000, height=300)
    for name in rng.choice(place.behind.split(), rng.integers(2, 5)):
        off = far + (rng.uniform(100, 220) if name == "hill" else rng.uniform(4, 40))
        solids += moved(turned(_build(rng, name), rng.normal(0, 0.3)), rng.uniform(-0.8, 0.8) * (off + 5), 0, off)
    return solids


def _indoors(rng: np.random.Generator, place: Place, far: float, wide: float) -> list[Solid]:
    """A room whose back wall is `far` metres off and whose side walls are `wide` metres to each side."""
    wall, high = CATALOGUE.coat(rng, "wall"), rng.uniform(2.4, 3)
    middle, flat = (far - 30) / 2, (2 * wide, 0.1, far + 30)
    solids = [
        make_solid(0, -0.1, middle, flat, CATALOGUE.coat(rng, "floor")),
        make_solid(0, high, middle, flat, CATALOGUE.coat(rng, "ceiling")),
        make_solid(0, 0, far + 0.05, (2 * wide, high, 0.1), wall),
        *(make_solid(side * wide, 0, middle, (0.1, high, far + 30), wall) for side in (-1, 1)),
    ]
    for name in rng.choice(place.behind.split(), rng.integers(1, 4)):
        one = turned(_build(rng, name), math.pi)
        x = rng.uniform(-0.8, 0.8) * wide
        solids += moved(one, x, 0.9 if name == "window" else 0, far - extent(one)[1][2])
    return solids


def _camera(rng: np.random.Generator, size: tuple[int, int], low: np.ndarray, high: np.ndarray) -> Camera:
    """A camera in front of what reaches from `low` to `high` (3,), which fills about as much as the picture."""
    focal = rng.uniform(0.9, 1.4) * max(size)
    spans = (high - low)[:2] * focal / (rng.uniform(1.4, 1.9) * np.array(size[::-1]))
    distance = max(math.sqrt(spans.prod()), 0.5) - low[2]
    eye = np.clip(rng.uniform(0.5, 1.5) * -low[1], 0.25, rng.uniform(1.3, 2))
    origin = np.array([rng.normal(0, 0.1) * distance, -eye, -distance])
    target = np.array([rng.normal(0, 0.08) * spans.max(), 0.6 * low[1] + 0.4 * high[1], 0])
    axes = axes_toward((target - origin) / np.linalg.norm(target - origin))
    return pinhole(origin, axes, size, focal, focal, (size[1] - 1) / 2, (size[0] - 1) / 2)


def _scene(rng: np.random.Generator, size: tuple[int, int]) -> View:
    """The view of a subject, which is thing 1, and what is around it."""
    place = PLACES[rng.integers(len(PLACES))]
    name = str(rng.choice(place.subjects.split()))
    subject = _set_down(rng, name, math.pi + rng.uniform(-1, 1) * (0.9 if name in LONG else math.pi), 1)
    solids = subject + _beside(rng, place, *extent(subject))
    camera = _camera(rng, size, *extent([s for s in subject if s.thing == 1]))
    low, high = extent(solids)
    if place.ground == "floor":
        wide = max(-low[0], high[0], abs(camera.origin[0]), 1) + rng.uniform(0.3, 1.5)
        return look_at(solids + _indoors(rng, place, high[2] + rng.uniform(0.3, 1.5), wide), camera)
    return look_at(solids + _outdoors(rng, place, high[2] + rng.uniform(1, 6)), camera)


def render_snapshot(rng: np.random.Generator, size: tuple[int, int]) -> Snapshot:
    """A random snapshot of `size` = (height, width)."""
    view = _scene(rng, size)
    image = photograph(rng, view, haze=-4 * view.camera.origin[2])  # the subject stands out from what is behind it
    label, thing = (view.per_pixel([getattr(s, name) for s in view.solids]) for name in ("label", "thing"))
    part = np.where(label >= PART_LABELS, label - PART_LABELS, -1)
    label_map = np.where(part >= 0, PERSON, label).astype(np.uint16)
    return Snapshot(np.rint(image * 255).astype(np.uint8), label_map, thing, part, view.camera_normal())


def _draw(rng: np.random.Generator, split: str, k: int) -> Iterator[bytes]:
    return contents(render_snapshot(rng, SIZES[rng.integers(len(SIZES))]), split, k)


def write_tree(folder: Path, split: str, count: int, seed: int, workers: int | None = None) -> None:
    """Write snapshots 0 to count - 1 and their lists as a split of an ASTMT tree (`scene.write_tree`)."""
    scene.write_tree(folder, split, count, seed, names, _draw, workers)
    lists = {split: range(count)} | ({"test_new": range(0, count, 2)} if split == "val" else {})
    for name, numbers in lists.items():
        content = "".join(f"{image_id(split, k)}\n" for k in numbers).encode()
        path = folder / f"ImageSets/Context/{name}.txt"
        if not path.exists() or len(path.read_bytes()) < len(content):
            scene.write_file(path, content)
