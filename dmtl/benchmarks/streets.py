"""Synthetic streets for the Cityscapes benchmark.

A street runs along z, the camera drives on its right half. Things are modelled at the origin and face +z. The camera is that of
Cityscapes; disparity is of its stereo pair, so that values are in the range of the published ones.
"""

import math
from pathlib import Path

import numpy as np

from dmtl.benchmarks import raycast
from dmtl.benchmarks.raycast import (
    BALL,
    BOX,
    UPRIGHT,
    Camera,
    Look,
    Round,
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

FLAT, CONSTRUCTION, OBJECT, NATURE, SKY, HUMAN, VEHICLE = range(7)
UNLABELLED = -1
ARRAYS = ("image", "label_7", "depth")
FX, FY, CX, CY = 2262.52 / 8, 2265.30 / 8, 1096.98 / 8, 513.137 / 8  # the left camera's, in pixels at 128x256
BASELINE_FOCAL = 0.209313 * 2262.52  # disparity in pixels of the 2048 wide image = this / depth in metres
LARGEST = 126  # pixels of disparity; nearer things have none
WHEEL: Round = (False, True, True)
ROAD, PAVEMENT, MARKING, FACADE, LAWN, CROWN, TRUNK, POLE, SIGN, CLOTHES, SKIN, BODY, GLASS, TYRE, CLOUDS, BIN = range(16)

# Per material: class, look, the light it gives by itself, whether its second colour is any.
MATERIALS: dict[int, tuple[int, Look, float, bool]] = {
    ROAD: (FLAT, ("5c5c61 6b6966 525257", ((0.25, 0, 0.1, 0.25), (3, 0, 3, 0.1), (0.3, 0, 0.02, 0.3))), 0, False),
    PAVEMENT: (FLAT, ("8c8780 99948f 857a70", ((1.5, 0, 1.5, 0.3), (3, 0, 3, 0.3))), 0, False),
    MARKING: (FLAT, ("e6e6e0", ((2, 0, 2, 0.1),)), 0, False),
    FACADE: (
        CONSTRUCTION,
        ("b8a68c 9e8f85 cfc7b5 8c5a45 a8aaad d6c08f", ((0.5, 0.35, 0.5, 0.7), (0.35, 0.6, 0.35, 0.7), (0.8, 0.3, 0.8, 0.5))),
        0,
        False,
    ),
    LAWN: (NATURE, ("5e7a3a 6b8040", ((4, 0, 4, 0.4),)), 0, False),
    CROWN: (NATURE, ("3d5c29 4f6b2e 5c7038 46592b", ((3, 3, 3, 0.6), (5, 5, 5, 0.6))), 0, False),
    TRUNK: (NATURE, ("4d3d2e 5c4a38", ((8, 3, 8, 0.4),)), 0, False),
    POLE: (OBJECT, ("73787a 595c5e 8a8f91", ((0, 2, 0, 0.2),)), 0, False),
    SIGN: (OBJECT, ("2e4fa6 c23a30 e0d640 d9d9d9", ((6, 6, 0, 0.6),)), 0.1, True),
    CLOTHES: (HUMAN, ("2e3347 59352e 70757a 8c2f39 b8ad99 2b2b2b", ((0, 3, 0, 0.4), (8, 8, 8, 0.3))), 0, False),
    SKIN: (HUMAN, ("c79a80 8c6249 e0b89e", ((0, 0, 0, 0),)), 0, False),
    BODY: (VEHICLE, ("a6a9ad 26292e 7a1f24 2b3d66 d6d6d2 4a5240", ((0, 0, 0, 0), (0, 1.2, 0, 0.2))), 0, False),
    GLASS: (VEHICLE, ("2b333b 39434d", ((2, 3, 1, 0.4),)), 0.05, False),
    TYRE: (VEHICLE, ("1c1c1e", ((0, 4, 4, 0.3),)), 0, False),
    CLOUDS: (SKY, ("c9d9ec e3e6ea a9c3e3", ((0.02, 0.03, 0.02, 0.15), (0, 0.06, 0, 0.1))), 1.3, False),
    BIN: (UNLABELLED, ("4f5a4a 6e5b3e 3f4a57", ((2, 2, 2, 0.3),)), 0, False),
}

# A part of a thing: material, x, height of the underside, z, width, height, depth in shares of the thing's size, which axes are
# round; where x is not 0, there is another at -x.
Part = tuple[int, float, float, float, float, float, float, Round]
Size = tuple[float, float, float]
WHEELS: tuple[Part, ...] = tuple((TYRE, 0.43, 0, z, 0.12, 0.42, 0.15, WHEEL) for z in (-0.31, 0.31))
THINGS: dict[str, tuple[Size, Size, tuple[Part, ...]]] = {  # least and greatest width, height, depth in metres; parts
    "car": (
        (1.7, 1.4, 3.8),
        (1.9, 1.6, 4.7),
        (
            *WHEELS,
            (BODY, 0, 0.17, 0, 1, 0.42, 1, BOX),
            (GLASS, 0, 0.58, -0.05, 0.88, 0.36, 0.5, BOX),
            (BODY, 0, 0.94, -0.05, 0.86, 0.06, 0.48, BOX),
            (GLASS, 0.35, 0.38, 0.5, 0.2, 0.12, 0.01, BOX),
        ),
    ),
    "van": (
        (2.0, 2.2, 4.8),
        (2.4, 3.2, 7.5),
        (
            *((TYRE, 0.43, 0, z, 0.12, 0.28, 0.12, WHEEL) for z in (-0.3, 0.34)),
            (BODY, 0, 0.13, -0.1, 1, 0.87, 0.8, BOX),
            (BODY, 0, 0.13, 0.4, 0.94, 0.62, 0.2, BOX),
            (GLASS, 0, 0.45, 0.41, 0.96, 0.26, 0.19, BOX),
        ),
    ),
    "person": (
        (0.45, 1.55, 0.3),
        (0.6, 1.9, 0.4),
        (
            (CLOTHES, 0.18, 0, 0, 0.3, 0.5, 0.45, UPRIGHT),
            (CLOTHES, 0, 0.45, 0, 0.72, 0.4, 0.7, BALL),
            (CLOTHES, 0.4, 0.44, 0, 0.2, 0.37, 0.3, UPRIGHT),
            (SKIN, 0, 0.86, 0, 0.36, 0.14, 0.6, BALL),
        ),
    ),
    "rider": (
        (0.5, 1.65, 1.6),
        (0.6, 1.8, 1.8),
        (
            *((TYRE, 0, 0, z, 0.08, 0.37, 0.36, WHEEL) for z in (-0.32, 0.32)),
            (BODY, 0, 0.3, 0, 0.08, 0.06, 0.6, BOX),
            (CLOTHES, 0.2, 0.15, 0, 0.2, 0.4, 0.12, UPRIGHT),
            (CLOTHES, 0, 0.48, 0.02, 0.7, 0.38, 0.2, BALL),
            (SKIN, 0, 0.86, 0.05, 0.36, 0.14, 0.12, BALL),
        ),
    ),
    "tree": (
        (2.5, 5, 2.5),
        (5, 10, 5),
        (
            (TRUNK, 0, 0, 0, 0.07, 0.5, 0.07, UPRIGHT),
            (CROWN, 0, 0.3, 0, 1, 0.7, 1, BALL),
            (CROWN, 0.22, 0.28, 0.2, 0.6, 0.42, 0.6, BALL),
        ),
    ),
    "hedge": ((1, 0.9, 6), (1.6, 1.8, 14), ((CROWN, 0, 0, 0, 1, 1, 1, BOX),)),
    "sign": (
        (0.6, 2.4, 0.08),
        (0.9, 3.2, 0.1),
        ((POLE, 0, 0, 0, 0.14, 1, 0.9, UPRIGHT), (SIGN, 0, 0.74, 0.6, 1, 0.25, 0.4, BOX)),
    ),
    "lights": (
        (0.35, 3.0, 0.3),
        (0.4, 3.6, 0.35),
        (
            (POLE, 0, 0, 0, 0.3, 1, 0.35, UPRIGHT),
            (POLE, 0, 0.68, 0.4, 0.9, 0.3, 0.8, BOX),
            (SIGN, 0, 0.7, 0.85, 0.6, 0.24, 0.1, BOX),
        ),
    ),
    "lamp": ((0.5, 6, 0.5), (0.6, 9, 0.6), ((POLE, 0, 0, 0, 0.3, 1, 0.3, UPRIGHT), (POLE, 0, 0.97, 0, 2.4, 0.02, 0.6, BOX))),
    "post": ((0.12, 0.8, 0.12), (0.16, 1.1, 0.16), ((POLE, 0, 0, 0, 1, 1, 1, UPRIGHT),)),
    "bin": ((0.5, 0.9, 0.5), (1.2, 1.3, 1), ((BIN, 0, 0, 0, 1, 1, 1, BOX),)),
}  # fmt: skip
BESIDE = "lamp sign lights post post person person person person tree tree bin rider sign lamp person lights sign lamp tree"


def _solid(material: int, x: float, up: float, z: float, size: np.ndarray, paint: np.ndarray, kind: Round = BOX) -> Solid:
    return make_solid(MATERIALS[material][0], x, up, z, size, paint, kind)


def _paint(rng: np.random.Generator, material: int) -> np.ndarray:
    _, look, glow, any_other = MATERIALS[material]
    return mix_paint(rng, look, glow, any_other)


def _build(rng: np.random.Generator, name: str, x: float, up: float, z: float, yaw: float) -> list[Solid]:
    """A thing of random size that stands at (x, z), turned by `yaw`; one material has one paint."""
    least, most, parts = THINGS[name]
    size, paints = rng.uniform(least, most), {part[0]: _paint(rng, part[0]) for part in parts}
    solids = assemble(size, ((MATERIALS[material][0], paints[material], *share) for material, *share in parts))
    return moved(moved(solids, 0, 0, 0, yaw), x, up, z)


def _ground(rng: np.random.Generator, road: float, pavement: float) -> list[Solid]:
    """The road, half `road` metres wide, its markings, and a pavement on each side; below a sky of five far walls."""
    solids = [_solid(ROAD, 0, -0.1, 50, np.array([400, 0.1, 400]), _paint(rng, ROAD))]
    paint = _paint(rng, PAVEMENT)
    for side in (-1, 1):
        solids.append(_solid(PAVEMENT, side * (road + pavement / 2), 0, 60, np.array([pavement, 0.13, 180]), paint))
    white, gap = _paint(rng, MARKING), rng.uniform(4, 9)
    if rng.random() < 0.8:
        solids += [_solid(MARKING, 0, 0, z, np.array([0.15, 0.004, gap / 2]), white) for z in np.arange(2, 110, gap)]
    sky = _paint(rng, CLOUDS)
    for x, z, size in ((0, 260, (600, 200, 1)), (-250, 50, (1, 200, 600)), (250, 50, (1, 200, 600)), (0, -200, (600, 200, 1))):
        solids.append(_solid(CLOUDS, x, -10, z, np.array(size), sky))
    return [*solids, _solid(CLOUDS, 0, 180, 50, np.array([600, 1, 600]), sky)]


def _frontage(rng: np.random.Generator, side: int, edge: float) -> list[Solid]:
    """What stands along one side of the street from `edge` metres off its middle: houses, and gardens between them."""
    solids, z = [], rng.uniform(-15, 0)
    while z < 130:
        length, high, deep = rng.uniform((7, 4, 8), (22, 15, 14))
        x = side * (edge + rng.uniform(0, 1.5) + deep / 2)
        if rng.random() < 0.75:
            paint = _paint(rng, FACADE)
            solids.append(_solid(FACADE, x, 0, z + length / 2, np.array([deep, high, length]), paint))
            roof = np.array([deep + 0.5, rng.uniform(0.2, 0.5), length])
            solids.append(_solid(FACADE, x, high, z + length / 2, roof, _paint(rng, FACADE)))
        else:
            solids.append(_solid(LAWN, x, 0, z + length / 2, np.array([deep, 0.15, length]), _paint(rng, LAWN)))
            for _ in range(rng.integers(1, 5)):
                along = rng.uniform(0, length)
                name = "tree" if rng.random() < 0.8 else "hedge"
                solids += _build(rng, name, x + rng.uniform(-0.3, 0.3) * deep, 0.1, z + along, rng.uniform(0, 3))
        z += length + (rng.uniform(2, 12) if rng.random() < 0.3 else 0)
    return solids


def _traffic(rng: np.random.Generator, road: float, eye: float) -> list[Solid]:
    """Parked and moving vehicles, and people who cross, none nearer than 7 m in the camera's own lane."""
    solids = []
    for side in (-1, 1):
        z = rng.uniform(2, 12)
        while z < 90 and rng.random() < 0.85:
            name = "car" if rng.random() < 0.8 else "van"
            solids += _build(rng, name, side * (road - 1.1), 0, z, rng.normal(0 if side > 0 else math.pi, 0.03))
            z += rng.uniform(5.5, 22)
    for lane, way in ((eye, 0.0), (-eye, math.pi)):
        for z in np.cumsum(rng.uniform(8, 40, rng.integers(0, 3))):
            name = ("car", "car", "van", "rider")[rng.integers(4)]
            solids += _build(rng, name, lane + rng.normal(0, 0.2), 0, 2 + z, way + rng.normal(0, 0.05))
    for _ in range(rng.integers(0, 3)):
        solids += _build(rng, "person", rng.uniform(-road, road), 0, rng.uniform(9, 40), rng.uniform(0, 6))
    return solids


def _scene(rng: np.random.Generator) -> tuple[list[Solid], Camera]:
    """The solids of a street and the camera on it."""
    road, pavement = rng.uniform(4.5, 8), rng.uniform(1.8, 4.5)
    eye = road * rng.uniform(0.2, 0.4)
    solids = [*_ground(rng, road, pavement), *_traffic(rng, road, eye)]
    for side in (-1, 1):
        solids += _frontage(rng, side, road + pavement)
        for name in BESIDE.split():
            if rng.random() < 0.7:
                x = road + (0.4 if name in ("lamp", "sign", "lights", "post") else rng.uniform(0.5, pavement - 0.4))
                solids += _build(rng, name, side * x, 0.13, 4 + 66 * rng.random() ** 1.6, math.pi + rng.normal(0, 0.3))
    if rng.random() < 0.5:  # the street ends
        size = np.array([rng.uniform(30, 80), rng.uniform(5, 14), 12])
        solids.append(_solid(FACADE, rng.normal(0, 6), 0, rng.uniform(80, 140), size, _paint(rng, FACADE)))
    bonnet = np.array([1.6, 0.4, 2.4])
    solids.append(_solid(BIN, eye, 0.45, 1.5, bonnet, _paint(rng, BIN), BALL))
    return solids, _look(rng, eye)


def _look(rng: np.random.Generator, eye: float) -> Camera:
    """The camera behind the windscreen, `eye` metres right of the middle."""
    yaw, pitch = rng.normal((0, 0.02), (0.05, 0.01))
    tilt = np.array([[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]])
    u, v = (np.arange(256) - CX) / FX, (np.arange(128) - CY) / FY
    origin = np.array([eye, -rng.uniform(1.15, 1.3), 0])
    return Camera(origin, (rotation(yaw) @ tilt).T, u.astype(np.float32), v.astype(np.float32))


def _sunlight(solids: list[Solid], sun: np.ndarray, face: np.ndarray, points: np.ndarray, texels: int = 320) -> np.ndarray:
    """The share (H, W) of the light from direction `sun` (3,) that reaches the points, by a depth map seen from 150 m off."""
    forward = -sun
    right = np.cross([0, 1, 0], forward) / np.hypot(sun[0], sun[2])
    axes = np.stack([right, np.cross(forward, right), forward])
    reach = 0.28  # of 150 m: 42 m to each side
    tangents = (np.linspace(-1, 1, texels) * reach).astype(np.float32)
    lamp = np.array([0, 0, 30]) + 150 * sun  # within the sky's walls
    depth, caster = trace(solids, Camera(lamp, axes, tangents, tangents))
    x, y, z = np.tensordot(axes.astype(np.float32), points - lamp.astype(np.float32)[:, None, None], 1)
    u, v = (np.rint((k / z / reach + 1) / 2 * (texels - 1)).clip(-1, texels).astype(np.int32) for k in (x, y))
    inside = (np.minimum(u, v) >= 0) & (np.maximum(u, v) < texels)
    u, v = u * inside, v * inside
    return np.where(inside & (caster[v, u] // 4 != face // 4) & (depth[v, u] < z - 0.4), np.float32(0.12), np.float32(1))


def disparity(depth: np.ndarray) -> np.ndarray:
    """The stored value of metric depth (H, W): the 16-bit disparity of Cityscapes / 65535, float32; 0 where there is none."""
    pixels = BASELINE_FOCAL / np.maximum(depth, 1e-6)
    stored = np.rint(pixels * 256 + 1) / 65535
    return np.where((pixels <= LARGEST) & np.isfinite(depth) & (depth > 0), stored, 0).astype(np.float32)


def render_street(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A random street: one sample of MTAN's Cityscapes, all float32.

    `image` (128, 256, 3) in [0, 1]; `label_7` (128, 256), 0 to 6, -1 void; `depth` (128, 256, 1), disparity as stored (inverse
    depth), 0 invalid.
    """
    solids, camera = _scene(rng)
    depth, face = trace(solids, camera)
    points = camera.origin.astype(np.float32)[:, None, None] + depth * rays(camera.axes, camera.u, camera.v)
    normal, own = surface(solids, face, points)
    sun = np.array([rng.normal(), -rng.uniform(0.8, 2), rng.normal()])
    sun /= np.linalg.norm(sun)
    paint, which = np.stack([s.paint for s in solids], 1), face // 4
    shade = 0.45 - 0.15 * normal[1]
    lit = np.tensordot(sun.astype(np.float32), normal, 1).clip(0) * _sunlight(solids, sun, face, points)
    shade += np.float32(rng.uniform(0.3, 1.1)) * lit
    image = photograph(rng, albedo(paint, face, own), shade, paint[9].take(which))
    label = np.array([s.label for s in solids], np.float32).take(which)
    stored = disparity(np.where(label == SKY, np.inf, depth))
    shadowed = edges(np.log(depth), 1, 0.2) & patches(rng, label.shape, 0.6)  # what only one of the two cameras sees
    stored[shadowed | patches(rng, label.shape, rng.uniform(0, 0.06))] = 0
    return {"image": image, "label_7": label, "depth": stored[..., None]}


def write_tree(folder: Path, split: str, count: int, seed: int, workers: int | None = None) -> None:
    """Write streets 0 to count - 1 as MTAN's tree of Cityscapes (`raycast.write_tree`)."""
    raycast.write_tree(folder, split, count, seed, ARRAYS, render_street, workers)
