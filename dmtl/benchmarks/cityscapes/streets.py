"""Synthetic streets for the Cityscapes benchmark.

A street runs along z, the camera drives on its right half. The camera is that of Cityscapes; disparity is of its stereo pair, so
that values are in the range of the published ones.
"""

import math
from pathlib import Path

import numpy as np

from dmtl.benchmarks.cityscapes.traffic import CATALOGUE, SKY
from dmtl.benchmarks.shared.raycast import BALL, Camera, Solid, pinhole, turned_axes
from dmtl.benchmarks.shared.scene import View, edges, look_at, patches, photograph, write_arrays
from dmtl.benchmarks.shared.things import make_solid, moved, sky, turned

ARRAYS = ("image", "label_7", "depth")
SIZE = (128, 256)
FX, FY, CX, CY = 2262.52 / 8, 2265.30 / 8, 1096.98 / 8, 513.137 / 8  # the left camera's, in pixels at SIZE
BASELINE_FOCAL = 0.209313 * 2262.52  # disparity in pixels of the 2048 wide image = this / depth in metres
HAZE = 40.0  # metres
LARGEST = 126  # pixels of disparity; nearer things have none
BESIDE = "lamp sign lights post person person tree bin rider lamp person lights tree"


def _stand(rng: np.random.Generator, name: str, x: float, up: float, z: float, yaw: float) -> list[Solid]:
    """A thing of random size that stands at (x, z), turned by `yaw`."""
    return moved(turned(CATALOGUE.build(rng, name), yaw), x, up, z)


def _ground(rng: np.random.Generator, road: float, pavement: float) -> list[Solid]:
    """The road, half `road` metres wide, its markings, a pavement on each side, and the sky."""
    solids = [make_solid(0, -0.1, 50, (400, 0.1, 400), CATALOGUE.coat(rng, "road"))]
    coat = CATALOGUE.coat(rng, "pavement")
    solids += [make_solid(side * (road + pavement / 2), 0, 60, (pavement, 0.13, 180), coat) for side in (-1, 1)]
    white, gap = CATALOGUE.coat(rng, "marking"), rng.uniform(4, 9)
    if rng.random() < 0.8:
        solids += [make_solid(0, 0, z, (0.15, 0.004, gap / 2), white) for z in np.arange(2, 110, gap)]
    return solids + sky(CATALOGUE.coat(rng, "clouds"), ahead=260, behind=-200, beside=250, middle=50, length=600, height=200)


def _frontage(rng: np.random.Generator, side: int, edge: float) -> list[Solid]:
    """What stands along one side of the street from `edge` metres off its middle: houses, and gardens between them."""
    solids, z = [], rng.uniform(-15, 0)
    while z < 130:
        length, high, deep = rng.uniform((7, 4, 8), (22, 15, 14))
        x = side * (edge + rng.uniform(0, 1.5) + deep / 2)
        if rng.random() < 0.75:
            solids.append(make_solid(x, 0, z + length / 2, (deep, high, length), CATALOGUE.coat(rng, "facade")))
            roof = (deep + 0.5, rng.uniform(0.2, 0.5), length)
            solids.append(make_solid(x, high, z + length / 2, roof, CATALOGUE.coat(rng, "facade")))
        else:
            solids.append(make_solid(x, 0, z + length / 2, (deep, 0.15, length), CATALOGUE.coat(rng, "lawn")))
            for _ in range(rng.integers(1, 5)):
                along = rng.uniform(0, length)
                name = "tree" if rng.random() < 0.8 else "hedge"
                solids += _stand(rng, name, x + rng.uniform(-0.3, 0.3) * deep, 0.1, z + along, rng.uniform(0, 3))
        z += length + (rng.uniform(2, 12) if rng.random() < 0.3 else 0)
    return solids


def _traffic(rng: np.random.Generator, road: float, eye: float) -> list[Solid]:
    """Parked and moving vehicles, and people who cross, none nearer than 7 m in the camera's own lane."""
    solids = []
    for side in (-1, 1):
        z = rng.uniform(2, 12)
        while z < 90 and rng.random() < 0.85:
            name = "car" if rng.random() < 0.8 else "van"
            solids += _stand(rng, name, side * (road - 1.1), 0, z, rng.normal(0 if side > 0 else math.pi, 0.03))
            z += rng.uniform(5.5, 22)
    for lane, way in ((eye, 0.0), (-eye, math.pi)):
        for z in np.cumsum(rng.uniform(8, 40, rng.integers(0, 3))):
            name = ("car", "car", "van", "rider")[rng.integers(4)]
            solids += _stand(rng, name, lane + rng.normal(0, 0.2), 0, 2 + z, way + rng.normal(0, 0.05))
    for _ in range(rng.integers(0, 3)):
        solids += _stand(rng, "person", rng.uniform(-road, road), 0, rng.uniform(9, 40), rng.uniform(0, 6))
    return solids


def _scene(rng: np.random.Generator) -> View:
    """The view of a street from behind the windscreen."""
    road, pavement = rng.uniform(4.5, 8), rng.uniform(1.8, 4.5)
    eye = road * rng.uniform(0.2, 0.4)
    solids = [*_ground(rng, road, pavement), *_traffic(rng, road, eye)]
    for side in (-1, 1):
        solids += _frontage(rng, side, road + pavement)
        for name in BESIDE.split():
            if rng.random() < 0.7:
                x = road + (0.4 if name in ("lamp", "sign", "lights", "post") else rng.uniform(0.5, pavement - 0.4))
                solids += _stand(rng, name, side * x, 0.13, 4 + 66 * rng.random() ** 1.6, math.pi + rng.normal(0, 0.3))
    if rng.random() < 0.5:  # the street ends
        size = (rng.uniform(30, 80), rng.uniform(5, 14), 12)
        solids.append(make_solid(rng.normal(0, 6), 0, rng.uniform(80, 140), size, CATALOGUE.coat(rng, "facade")))
    solids.append(make_solid(eye, 0.45, 1.5, (1.6, 0.4, 2.4), CATALOGUE.coat(rng, "bin"), BALL))  # the bonnet
    return look_at(solids, _camera(rng, eye))


def _camera(rng: np.random.Generator, eye: float) -> Camera:
    """The camera, `eye` metres right of the middle."""
    axes = turned_axes(*rng.normal((0, 0.02), (0.05, 0.01)))
    return pinhole(np.array([eye, -rng.uniform(1.15, 1.3), 0]), axes, SIZE, FX, FY, CX, CY)


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
    view = _scene(rng)
    image = photograph(rng, view, HAZE)
    label = view.per_pixel([s.label for s in view.solids], np.float32)
    stored = disparity(np.where(label == SKY, np.inf, view.depth))
    shadowed = edges(np.log(view.depth), 1, 0.2) & patches(rng, SIZE, 0.6)  # what only one of the two cameras sees
    stored[shadowed | patches(rng, SIZE, rng.uniform(0, 0.06))] = 0
    return {"image": image, "label_7": label, "depth": stored[..., None]}


def write_tree(folder: Path, split: str, count: int, seed: int, workers: int | None = None) -> None:
    """Write streets 0 to count - 1 as MTAN's tree of Cityscapes (`scene.write_tree`)."""
    write_arrays(folder, split, count, seed, ARRAYS, render_street, workers)
