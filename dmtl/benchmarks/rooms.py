"""Synthetic rooms for the NYUD benchmark.

The floor of a room is at y = 0 and its middle the origin. Things are modelled at the origin, their back to -z. The camera is
NYUv2's.
"""

import math
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dmtl.benchmarks import raycast
from dmtl.benchmarks.raycast import (
    BALL,
    BOX,
    UPRIGHT,
    Camera,
    Look,
    Solid,
    albedo,
    assemble,
    edges,
    make_solid,
    mix_paint,
    moved,
    patches,
    photograph,
    rays,
    rotation,
    surface,
    trace,
)

BED, BOOKS, CEILING, CHAIR, FLOOR, FURNITURE, OBJECTS, PICTURE, SOFA, TABLE, TV, WALL, WINDOW = range(13)
UNLABELLED = -1
ARRAYS = ("image", "label", "depth", "normal")

LOOKS: dict[int, Look] = {
    BED: ("bfb8ad 596b99 994d4d 8c9980", ((4, 0, 4, 0.4), (12, 0, 0, 0.5), (60, 60, 60, 0.15))),
    BOOKS: ("993326 264d80 bfad80 336640 262626", ((0, 14, 0, 0.5), (0, 30, 0, 0.3))),
    CEILING: ("ebebe6 e0d6c7", ((40, 0, 40, 0.05), (1.6, 0, 1.6, 0.08))),
    CHAIR: ("664021 29292e 80291f 4d5973", ((50, 3, 50, 0.3), (60, 60, 60, 0.2))),
    FLOOR: ("805c38 9e9180 6b6b70 7a5445", ((9, 0, 0.8, 0.6), (0.8, 0, 9, 0.6), (2.5, 0, 2.5, 0.5), (70, 0, 70, 0.3))),
    FURNITURE: ("734d2e bfa885 4d3324 dbd9d1", ((2, 50, 2, 0.3), (50, 2, 50, 0.3))),
    OBJECTS: ("cc4d40 408ca6 d9ccb3 4d7340 d9a633 333333", ((12, 12, 12, 0.4), (0, 20, 0, 0.5), (80, 80, 80, 0.2))),
    PICTURE: ("596173 a68c61 b3b3a8", ((9, 9, 9, 0.9), (5, 14, 5, 0.9))),
    SOFA: ("735947 4d5461 94856b 732e29", ((50, 50, 50, 0.25), (7, 0, 7, 0.3))),
    TABLE: ("8c6138 a8855c 472e1f d1d1cc", ((3, 0, 45, 0.35), (45, 0, 3, 0.35))),
    TV: ("141417 1f212b 14161a 527aa3", ((6, 6, 6, 0.6), (2, 2, 2, 0.3))),
    WALL: ("dbd4bf bdccd1 d1bd9e b3ba9e cccccc", ((30, 30, 30, 0.08), (8, 0, 8, 0.15), (0, 0, 0, 0))),
    WINDOW: ("d9e6f2 99bfe6 e6e0d1", ((1.5, 2.5, 1.5, 0.5), (0, 25, 0, 0.4))),
}

# A part of a thing: class, coat (one class and coat share their paint), x, height of the underside, z, width, height, depth, all
# in shares of the thing's size, and which axes are round; where x is not 0, there is another at -x.
Part = tuple[Any, ...]
GLOWS = {(WINDOW, 1): 0.8, (OBJECTS, 2): 0.8, (TV, 1): 0.3}  # by class and coat
LEGS: tuple[Part, ...] = tuple((TABLE, 0, 0.46, 0, z, 0.05, 0.95, 0.07) for z in (-0.44, 0.44))
TABLE_PARTS: tuple[Part, ...] = (*LEGS, (TABLE, 0, 0, 0.95, 0, 1, 0.05, 1))
CABINET: tuple[Part, ...] = ((FURNITURE, 0, 0, 0.96, 0.02, 1, 0.04, 1.06), (FURNITURE, 1, 0, 0, 0, 0.98, 0.96, 0.98))
DOORS: tuple[Part, ...] = ((FURNITURE, 0, 0.25, 0.05, 0.5, 0.47, 0.88, 0.06),)
DRAWERS: tuple[Part, ...] = tuple((FURNITURE, 0, 0.25, up, 0.5, 0.47, 0.2, 0.06) for up in (0.05, 0.28, 0.51, 0.74))
BOARDS, TOP = (0.03, 0.27, 0.51, 0.75, 0.985), ((1, 1, 1, 0.5),)


