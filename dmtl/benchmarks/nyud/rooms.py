"""Synthetic rooms for the NYUD benchmark.

The floor of a room is at y = 0 and its middle the origin. The camera is NYUv2's.
"""

import math
from itertools import product
from pathlib import Path

import numpy as np

from dmtl.benchmarks.nyud.furniture import BOARDS, CATALOGUE, UNLABELLED, WINDOW
from dmtl.benchmarks.shared.raycast import BALL, BOX, UPRIGHT, Camera, Solid, pinhole, rotation, turned_axes
from dmtl.benchmarks.shared.scene import View, edges, look_at, patches, photograph, write_arrays
from dmtl.benchmarks.shared.things import make_solid, moved, numbered, turned

ARRAYS = ("image", "label", "depth", "normal")
ROOMS = (
    "bed wardrobe drawers cabinet shelf desk chair bed",
    "sofa low_table sofa stand shelf cabinet lamp chair",
    "desk shelf sofa desk shelf cabinet drawers wardrobe",
    "table cabinet wardrobe drawers cabinet cupboard cupboard shelf stand",
)
ANYWHERE = "rug lamp crate crate crate chair window curtains door picture screen picture mirror"
FREE = ("chair", "table", "low_table", "crate", "rug")  # the others are at a wall
HANGING = {
    "cupboard": 1.5,
    "curtains": 0.6,
    "window": 0.9,
    "picture": 1.3,
    "screen": 1.1,
    "mirror": 1.0,
    "door": 0.0,
}  # metres up
HAZE = 6.0  # metres, about a room's length
SEATS = {"desk": 1, "table": 4}  # the most chairs at it
# What can carry small things: height, width, depth, gap above, in shares of the thing's size.
TOPS = {
    **dict.fromkeys(("desk", "table", "low_table", "cabinet", "drawers", "crate"), ((1, 1, 1, 0.5),)),
    "sofa": ((0.58, 0.7, 0.5, 0.4),),
    "shelf": tuple((up + 0.015, 0.94, 0.9, 0.2) for up in BOARDS),
}