class Thing(NamedTuple):
    """Least and greatest size (width, height, depth) in metres; parts; what can carry small things (height, width, depth and gap
    above, in shares); where it belongs: at a "wall", "free", or that high on a wall; the most chairs at it.
    """

    least: tuple[float, float, float]
    most: tuple[float, float, float]
    parts: tuple[Part, ...]
    tops: tuple[tuple[float, float, float, float], ...] = ()
    place: str | float = "wall"
    chairs: int = 0


def _framed(label: int, place: float, least: tuple[float, float], most: tuple[float, float]) -> Thing:
    """A flat thing on the wall: a frame and what it frames."""
    parts = ((label, 0, 0, 0, 0, 1, 1, 1), (label, 1, 0, 0.05, 0.5, 0.92, 0.9, 0.2))
    return Thing((*least, 0.04), (*most, 0.04), parts, place=place)


THINGS = {
    "bed": Thing(
        (1.0, 0.9, 1.9),
        (1.8, 1.2, 2.1),
        (
            (BED, 0, 0, 0, 0, 1, 0.28, 1),
            (BED, 0, 0, 0, -0.5, 1.05, 1, 0.03),
            (BED, 1, 0, 0.28, 0.01, 0.98, 0.22, 0.96),
            (BED, 2, 0, 0.2, 0.18, 1.03, 0.33, 0.64),
            (OBJECTS, 0, 0.25, 0.47, -0.35, 0.44, 0.18, 0.2, BALL),
        ),
    ),
    "sofa": Thing(
        (1.3, 0.75, 0.85),
        (2.2, 0.9, 1.0),
        (
            (SOFA, 0, 0, 0.06, 0, 1, 0.34, 0.98),
            (SOFA, 0, 0, 0.1, -0.38, 0.9, 0.9, 0.24),
            (SOFA, 0, 0.45, 0, 0, 0.1, 0.75, 1),
            (SOFA, 0, 0.2, 0.41, 0.1, 0.39, 0.17, 0.76),
            (OBJECTS, 0, 0.3, 0.57, -0.16, 0.2, 0.4, 0.2, BALL),
        ),
        ((0.58, 0.7, 0.5, 0.4),),
    ),
    "chair": Thing(
        (0.42, 0.85, 0.42),
        (0.55, 1.0, 0.5),
        (
            (CHAIR, 0, 0, 0.45, 0, 1, 0.06, 1),
            (CHAIR, 0, 0, 0.62, -0.46, 1, 0.38, 0.08),
            (CHAIR, 0, 0.45, 0, 0.45, 0.08, 0.46, 0.08),
            (CHAIR, 0, 0.45, 0, -0.46, 0.08, 0.8, 0.08),
        ),
        place="free",
    ),
    "desk": Thing((1.0, 0.72, 0.6), (1.6, 0.76, 0.75), TABLE_PARTS, TOP, chairs=1),
    "table": Thing((1.1, 0.72, 0.75), (1.8, 0.76, 1.0), TABLE_PARTS, TOP, "free", 4),
    "low_table": Thing((0.8, 0.4, 0.5), (1.2, 0.5, 0.7), (*TABLE_PARTS, (TABLE, 0, 0, 0.3, 0, 0.9, 0.05, 0.9)), TOP, "free"),
    "cabinet": Thing((0.6, 0.75, 0.4), (1.6, 1.2, 0.6), CABINET + DOORS, TOP),
    "drawers": Thing((0.6, 0.7, 0.4), (1.2, 1.2, 0.5), CABINET + DRAWERS, TOP),
    "wardrobe": Thing((0.8, 1.8, 0.5), (1.6, 2.2, 0.65), CABINET + DOORS),
    "cupboard": Thing((0.6, 0.5, 0.3), (1.8, 0.8, 0.4), CABINET + DOORS, place=1.5),
    "shelf": Thing(
        (0.7, 1.3, 0.25),
        (1.2, 2.1, 0.35),
        (
            (FURNITURE, 0, 0.49, 0, 0, 0.03, 1, 1),
            (FURNITURE, 1, 0, 0, -0.48, 1, 1, 0.04),
            *((FURNITURE, 0, 0, up, 0, 1, 0.015, 1) for up in BOARDS),
        ),
        tuple((up + 0.015, 0.94, 0.9, 0.2) for up in BOARDS),
    ),
    "stand": Thing(
        (0.9, 1.1, 0.4),
        (1.4, 1.3, 0.5),
        (
            (FURNITURE, 0, 0, 0, 0, 1, 0.42, 1),
            (FURNITURE, 0, 0.25, 0.03, 0.5, 0.47, 0.36, 0.04),
            (TV, 0, 0, 0.44, 0, 0.85, 0.54, 0.1),
            (TV, 1, 0, 0.46, 0.06, 0.81, 0.5, 0.02),
        ),
    ),
    "lamp": Thing(
        (0.25, 1.4, 0.25),
        (0.4, 1.8, 0.4),
        (
            (OBJECTS, 0, 0, 0, 0, 0.7, 0.02, 0.7, UPRIGHT),
            (OBJECTS, 0, 0, 0, 0, 0.1, 0.85, 0.1, UPRIGHT),
            (OBJECTS, 2, 0, 0.82, 0, 1, 0.18, 1, UPRIGHT),
        ),
    ),
    "crate": Thing((0.3, 0.2, 0.25), (0.7, 0.7, 0.6), ((OBJECTS, 0, 0, 0, 0, 1, 1, 1),), TOP, "free"),
    "rug": Thing((1.2, 0.003, 1.0), (2.4, 0.003, 1.8), ((FLOOR, 0, 0, 0, 0, 1, 1, 1),), place="free"),
    "curtains": Thing(
        (1.2, 1.4, 0.06),
        (2.2, 1.7, 0.06),
        ((WINDOW, 1, 0, 0.1, -0.2, 0.8, 0.85, 0.1), (WINDOW, 2, 0.41, 0, 0.2, 0.2, 1, 0.6)),
        place=0.6,
    ),
    "window": _framed(WINDOW, 0.9, (0.7, 0.9), (1.6, 1.3)),
    "picture": _framed(PICTURE, 1.3, (0.3, 0.3), (1.1, 0.8)),
    "screen": _framed(TV, 1.1, (0.8, 0.5), (1.3, 0.75)),
    "mirror": _framed(OBJECTS, 1.0, (0.5, 0.6), (1.2, 1.0)),
    "door": _framed(WALL, 0, (0.8, 1.95), (0.95, 2.1)),
}
ROOMS = (
    "bed wardrobe drawers cabinet shelf desk chair bed",
    "sofa low_table sofa stand shelf cabinet lamp chair",
    "desk shelf sofa desk shelf cabinet drawers wardrobe",
    "table cabinet wardrobe drawers cabinet cupboard cupboard shelf stand",
)
ANYWHERE = "rug lamp crate crate crate crate crate chair window curtains door picture screen picture picture picture mirror"


def intrinsics(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The Kinect's fx, fy, cx, cy in pixels at `size` = (height, width)."""
    y, x = size[0] / 480, size[1] / 640
    return 518.8579 * x, 519.4696 * y, 325.5824 * x, 253.7362 * y


def _lamplight(solids: list[Solid], lamp: np.ndarray, face: np.ndarray, points: np.ndarray, texels: int = 160) -> np.ndarray:
    """The share (H, W) of a lamp's light that reaches the points, by a depth map that looks straight down from the lamp."""
    tangents = (np.linspace(-1, 1, texels) * 2.2).astype(np.float32)
    depth, caster = trace(solids, Camera(lamp, np.eye(3)[[0, 2, 1]], tangents, tangents))
    x, y, z = points - lamp.astype(np.float32)[:, None, None]
    u, v = (np.rint((k / np.maximum(y, 0.05) / 4.4 + 0.5) * (texels - 1)).clip(-1, texels).astype(np.int32) for k in (x, z))
    inside = (np.minimum(u, v) >= 0) & (np.maximum(u, v) < texels)
    u, v = u * inside, v * inside
    return np.where(inside & (caster[v, u] // 4 != face // 4) & (depth[v, u] < y - 0.03), np.float32(0.15), np.float32(1))


def _shade(normal: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Lambert's share (H, W) of a light that is `way` (3, H, W) metres off, fading with the distance."""
    square = (way * way).sum(0)
    return np.maximum((normal * way).sum(0), 0) / (np.sqrt(square) * (1 + 0.2 * square))


def _paint(rng: np.random.Generator, label: int, coat: int = 0) -> np.ndarray:
    return mix_paint(rng, LOOKS[label], GLOWS.get((label, coat), 0), label in (PICTURE, OBJECTS))


def _clutter(rng: np.random.Generator, width: float, depth: float, largest: float) -> list[Solid]:
    """Small objects on a top of width x depth metres, a fifth of them unlabelled as in NYU."""
    solids = []
    for _ in range(rng.integers(2, 8)):
        size = rng.uniform(0.3, 1, 3) * min(largest, 0.9 * depth)
        x, z = rng.uniform(-0.5, 0.5, 2) * np.maximum((width - size[0], depth - size[2]), 0)
        label, shape = OBJECTS if rng.random() < 0.8 else UNLABELLED, (BOX, UPRIGHT, BALL)[rng.integers(3)]
        solids.append(make_solid(label, x, 0, z, size, _paint(rng, OBJECTS), shape)._replace(yaw=rng.uniform(-0.4, 0.4)))
    return solids


def _books(rng: np.random.Generator, width: float, depth: float, tallest: float) -> list[Solid]:
    """A row of upright books somewhere along a top of width x depth metres."""
    x, right = np.sort(rng.uniform(-0.5, 0.5, 2)) * width
    solids = []
    while (x := x + (w := rng.uniform(0.025, 0.06))) < right:
        size = np.array([0.94 * w, min(tallest, 0.33) * rng.uniform(0.65, 0.95), min(depth, 0.25) * rng.uniform(0.7, 0.95)])
        solids.append(make_solid(BOOKS, x - w / 2, 0, (size[2] - depth) / 2, size, _paint(rng, BOOKS)))
    return solids


def _build(rng: np.random.Generator, thing: Thing) -> list[Solid]:
    """A thing of random size at the origin, with what stands on it and the chairs at it."""
    size, paints = rng.uniform(thing.least, thing.most), {part[:2]: _paint(rng, *part[:2]) for part in thing.parts}
    solids = assemble(size, ((label, paints[label, coat], *share) for label, coat, *share in thing.parts))
    for up, *share in thing.tops:
        width, depth, gap = np.multiply(share, size[[0, 2, 1]])
        fill = _books if rng.random() < (0.5 if len(thing.tops) > 1 else 0.15) else _clutter
        solids += moved(fill(rng, width, depth, gap - 0.03), 0, up * size[1], 0) if rng.random() < 0.85 else []
    for k in range(thing.chairs):  # the first at the front
        chair = moved(_build(rng, THINGS["chair"]), 0, 0, 0, rng.normal(0, 0.2)) if rng.random() < 0.8 else []
        solids += moved(chair, (k // 2 - 0.5) * size[0] / 2, 0, -size[2] / 2 - rng.uniform(0.05, 0.3), 0 if k % 2 else math.pi)
    return solids


def _place(rng: np.random.Generator, thing: Thing, room: np.ndarray, taken: list[np.ndarray]) -> list[Solid]:
    """A thing where it belongs in a room of half sizes (x, z), off the rectangles taken (its own is added), or nothing."""
    solids, hangs = _build(rng, thing), not isinstance(thing.place, str)
    low = np.min([s.centre - s.half for s in solids], 0)[[0, 2]]
    high = np.max([s.centre + s.half for s in solids], 0)[[0, 2]]
    up, gap = (float(thing.place) * rng.uniform(0.9, 1.1), 0.0) if hangs else (0.0, 0.08)  # behind what stands, curtains may hang
    for quarter in rng.integers(4, size=12):
        wide, deep = room if quarter % 2 == 0 else room[::-1]
        x = rng.uniform(-wide - low[0], wide - high[0])
        z = rng.uniform(-deep - low[1], deep - high[1]) if thing.place == "free" else gap - deep - low[1]
        ground = np.sort(rotation(quarter * math.pi / 2)[::2, ::2] @ np.add(np.stack([low, high], 1), [[x], [z]]))
        others = np.reshape(taken, (-1, 2, 2))
        clear = ((ground[:, 0] > others[:, :, 1]) | (ground[:, 1] < others[:, :, 0])).any(1).all()
        if clear and (np.abs(ground) < room[:, None] + 0.02).all():
            taken.append(ground)
            return moved(solids, x, up, z, quarter * math.pi / 2)
    return []


def _shell(rng: np.random.Generator, width: float, height: float, depth: float) -> list[Solid]:
    """Floor, ceiling and walls of a room whose middle is the origin, 0.1 m thick; most walls share their paint."""
    flat, paint = np.array([width + 0.2, 0.1, depth + 0.2]), _paint(rng, WALL)
    solids = [
        make_solid(FLOOR, 0, -0.1, 0, flat, _paint(rng, FLOOR)),
        make_solid(CEILING, 0, height, 0, flat, _paint(rng, CEILING)),
    ]
    for side, along in product((-1, 1), (0, 2)):
        size, at = np.array([width, height, depth]) + 0.2, np.zeros(3)
        at[along], size[along] = side * (size[along] / 2 - 0.05), 0.1
        solids.append(make_solid(WALL, at[0], -0.1, at[2], size, paint if rng.random() < 0.8 else _paint(rng, WALL)))
    return solids


def _look(rng: np.random.Generator, eye: np.ndarray, ahead: np.ndarray, size: tuple[int, int]) -> Camera:
    """A camera held at (x, z) = `eye` by someone who stands and looks along (x, z) = `ahead`, somewhat down."""
    angles = rng.normal((math.atan2(*ahead), 0.23, 0), (0.15, 0.09, 0.025))
    (c, s), (ct, st), (cr, sr) = ((math.cos(a), math.sin(a)) for a in angles)
    right, down, forward = np.array([c, 0, -s]), np.array([-st * s, ct, -st * c]), np.array([ct * s, st, ct * c])
    fx, fy, cx, cy = intrinsics(size)
    u, v = (np.arange(size[1]) - cx) / fx, (np.arange(size[0]) - cy) / fy
    axes = np.stack([cr * right + sr * down, cr * down - sr * right, forward])
    return Camera(np.array([eye[0], -rng.uniform(1.2, 1.7), eye[1]]), axes, u.astype(np.float32), v.astype(np.float32))


def _scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[list[Solid], Camera, np.ndarray]:
    """The solids of a furnished room, the camera in it, and where (3,) the ceiling lamp hangs."""
    width, height, depth = rng.uniform((3.0, 2.4, 3.4), (5.0, 2.9, 5.8))
    solids, room = _shell(rng, width, height, depth), np.array([width, depth]) / 2
    eye = max(rng.uniform(0.4 - room, room - 0.4, (2, 2)), key=np.linalg.norm)
    standing = [np.stack([eye - 0.7, eye + 0.7], 1)]
    hanging: list[np.ndarray] = []
    for n, name in enumerate(f"{ROOMS[rng.integers(len(ROOMS))]} {ANYWHERE}".split()):
        if rng.random() < 0.8:
            thing = THINGS[name]
            taken = [] if name == "rug" else standing if isinstance(thing.place, str) else hanging
            solids += [s._replace(thing=n + 1) for s in _place(rng, thing, room, taken)]
    seen = (standing[k].mean(1) - eye for k in rng.integers(len(standing), size=3))
    camera = _look(rng, eye, max(*seen, -0.01 * eye, key=np.linalg.norm), size)
    x, z = rng.uniform(-0.4, 0.4, 2) * room
    return solids, camera, np.array([x, 0.3 - height, z])


def render_room(rng: np.random.Generator, size: tuple[int, int] = (288, 384)) -> dict[str, np.ndarray]:
    """A random room seen at `size` = (H, W): one sample of MTAN's NYUv2, all float32.

    `image` (H, W, 3) in [0, 1]; `label` (H, W), 0 to 12, -1 unlabelled; `depth` (H, W, 1), metres along the optical axis, 0
    invalid; `normal` (H, W, 3), unit vectors toward the camera (x right, y down, z away from it), (0, 0, 0) invalid.
    """
    solids, camera, lamp = _scene(rng, size)
    depth, face = trace(solids, camera)
    which, eye = face // 4, camera.origin.astype(np.float32)[:, None, None]
    points = eye + depth * rays(camera.axes, camera.u, camera.v)
    normal, own = surface(solids, face, points)
    paint = np.stack([s.paint for s in solids], 1)
    shade = 0.3 - 0.08 * normal[1] + 0.3 * _shade(normal, eye - points)
    shade += 1.6 * _shade(normal, lamp.astype(np.float32)[:, None, None] - points) * _lamplight(solids, lamp, face, points)
    glow = paint[9].take(which)
    image = photograph(rng, albedo(paint, face, own), shade, glow)
    label = np.array([s.label for s in solids], np.float32).take(which)
    pieces, reach = np.array([100 * s.thing + s.label for s in solids], np.int32).take(which), max(1, size[0] // 144)
    invalid = (label == WINDOW) & (glow > 0) & patches(rng, size, 0.3)  # glass
    invalid |= edges(np.log(depth), reach, 0.1) & patches(rng, size, 0.5)
    label[edges(pieces, 1, 0) | (edges(pieces, reach + 1, 0) & patches(rng, size, 0.5))] = UNLABELLED
    normal = np.tensordot(camera.axes.astype(np.float32), normal, 1)
    depth[invalid], normal[:, invalid] = 0, 0
    return {"image": image, "label": label, "depth": depth[..., None], "normal": np.ascontiguousarray(normal.transpose(1, 2, 0))}


def write_tree(folder: Path, split: str, count: int, seed: int, workers: int | None = None) -> None:
    """Write rooms 0 to count - 1 as MTAN's tree of NYUv2 (`raycast.write_tree`)."""
    raycast.write_tree(folder, split, count, seed, ARRAYS, render_room, workers)