def intrinsics(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The Kinect's fx, fy, cx, cy in pixels at `size` = (height, width)."""
    y, x = size[0] / 480, size[1] / 640
    return 518.8579 * x, 519.4696 * y, 325.5824 * x, 253.7362 * y


def _clutter(rng: np.random.Generator, width: float, depth: float, largest: float) -> list[Solid]:
    """Small objects on a top of width x depth metres, a fifth of them unlabelled as in NYU."""
    solids = []
    for _ in range(rng.integers(1, 4)):
        size = rng.uniform(0.6, 1, 3) * min(largest, 0.9 * depth)
        x, z = rng.uniform(-0.5, 0.5, 2) * np.maximum((width - size[0], depth - size[2]), 0)
        material, shape = "object" if rng.random() < 0.8 else "unlabelled object", (BOX, UPRIGHT, BALL)[rng.integers(3)]
        solid = make_solid(x, 0, z, size, CATALOGUE.coat(rng, material), shape)
        solids.append(solid._replace(yaw=rng.uniform(-0.4, 0.4)))
    return solids


def _books(rng: np.random.Generator, width: float, depth: float, tallest: float) -> list[Solid]:
    """A row of upright books somewhere along a top of width x depth metres."""
    x, right = np.sort(rng.uniform(-0.5, 0.5, 2)) * width
    solids = []
    while (x := x + (w := rng.uniform(0.025, 0.06))) < right:
        size = np.array([0.94 * w, min(tallest, 0.33) * rng.uniform(0.65, 0.95), min(depth, 0.25) * rng.uniform(0.7, 0.95)])
        solids.append(make_solid(x - w / 2, 0, (size[2] - depth) / 2, size, CATALOGUE.coat(rng, "book")))
    return solids


def _build(rng: np.random.Generator, name: str) -> list[Solid]:
    """A thing of random size at the origin, with what stands on it and the chairs at it."""
    thing, tops = CATALOGUE.things[name], TOPS.get(name, ())
    size = rng.uniform(thing.least, thing.most)
    solids = CATALOGUE.build(rng, name, size)
    for up, *share in tops:
        width, depth, gap = np.multiply(share, size[[0, 2, 1]])
        fill = _books if rng.random() < (0.5 if len(tops) > 1 else 0.15) else _clutter
        solids += moved(fill(rng, width, depth, gap - 0.03), 0, up * size[1], 0) if rng.random() < 0.85 else []
    for k in range(SEATS.get(name, 0)):  # the first at the front
        chair = turned(_build(rng, "chair"), rng.normal(0, 0.2)) if rng.random() < 0.8 else []
        at_table = moved(chair, (k // 2 - 0.5) * size[0] / 2, 0, -size[2] / 2 - rng.uniform(0.05, 0.3))
        solids += turned(at_table, 0 if k % 2 else math.pi)
    return solids


def _place(rng: np.random.Generator, name: str, room: np.ndarray, taken: list[np.ndarray]) -> list[Solid]:
    """A thing where it belongs in a room of half sizes (x, z), off the rectangles taken (its own is added), or nothing."""
    solids = _build(rng, name)
    low = np.min([s.centre - s.half for s in solids], 0)[[0, 2]]
    high = np.max([s.centre + s.half for s in solids], 0)[[0, 2]]
    up, gap = 0.0, 0.08  # behind what stands, curtains may hang
    if name in HANGING:
        up, gap = HANGING[name] * rng.uniform(0.9, 1.1), 0.0
    for quarter in rng.integers(4, size=12):
        wide, deep = room if quarter % 2 == 0 else room[::-1]
        x = rng.uniform(-wide - low[0], wide - high[0])
        z = rng.uniform(-deep - low[1], deep - high[1]) if name in FREE else gap - deep - low[1]
        ground = np.sort(rotation(quarter * math.pi / 2)[::2, ::2] @ np.add(np.stack([low, high], 1), [[x], [z]]))
        others = np.reshape(taken, (-1, 2, 2))
        clear = ((ground[:, 0] > others[:, :, 1]) | (ground[:, 1] < others[:, :, 0])).any(1).all()
        if clear and (np.abs(ground) < room[:, None] + 0.02).all():
            taken.append(ground)
            return turned(moved(solids, x, up, z), quarter * math.pi / 2)
    return []


def _shell(rng: np.random.Generator, width: float, height: float, depth: float) -> list[Solid]:
    """Floor, ceiling and walls of a room whose middle is the origin, 0.1 m thick; most walls share their paint."""
    flat, coat = (width + 0.2, 0.1, depth + 0.2), CATALOGUE.coat(rng, "wall")
    solids = [make_solid(0, up, 0, flat, CATALOGUE.coat(rng, name)) for name, up in (("floor", -0.1), ("ceiling", height))]
    for side, along in product((-1, 1), (0, 2)):
        size, at = np.array([width, height, depth]) + 0.2, np.zeros(3)
        at[along], size[along] = side * (size[along] / 2 - 0.05), 0.1
        solids.append(make_solid(at[0], -0.1, at[2], size, coat if rng.random() < 0.8 else CATALOGUE.coat(rng, "wall")))
    return solids


def _camera(rng: np.random.Generator, eye: np.ndarray, ahead: np.ndarray, size: tuple[int, int]) -> Camera:
    """A camera held at (x, z) = `eye` by someone who stands and looks along (x, z) = `ahead`, somewhat down."""
    axes = turned_axes(*rng.normal((math.atan2(*ahead), 0.23, 0), (0.15, 0.09, 0.025)))
    return pinhole(np.array([eye[0], -rng.uniform(1.2, 1.7), eye[1]]), axes, size, *intrinsics(size))


def _scene(rng: np.random.Generator, size: tuple[int, int]) -> View:
    """The view of a furnished room."""
    width, height, depth = rng.uniform((3.0, 2.4, 3.4), (5.5, 2.9, 7.5))
    solids, room = _shell(rng, width, height, depth), np.array([width, depth]) / 2
    eye = max(rng.uniform(0.4 - room, room - 0.4, (2, 2)), key=np.linalg.norm)
    standing = [np.stack([eye - 0.7, eye + 0.7], 1)]
    hanging: list[np.ndarray] = []
    for n, name in enumerate(f"{ROOMS[rng.integers(len(ROOMS))]} {ANYWHERE}".split()):
        if rng.random() < 0.8:
            taken = [] if name == "rug" else hanging if name in HANGING else standing
            solids += numbered(_place(rng, name, room, taken), n + 1)
    seen = (standing[k].mean(1) - eye for k in rng.integers(len(standing), size=3))
    return look_at(solids, _camera(rng, eye, max(*seen, -0.01 * eye, key=np.linalg.norm), size))


def render_room(rng: np.random.Generator, size: tuple[int, int] = (288, 384)) -> dict[str, np.ndarray]:
    """A random room seen at `size` = (H, W): one sample of MTAN's NYUv2, all float32.

    `image` (H, W, 3) in [0, 1]; `label` (H, W), 0 to 12, -1 unlabelled; `depth` (H, W, 1), metres along the optical axis, 0
    invalid; `normal` (H, W, 3), unit vectors toward the camera (x right, y down, z away from it), (0, 0, 0) invalid.
    """
    view = _scene(rng, size)
    image = photograph(rng, view, HAZE)
    label = view.per_pixel([s.label for s in view.solids], np.float32)
    pieces, reach = view.per_pixel([100 * s.thing + s.label for s in view.solids]), max(1, size[0] // 144)
    glass = (label == WINDOW) & view.per_pixel([s.paint[9] > 0 for s in view.solids])
    invalid = glass & patches(rng, size, 0.3)
    invalid |= edges(np.log(view.depth), reach, 0.1) & patches(rng, size, 0.5)
    label[edges(pieces, 1, 0) | (edges(pieces, reach + 1, 0) & patches(rng, size, 0.5))] = UNLABELLED
    depth, normal = np.where(invalid, np.float32(0), view.depth), np.where(invalid, np.float32(0), view.camera_normal())
    return {"image": image, "label": label, "depth": depth[..., None], "normal": np.ascontiguousarray(normal.transpose(1, 2, 0))}


def write_tree(folder: Path, split: str, count: int, seed: int, workers: int | None = None) -> None:
    """Write rooms 0 to count - 1 as MTAN's tree of NYUv2 (`scene.write_tree`)."""
    write_arrays(folder, split, count, seed, ARRAYS, render_room, workers)
