"""Synthetic snapshots for the PASCAL benchmark, in the published files: photo, LabelMap, semseg, PASCAL-Part, normals, saliency.

The main subject stands at the origin and the camera looks along z. Things are modelled at the origin and face +z. Everything that
a file shows is read off the same ray cast scene, so all tasks agree.
"""

import io
import math
import zlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.io
from PIL import Image
from scipy import ndimage

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
    make_solid,
    mix_paint,
    moved,
    photograph,
    rays,
    surface,
    trace,
)
from dmtl.files import replacing
from dmtl.parallel import in_order

ALONG: Round = (True, True, False)  # a cylinder along z
WHEEL: Round = (False, True, True)
SIZES = ((375, 500), (375, 500), (333, 500), (375, 500), (500, 375), (334, 500), (500, 333), (281, 500))
YEARS = {"train": 2008, "val": 2009}  # ids look like VOC's
# PASCAL-Context's numbers of the classes of semseg, background first
SEMSEG = (0, 2, 23, 25, 31, 34, 45, 59, 65, 72, 98, 397, 113, 207, 258, 284, 308, 347, 368, 416, 427)
PERSON = 284
LIMBS = ("luarm", "ruarm", "llarm", "rlarm", "lhand", "rhand", "luleg", "ruleg", "llleg", "rlleg", "lfoot", "rfoot")
PARTS = ("head", "hair", "neck", "torso", *LIMBS)

FUR = ((40, 40, 40, 0.4), (5, 5, 5, 0.6), (2, 0, 3, 0.7))
PAINTWORK = ((0, 0, 0, 0), (0, 1.2, 0, 0.3))
CLOTH = ((0, 9, 0, 0.6), (12, 12, 12, 0.4), (0, 0, 0, 0))
WOOD = ((2, 40, 2, 0.35), (40, 2, 2, 0.35))


class Material(NamedTuple):
    """PASCAL-Context's number of what is made of it, its usual look, the light it gives by itself."""

    context: int
    look: Look
    glow: float = 0


MATERIALS = {
    "sky": Material(360, ("9fc3ea c9d9ec dfe4ea 8fb0dc", ((0.02, 0.05, 0.02, 0.2), (0.01, 0.02, 0.01, 0.1))), 1.2),
    "grass": Material(187, ("5c7a33 6d8a3c 7a8045", ((9, 0, 9, 0.5), (30, 0, 30, 0.5)))),
    "road": Material(324, ("5f5f63 707072 565558", ((3, 0, 3, 0.1), (25, 0, 25, 0.2)))),
    "soil": Material(189, ("8a7455 9c8664 7d6a52", ((6, 0, 6, 0.3), (20, 0, 20, 0.4)))),
    "water": Material(445, ("3f6078 4d7a8c 55707a", ((0.3, 0, 3, 0.35), (1, 0, 8, 0.4)))),
    "track": Material(415, ("6e6259 7d7267", ((0.2, 0, 1.6, 0.6), (20, 0, 20, 0.4)))),
    "facade": Material(44, ("b8a68c 9e8f85 cfc7b5 8c5a45 a8aaad", ((0.5, 0.35, 0.5, 0.7), (0.35, 0.6, 0.35, 0.7)))),
    "leaves": Material(420, ("3d5c29 4f6b2e 5c7038 46592b", ((3, 3, 3, 0.6), (6, 6, 6, 0.6)))),
    "trunk": Material(420, ("4d3d2e 5c4a38", ((8, 3, 8, 0.4),))),
    "fence": Material(144, ("8c7355 d9d9d4 5c4a38", ((4, 0, 4, 0.6), (8, 0, 8, 0.5)))),
    "hills": Material(259, ("6d7f8c 7a8a7a 5f7066", ((0.05, 0.05, 0.05, 0.4),))),
    "wall": Material(440, ("dbd4bf bdccd1 d1bd9e b3ba9e c9b0a0", ((30, 30, 30, 0.08), (8, 0, 8, 0.15), (2, 2, 2, 0.05)))),
    "floor": Material(158, ("805c38 9e9180 6b6b70 7a5445", ((9, 0, 0.8, 0.6), (2.5, 0, 2.5, 0.5), (70, 0, 70, 0.3)))),
    "ceiling": Material(68, ("ebebe6 e0d6c7", ((1.6, 0, 1.6, 0.08),))),
    "window": Material(454, ("d9e6f2 99bfe6 e6e0d1", ((1.5, 2.5, 1.5, 0.5),)), 0.8),
    "cupboard": Material(46, ("734d2e bfa885 4d3324 dbd9d1", WOOD)),
    "metal": Material(2, ("d9dce0 b8c4cf e6e0d6", ((0, 1, 0, 0.2), (0, 0, 0.5, 0.4)))),
    "frame": Material(23, ("a62a22 2b4fa0 2e6b3a 26262b", PAINTWORK)),
    "tyre_b": Material(23, ("1f1f22", ((0, 6, 6, 0.3),))),
    "feather": Material(25, ("4a4038 8c8f94 5c3d2e c9c4b8", FUR)),
    "hull": Material(31, ("d6d2c9 8c2f2b 2b4466 e0d9c4", ((0, 2, 0, 0.6), (0, 6, 0, 0.3)))),
    "sail": Material(31, ("f0ece0 d9dfe6", ((0, 0.8, 0, 0.2),))),
    "glass": Material(34, ("2e5c38 5c3a22 9fb8b0", ((0, 9, 0, 0.6), (0, 4, 0, 0.7)))),
    "bus": Material(45, ("b82e26 d9a826 2b5c99 e0e0da", ((0, 0.9, 0, 0.5), (0.8, 0.5, 0.6, 0.6)))),
    "tyre_u": Material(45, ("1c1c1e", ((0, 4, 4, 0.3),))),
    "body": Material(59, ("a6a9ad 26292e 8c1f24 2b3d80 d6d6d2 4a6240", PAINTWORK)),
    "panes": Material(59, ("2b333b 39434d", ((2, 3, 1, 0.4),)), 0.05),
    "tyre_c": Material(59, ("1c1c1e", ((0, 4, 4, 0.3),))),
    "cat": Material(65, ("5c4a3a 262422 b8854d 9c9489", FUR)),
    "chair": Material(72, ("664021 29292e 80291f 4d5973", ((50, 3, 50, 0.3), (60, 60, 60, 0.2)))),
    "cow": Material(98, ("3a2a22 8c5a3a e0dad0", ((2, 2, 2, 0.9), (3, 3, 3, 0.8)))),
    "table": Material(397, ("8c6138 a8855c 472e1f", ((3, 0, 45, 0.35), (45, 0, 3, 0.35)))),
    "dog": Material(113, ("8c6a42 3d3128 cfc0a6 262426", FUR)),
    "horse": Material(207, ("5c3420 3a2a20 8a8580 7a4a2a", FUR)),
    "motor": Material(258, ("26262b 8c1f24 2b3d80 6e7278", PAINTWORK)),
    "tyre_m": Material(258, ("1c1c1e", ((0, 8, 8, 0.3),))),
    "pot": Material(308, ("a85c3d 8c8378 d9d2c4", ((0, 12, 0, 0.4),))),
    "foliage": Material(308, ("4a7038 3d6b40 6e8c42", ((15, 15, 15, 0.6),))),
    "wool": Material(347, ("d6cfbf c4b89f 8c8273", ((12, 12, 12, 0.4),))),
    "sofa": Material(368, ("735947 4d5461 94856b 732e29", ((50, 50, 50, 0.25), (7, 0, 7, 0.3)))),
    "train": Material(416, ("c23a30 d9b52b 3a5c80 5c6e5c", ((0, 0.9, 0, 0.6), (0.7, 0.6, 0.7, 0.6)))),
    "screen": Material(427, ("141417 1f212b 527aa3", ((6, 6, 6, 0.6), (2, 2, 2, 0.3))), 0.2),
    "skin": Material(PERSON, ("c79a80 8c6249 e0b89e 6b4a38", ((0, 0, 0, 0),))),
    "hair": Material(PERSON, ("2b211c 5c4028 8c6d42 1c1c1e", ((60, 60, 60, 0.4),))),
    "shirt": Material(PERSON, ("b83a3a 3a5ca8 d9d4c9 4d7a4d d9b03a 6b4a80", CLOTH)),
    "trousers": Material(PERSON, ("2e3347 59514a 70757a 8c8060", CLOTH)),
    "shoes": Material(PERSON, ("26221f d9d6d0 6b3a2a", ((0, 0, 0, 0),))),
}

Size = tuple[float, float, float]
# A part of a thing: material, x, height of the underside, z, width, height, depth in shares of the thing's size, which axes are
# round; where x is not 0, there is another at -x.
Part = tuple[str, float, float, float, float, float, float, Round]


def _beast(coat: str, leg: float, neck: float) -> tuple[Part, ...]:
    """A four-legged animal with legs of that share of its height, whose neck leans forward by that share of its length."""
    return (
        *((coat, 0.27, 0, z, 0.24, leg + 0.12, 0.09, UPRIGHT) for z in (-0.3, 0.22)),
        (coat, 0, leg - 0.02, -0.05, 1, 0.8 - leg, 0.78, BALL),
        (coat, 0, leg, -0.2, 0.96, 0.74 - leg, 0.4, BALL),
        (coat, 0, 0.55, 0.24 + neck / 2, 0.5, 0.36, 0.22, BALL),
        (coat, 0, 0.7, 0.34 + neck, 0.55, 0.28, 0.2, BALL),
        (coat, 0, 0.71, 0.44 + neck, 0.34, 0.15, 0.16, BALL),
        (coat, 0.16, 0.9, 0.3 + neck, 0.16, 0.12, 0.05, BALL),
        (coat, 0, 0.4, -0.45, 0.12, 0.36, 0.07, BALL),
    )


def _two_wheeler(frame: str, tyre: str, thick: float) -> tuple[Part, ...]:
    return (
        *((tyre, 0, 0, z, thick, 0.58, 0.36, WHEEL) for z in (-0.32, 0.32)),
        (frame, 0, 0.3, 0, thick, 0.09, 0.56, BOX),
        (frame, 0, 0.56, -0.02, thick, 0.08, 0.5, BOX),
        (frame, 0, 0.34, -0.12, 0.8 * thick, 0.5, 0.05, BOX),
        (frame, 0, 0.34, 0.26, 0.8 * thick, 0.62, 0.05, BOX),
        (frame, 0, 0.82, -0.14, 2 * thick, 0.07, 0.16, BALL),
        (frame, 0, 0.94, 0.24, 1, 0.05, 0.05, BOX),
    )


THINGS: dict[str, tuple[Size, Size, tuple[Part, ...]]] = {  # least and greatest width, height, depth in metres; parts
    "aeroplane": (
        (16, 4.5, 17),
        (24, 6, 24),
        (
            ("metal", 0, 0.25, 0, 0.12, 0.5, 0.9, ALONG),
            ("metal", 0, 0.27, 0.43, 0.11, 0.46, 0.18, BALL),
            ("metal", 0.28, 0.38, 0.02, 0.46, 0.05, 0.16, BOX),
            ("metal", 0.12, 0.55, -0.42, 0.18, 0.04, 0.08, BOX),
            ("metal", 0, 0.6, -0.42, 0.015, 0.4, 0.1, BOX),
            ("metal", 0.2, 0.16, 0.08, 0.07, 0.26, 0.14, ALONG),
            ("metal", 0.06, 0, 0.02, 0.02, 0.3, 0.03, WHEEL),
            ("metal", 0, 0, 0.36, 0.02, 0.3, 0.03, WHEEL),
        ),
    ),
    "bicycle": ((0.5, 1.0, 1.6), (0.6, 1.15, 1.8), _two_wheeler("frame", "tyre_b", 0.1)),
    "bird": (
        (0.14, 0.25, 0.3),
        (0.3, 0.5, 0.6),
        (
            ("feather", 0.12, 0, 0.02, 0.06, 0.35, 0.04, UPRIGHT),
            ("feather", 0, 0.25, -0.05, 0.9, 0.5, 0.7, BALL),
            ("feather", 0.36, 0.34, -0.12, 0.24, 0.34, 0.6, BALL),
            ("feather", 0, 0.62, 0.24, 0.55, 0.38, 0.3, BALL),
            ("feather", 0, 0.74, 0.42, 0.14, 0.09, 0.16, BALL),
            ("feather", 0, 0.4, -0.45, 0.3, 0.1, 0.3, BALL),
        ),
    ),
    "boat": (
        (2, 4, 5),
        (3, 7, 8),
        (
            ("hull", 0, 0, 0, 0.9, 0.16, 0.7, BOX),
            ("hull", 0, -0.04, 0.3, 0.9, 0.22, 0.5, BALL),
            ("hull", 0, 0.14, -0.1, 0.6, 0.14, 0.3, BOX),
            ("hull", 0, 0.1, 0.05, 0.05, 0.9, 0.03, UPRIGHT),
            ("sail", 0, 0.25, -0.1, 0.02, 0.35, 0.3, BOX),
            ("sail", 0, 0.55, -0.04, 0.02, 0.35, 0.17, BOX),
        ),
    ),
    "bottle": (
        (0.07, 0.25, 0.07),
        (0.1, 0.33, 0.1),
        (
            ("glass", 0, 0, 0, 1, 0.62, 1, UPRIGHT),
            ("glass", 0, 0.5, 0, 1, 0.25, 1, BALL),
            ("glass", 0, 0.65, 0, 0.35, 0.35, 0.35, UPRIGHT),
        ),
    ),
    "bus": (
        (2.4, 2.9, 9),
        (2.6, 4.2, 12),
        (
            *(("tyre_u", 0.43, 0, z, 0.12, 0.3, 0.09, WHEEL) for z in (-0.3, 0.34)),
            ("bus", 0, 0.1, 0, 1, 0.9, 1, BOX),
            ("bus", 0, 0.5, 0.5, 0.9, 0.36, 0.01, BOX),
        ),
    ),
    "car": (
        (1.7, 1.4, 3.8),
        (1.9, 1.6, 4.7),
        (
            *(("tyre_c", 0.43, 0, z, 0.12, 0.42, 0.15, WHEEL) for z in (-0.31, 0.31)),
            ("body", 0, 0.17, 0, 1, 0.42, 1, BOX),
            ("panes", 0, 0.58, -0.05, 0.88, 0.36, 0.5, BOX),
            ("body", 0, 0.94, -0.05, 0.86, 0.06, 0.48, BOX),
        ),
    ),
    "cat": ((0.16, 0.3, 0.45), (0.2, 0.36, 0.55), _beast("cat", 0.36, 0.02)),
    "chair": (
        (0.42, 0.85, 0.42),
        (0.55, 1.0, 0.5),
        (
            ("chair", 0, 0.45, 0, 1, 0.06, 1, BOX),
            ("chair", 0, 0.62, -0.46, 1, 0.38, 0.08, BOX),
            ("chair", 0.45, 0, 0.45, 0.08, 0.46, 0.08, BOX),
            ("chair", 0.45, 0, -0.46, 0.08, 0.8, 0.08, BOX),
        ),
    ),
    "cow": ((0.7, 1.35, 2.1), (0.8, 1.5, 2.4), _beast("cow", 0.44, 0.06)),
    "table": (
        (1.1, 0.72, 0.75),
        (1.7, 0.76, 1.0),
        (
            *(("table", 0.46, 0, z, 0.06, 0.95, 0.08, BOX) for z in (-0.44, 0.44)),
            ("table", 0, 0.95, 0, 1, 0.05, 1, BOX),
        ),
    ),
    "dog": ((0.22, 0.5, 0.7), (0.32, 0.75, 1.0), _beast("dog", 0.42, 0.02)),
    "horse": ((0.55, 1.6, 2.1), (0.65, 1.8, 2.4), _beast("horse", 0.5, 0.08)),
    "motorbike": (
        (0.7, 1.0, 1.9),
        (0.8, 1.15, 2.2),
        (
            *_two_wheeler("motor", "tyre_m", 0.18),
            ("motor", 0, 0.25, 0.02, 0.4, 0.34, 0.3, BOX),
            ("motor", 0, 0.62, 0.08, 0.4, 0.22, 0.3, BALL),
        ),
    ),
    "plant": (
        (0.4, 0.6, 0.4),
        (0.7, 1.2, 0.7),
        (
            ("pot", 0, 0, 0, 0.45, 0.32, 0.45, UPRIGHT),
            ("foliage", 0, 0.3, 0, 0.7, 0.6, 0.7, BALL),
            ("foliage", 0.24, 0.35, 0.1, 0.5, 0.5, 0.5, BALL),
            ("foliage", 0, 0.6, -0.1, 0.45, 0.4, 0.45, BALL),
        ),
    ),
    "sheep": ((0.5, 0.75, 1.0), (0.6, 0.9, 1.25), _beast("wool", 0.34, 0.03)),
    "sofa": (
        (1.4, 0.75, 0.85),
        (2.2, 0.9, 1.0),
        (
            ("sofa", 0, 0.06, 0, 1, 0.34, 0.98, BOX),
            ("sofa", 0, 0.1, -0.38, 0.9, 0.9, 0.24, BOX),
            ("sofa", 0.45, 0, 0, 0.1, 0.75, 1, BOX),
            ("sofa", 0.2, 0.41, 0.1, 0.39, 0.17, 0.76, BOX),
        ),
    ),
    "train": (
        (2.8, 3.6, 22),
        (3.0, 4.2, 34),
        (
            ("train", 0, 0.16, 0, 1, 0.84, 1, BOX),
            ("train", 0, 0.06, 0.0, 0.7, 0.12, 0.96, BOX),
            ("train", 0, 0.5, 0.5, 0.8, 0.3, 0.004, BOX),
        ),
    ),
    "tv": (
        (0.7, 0.55, 0.25),
        (1.2, 0.8, 0.35),
        (
            ("screen", 0, 0, 0, 0.4, 0.05, 0.8, BOX),
            ("screen", 0, 0.03, 0, 0.12, 0.2, 0.2, BOX),
            ("screen", 0, 0.14, 0, 1, 0.86, 0.25, BOX),
        ),
    ),
    "tree": (
        (2.5, 4.5, 2.5),
        (5, 9, 5),
        (
            ("trunk", 0, 0, 0, 0.07, 0.5, 0.07, UPRIGHT),
            ("leaves", 0, 0.3, 0, 1, 0.7, 1, BALL),
            ("leaves", 0.22, 0.28, 0.2, 0.6, 0.42, 0.6, BALL),
        ),
    ),
    "house": ((8, 4, 6), (20, 12, 10), (("facade", 0, 0, 0, 1, 1, 1, BOX),)),
    "fence": ((12, 0.9, 0.08), (30, 1.3, 0.1), (("fence", 0, 0, 0, 1, 1, 1, BOX),)),
    "hill": ((40, 12, 30), (90, 30, 50), (("hills", 0, -0.5, 0, 1, 1.5, 1, BALL),)),
    "cupboard": (
        (0.6, 0.75, 0.4),
        (1.6, 1.9, 0.6),
        (("cupboard", 0, 0, 0, 1, 1, 1, BOX), ("cupboard", 0.25, 0.05, 0.5, 0.47, 0.9, 0.05, BOX)),
    ),
    "window": ((0.8, 1.0, 0.06), (1.6, 1.3, 0.06), (("window", 0, 0, 0, 1, 1, 1, BOX),)),
}  # fmt: skip


class Place(NamedTuple):
    """Where snapshots are taken: the ground's material, what the subject can be, what may be beside it and far behind it."""

    ground: str
    subjects: str
    beside: str
    behind: str


PLACES = (
    Place("grass", "person person person dog horse bicycle bird", "person person dog bicycle", "tree tree tree fence hill house"),
    Place("road", "car car bus motorbike bicycle person person", "car person motorbike bicycle", "house house house tree fence"),
    Place("grass", "cow sheep horse person", "cow sheep horse dog person", "hill hill tree fence tree"),
    Place("floor", "sofa chair cat dog table person person tv", "chair plant tv person sofa table", "cupboard window cupboard"),
    Place("floor", "table plant bottle cat person", "bottle person chair plant cat", "cupboard window window"),
    Place("water", "boat boat bird", "boat", "hill hill tree house"),
    Place("track", "train", "person", "house tree tree hill"),
    Place("soil", "aeroplane bird motorbike", "person car", "hill house tree"),
)
LONG = ("aeroplane", "boat", "bus", "train")  # seen from the front, more or less: from the side they would be small
ON_TABLE = ("bottle", "tv")
LIMB_BEADS = 4
PART_LABELS = 1000  # a solid's label is its class in LabelMap or, of people, this plus the index of its part


def _paint(rng: np.random.Generator, material: str) -> np.ndarray:
    _, look, glow = MATERIALS[material]
    return mix_paint(rng, look, glow)


def _solid(material: str, x: float, up: float, z: float, size: Any, paint: np.ndarray, kind: Round = BOX) -> Solid:
    return make_solid(MATERIALS[material].context, x, up, z, np.array(size, float), paint, kind)


def _build(rng: np.random.Generator, name: str) -> list[Solid]:
    """A thing of random size at the origin; one material has one paint."""
    if name == "person":
        return _person(rng)
    least, most, parts = THINGS[name]
    size, paints = rng.uniform(least, most), {part[0]: _paint(rng, part[0]) for part in parts}
    return assemble(size, [(MATERIALS[material].context, paints[material], *place) for material, *place in parts])


def _beads(part: str, start: np.ndarray, end: np.ndarray, radius: float, paint: np.ndarray) -> list[Solid]:
    """A limb from `start` to `end` (x, height, z) as a row of overlapping ellipsoids."""
    step = (end - start) / (LIMB_BEADS - 1)
    half = radius + 0.55 * np.abs(step)
    return [_bead(part, start + k * step, half, paint) for k in range(LIMB_BEADS)]


def _bead(part: str, at: Any, half: Any, paint: np.ndarray, kind: Round = BALL) -> Solid:
    return Solid(PART_LABELS + PARTS.index(part), np.multiply(at, (1, -1, 1)), np.array(half, float), paint, kind)


def _way(side: int, out: float, swing: float) -> np.ndarray:
    """The unit vector (x, height, z) of a limb that hangs, turned outwards and then forwards by these angles."""
    return np.array([side * math.sin(out), -math.cos(out) * math.cos(swing), math.cos(out) * math.sin(swing)])


def _person(rng: np.random.Generator) -> list[Solid]:
    """Somebody who stands or walks, of 1.5 to 1.9 metres, each part of the body in its own colour."""
    tall, broad = rng.uniform(1.5, 1.9), rng.uniform(0.9, 1.25)
    skin, hair, shirt, trousers, shoes = (_paint(rng, name) for name in ("skin", "hair", "shirt", "trousers", "shoes"))
    sleeve, leg = (shirt if rng.random() < 0.7 else skin), (trousers if rng.random() < 0.8 else skin)
    hip = 0.52 * tall
    solids = [
        _bead("torso", (0, hip + 0.22 * tall, 0), np.array([0.115 * broad, 0.11, 0.07 * broad]) * tall, shirt),
        _bead("torso", (0, hip + 0.13 * tall, 0), np.array([0.095 * broad, 0.12, 0.065 * broad]) * tall, shirt),
        _bead("torso", (0, hip + 0.02 * tall, 0), np.array([0.1 * broad, 0.07, 0.07 * broad]) * tall, trousers),
        _bead("neck", (0, hip + 0.33 * tall, 0), np.array([0.032, 0.035, 0.032]) * tall, skin, UPRIGHT),
        _bead("head", (0, hip + 0.41 * tall, 0.005), np.array([0.048, 0.068, 0.055]) * tall, skin),
        _bead("hair", (0, hip + 0.435 * tall, -0.012 * tall), np.array([0.053, 0.055, 0.055]) * tall, hair),
    ]
    for side, letter in ((1, "l"), (-1, "r")):
        shoulder, out, swing = np.array([side * 0.115 * broad, 0.29, 0]) * tall, rng.uniform(0.1, 0.5), rng.normal(0.1, 0.5)
        if rng.random() < 0.15:
            out = rng.uniform(1.5, 2.6)  # the arm is raised
        shoulder[1] += hip
        elbow = shoulder + 0.165 * tall * _way(side, out, swing)
        wrist = elbow + 0.15 * tall * _way(side, out * 0.6, swing + rng.uniform(0, 1.2))
        solids += _beads(f"{letter}uarm", shoulder, elbow, 0.03 * tall * broad, shirt)
        solids += _beads(f"{letter}larm", elbow, wrist, 0.024 * tall * broad, sleeve)
        solids.append(_bead(f"{letter}hand", np.add(wrist, (0, -0.02 * tall, 0)), np.array([0.02, 0.035, 0.025]) * tall, skin))
        swing = rng.normal(0, 0.25)
        thigh = np.array([side * 0.055 * broad * tall, hip, 0])
        knee = thigh + 0.245 * tall * _way(side, 0.05, swing)
        ankle = knee + 0.235 * tall * _way(side, 0.02, swing - rng.uniform(0, 0.4))
        solids += _beads(f"{letter}uleg", thigh, knee, 0.048 * tall * broad, trousers)
        solids += _beads(f"{letter}lleg", knee, ankle, 0.034 * tall * broad, leg)
        solids.append(
            _bead(f"{letter}foot", np.add(ankle, (0, -0.02 * tall, 0.04 * tall)), np.array([0.03, 0.03, 0.075]) * tall, shoes)
        )
    lowest = min(-s.centre[1] - s.half[1] for s in solids)
    return moved(solids, 0, -lowest, 0)


def _extent(solids: list[Solid]) -> tuple[np.ndarray, np.ndarray]:
    """The least and greatest x, y, z that turned solids may reach."""
    reach = np.stack(
        [s.half if not s.yaw else np.array([np.hypot(*s.half[::2]), s.half[1], np.hypot(*s.half[::2])]) for s in solids]
    )
    centres = np.stack([s.centre for s in solids])
    return (centres - reach).min(0), (centres + reach).max(0)


def _set_down(rng: np.random.Generator, name: str, yaw: float, thing: int) -> list[Solid]:
    """A thing, turned, at the origin; small ones stand on a table, which is the next thing."""
    up = 0.0
    table: list[Solid] = []
    if name in ON_TABLE:
        table = [s._replace(thing=thing + 1) for s in moved(_build(rng, "table"), 0, 0, 0, rng.normal(0, 0.2))]
        up = -_extent(table)[0][1]
    own = [s._replace(thing=thing) for s in moved(_build(rng, name), 0, 0, 0, yaw)]
    return [*moved(own, 0, up, 0), *table]


def _shifted(solids: list[Solid], x: float, z: float) -> list[Solid]:
    return [s._replace(centre=np.add(s.centre, (x, 0, z))) for s in solids]


def _beside(rng: np.random.Generator, place: Place, room: tuple[np.ndarray, np.ndarray]) -> list[Solid]:
    """Up to three things next to the subject, whose extent `room` is, or somewhat behind it."""
    solids: list[Solid] = []
    low, high = room[0].copy(), room[1].copy()
    for k in range(rng.choice(4, p=(0.3, 0.35, 0.2, 0.15))):
        names = place.beside.split()
        one = _set_down(rng, names[rng.integers(len(names))], rng.uniform(-math.pi, math.pi), 10 + 2 * k)
        least, most = _extent(one)
        gap = rng.uniform(0.05, 0.4) * (high[0] - low[0] + 1)
        right = rng.random() < 0.5
        x = high[0] + gap - least[0] if right else low[0] - gap - most[0]
        solids += _shifted(one, x, rng.uniform(-0.3, 2.0))
        low[0], high[0] = (low[0], x + most[0]) if right else (x + least[0], high[0])
    return solids


def _outdoors(rng: np.random.Generator, place: Place, far: float) -> list[Solid]:
    """The ground, a sky of five far walls, and what stands beyond `far` metres."""
    sky, ground = _paint(rng, "sky"), _paint(rng, place.ground)
    solids = [_solid(place.ground, 0, -0.1, 0, (1200, 0.1, 1200), ground)]
    if rng.random() < 0.6:
        other = "grass" if place.ground in ("road", "track", "soil") else "soil"
        solids.append(_solid(other, 0, -0.08, far + 300 + rng.uniform(0, 4), (1200, 0.1, 600), _paint(rng, other)))
    for x, z, size in ((0, 400, (1000, 300, 1)), (-400, 0, (1, 300, 1000)), (400, 0, (1, 300, 1000)), (0, -400, (1000, 300, 1))):
        solids.append(_solid("sky", x, -10, z, size, sky))
    solids.append(_solid("sky", 0, 280, 0, (1000, 1, 1000), sky))
    for name in rng.choice(place.behind.split(), rng.integers(3, 9)):
        off = far + (rng.uniform(100, 220) if name == "hill" else rng.uniform(4, 40))
        solids += _shifted(moved(_build(rng, name), 0, 0, 0, rng.normal(0, 0.3)), rng.uniform(-0.8, 0.8) * (off + 5), off)
    return solids


def _indoors(rng: np.random.Generator, place: Place, far: float, wide: float) -> list[Solid]:
    """A room whose back wall is `far` metres off and whose side walls are `wide` metres to each side."""
    wall, high = _paint(rng, "wall"), rng.uniform(2.4, 3)
    deep = np.array([2 * wide, high, far + 30])
    middle = (far - 30) / 2
    solids = [
        _solid("floor", 0, -0.1, middle, (deep[0], 0.1, deep[2]), _paint(rng, "floor")),
        _solid("ceiling", 0, high, middle, (deep[0], 0.1, deep[2]), _paint(rng, "ceiling")),
        _solid("wall", 0, 0, far + 0.05, (deep[0], high, 0.1), wall),
        *(_solid("wall", side * wide, 0, middle, (0.1, high, deep[2]), wall) for side in (-1, 1)),
    ]
    for name in rng.choice(place.behind.split(), rng.integers(1, 4)):
        one = moved(_build(rng, name), 0, 0.9 if name == "window" else 0, 0, math.pi)
        x = rng.uniform(-0.8, 0.8) * wide
        solids += _shifted(one, x, far - _extent(one)[1][2])
    return solids


def _look(rng: np.random.Generator, size: tuple[int, int], low: np.ndarray, high: np.ndarray) -> Camera:
    """A camera in front of what reaches from `low` to `high` (3,), which fills most of the picture one way."""
    focal = rng.uniform(0.9, 1.4) * max(size)
    spans = (high - low)[:2] * focal / (rng.uniform(0.6, 1.1) * np.array(size[::-1]))
    distance = max(spans.max(), 0.5) - low[2]
    tall = -low[1]
    eye = np.clip(rng.uniform(0.5, 1.5) * tall, 0.25, rng.uniform(1.3, 2))
    origin = np.array([rng.normal(0, 0.1) * distance, -eye, -distance])
    target = np.array([rng.normal(0, 0.08) * spans.max(), (low[1] + high[1]) / 2, 0])
    forward = (target - origin) / np.linalg.norm(target - origin)
    right = np.cross([0, 1, 0], forward) / np.hypot(*forward[::2])
    u, v = ((np.arange(n) - (n - 1) / 2) / focal for n in size[::-1])
    return Camera(origin, np.stack([right, np.cross(forward, right), forward]), u.astype(np.float32), v.astype(np.float32))


def _scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[list[Solid], Camera]:
    """The solids of a snapshot, the subject of which is thing 1, and the camera."""
    place = PLACES[rng.integers(len(PLACES))]
    name = str(rng.choice(place.subjects.split()))
    subject = _set_down(rng, name, math.pi + rng.uniform(-1, 1) * (0.9 if name in LONG else math.pi), 1)
    extent = _extent([s for s in subject if s.thing == 1])
    solids = subject + _beside(rng, place, _extent(subject))
    camera = _look(rng, size, *extent)
    low, high = _extent(solids)
    if place.ground == "floor":
        wide = max(-low[0], high[0], abs(camera.origin[0]), 1) + rng.uniform(0.3, 1.5)
        return solids + _indoors(rng, place, high[2] + rng.uniform(0.3, 1.5), wide), camera
    return solids + _outdoors(rng, place, high[2] + rng.uniform(1, 6)), camera


class Snapshot(NamedTuple):
    """What is seen: `image` (H, W, 3) uint8; `label_map` (H, W), PASCAL-Context's classes; `thing` (H, W), the number of what is
    seen, 1 the subject and 0 the background; `part` (H, W), index in PARTS, -1 where it is no person; `normals` (H, W, 3) uint8.
    """

    image: np.ndarray
    label_map: np.ndarray
    thing: np.ndarray
    part: np.ndarray
    normals: np.ndarray


def render_snapshot(rng: np.random.Generator, size: tuple[int, int]) -> Snapshot:
    """A random snapshot of `size` = (height, width)."""
    solids, camera = _scene(rng, size)
    depth, face = trace(solids, camera)
    points = camera.origin.astype(np.float32)[:, None, None] + depth * rays(camera.axes, camera.u, camera.v)
    normal, own = surface(solids, face, points)
    sun = rng.normal((0, -1.2, -0.5), (0.6, 0.3, 0.4))
    paint, which = np.stack([s.paint for s in solids], 1), face // 4
    shade = 0.5 - 0.15 * normal[1] + 0.6 * np.tensordot((sun / np.linalg.norm(sun)).astype(np.float32), normal, 1).clip(0)
    image = photograph(rng, albedo(paint, face, own), shade * _contact(solids, points), paint[9].take(which))
    label, thing = (np.array([getattr(s, name) for s in solids]).take(which) for name in ("label", "thing"))
    part = np.where(label >= PART_LABELS, label - PART_LABELS, -1)
    label_map = np.where(part >= 0, PERSON, label).astype(np.uint16)
    seen = np.tensordot(camera.axes.astype(np.float32), normal, 1)
    return Snapshot(np.rint(image * 255).astype(np.uint8), label_map, thing, part, _distilled(seen))


def _contact(solids: list[Solid], points: np.ndarray) -> np.ndarray:
    """How much light (H, W) is left under and around what stands on the ground."""
    light = np.ones(points.shape[1:], np.float32)
    for number in {s.thing for s in solids} - {0}:
        low, high = _extent([s for s in solids if s.thing == number])
        (x, _, z), (w, _, d) = (low + high) / 2, (high - low) * 0.45
        far = ((points[0] - x) / w) ** 2 + ((points[2] - z) / d) ** 2
        light *= 1 - 0.6 * np.exp(-(far**2)) * (points[1] > -0.02)
    return light


def _distilled(normal: np.ndarray) -> np.ndarray:
    """Unit vectors (3, H, W) as an 8-bit picture (H, W, 3), a little soft as a network's predictions are."""
    soft = ndimage.gaussian_filter(normal, (0, 1.5, 1.5))
    soft /= np.maximum(np.sqrt((soft * soft).sum(0)), 1e-6)
    return np.rint((soft + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)


def write_tree(folder: Path, split: str, count: int, seed: int, workers: int | None = None) -> None:
    """Write `count` snapshots as a split of an ASTMT tree, in `workers` processes (None: every core).

    Snapshot k depends on (seed, split, k) alone. Files that exist stay as they are, so an interrupted call goes on where it was.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    missing = [k for k in range(count) if not all((folder / name).exists() for name in _names(split, k))]
    for _ in in_order(partial(_write_snapshot, folder, split, seed), missing, f"snapshots {split}", workers):
        pass
    lists = {split: list(range(count))} | ({"test_new": list(range(0, count, 2))} if split == "val" else {})
    for name, numbers in lists.items():
        content = "".join(f"{_id(split, k)}\n" for k in numbers).encode()
        path = folder / f"ImageSets/Context/{name}.txt"
        if not path.exists() or len(path.read_bytes()) < len(content):
            _write(path, content)


def _id(split: str, k: int) -> str:
    return f"{YEARS[split]}_{k:06d}"


def _names(split: str, k: int) -> list[str]:
    """A snapshot's files; every second one's semseg lies in VOC12."""
    name = _id(split, k)
    semseg = "pascal-context" if k % 2 else "VOC12"
    folders = ("pascal-context/trainval", "human_parts")
    pictures = (f"semseg/{semseg}", "normals_distill", "sal_distill")
    return [f"JPEGImages/{name}.jpg", *(f"{f}/{name}.mat" for f in folders), *(f"{f}/{name}.png" for f in pictures)]


def _write_snapshot(folder: Path, split: str, seed: int, k: int) -> None:
    rng = np.random.default_rng(np.random.SeedSequence((seed, zlib.crc32(split.encode()), k)))
    seen = render_snapshot(rng, SIZES[rng.integers(len(SIZES))])
    contents = (
        _picture(seen.image, "JPEG", quality=92),
        _matlab({"LabelMap": seen.label_map}),
        _matlab({"anno": _annotation(_id(split, k), seen)}),
        _semseg(seen.label_map, void=k % 2 == 0),
        _picture(seen.normals, "PNG"),
        _picture(ndimage.gaussian_filter(255.0 * (seen.thing == 1), 1.5).round().astype(np.uint8), "PNG"),
    )
    for name, content in zip(_names(split, k), contents, strict=True):
        if not (folder / name).exists():
            _write(folder / name, content)


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _picture(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def _semseg(label_map: np.ndarray, void: bool) -> bytes:
    """semseg as an indexed PNG; with `void` as VOC's, whose objects have a rim of 255."""
    index = np.zeros(label_map.max() + 1, np.uint8)
    for k, context in enumerate(SEMSEG[1:], start=1):
        index[context : context + 1] = k
    label = index[label_map]
    if void:
        label[ndimage.maximum_filter(label, 5) != ndimage.minimum_filter(label, 5)] = 255
    picture = Image.fromarray(label)
    picture.putpalette(bytes((k * step) % 256 for k in range(256) for step in (67, 131, 41)))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def _matlab(variables: dict[str, Any]) -> bytes:
    """A MATLAB file of version 5 that does not say when it was written."""
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables, do_compression=True)
    return b"MATLAB 5.0 MAT-file, synthetic".ljust(116) + stream.getvalue()[116:]


def _annotation(name: str, seen: Snapshot) -> np.ndarray:
    """PASCAL-Part's `anno`: every object of one of the 20 classes, people with their parts."""
    objects = []
    for number in np.unique(seen.thing[seen.thing > 0]):
        mask = seen.thing == number
        context = int(seen.label_map[mask][0])
        if context in SEMSEG:
            kind = SEMSEG.index(context)
            objects.append((str(context), kind, mask.astype(np.uint8), _part_masks(seen, mask)))
    found = _struct(("class", "class_ind", "mask", "parts"), objects)
    return _struct(("imname", "objects"), [(name, found)])


def _part_masks(seen: Snapshot, mask: np.ndarray) -> np.ndarray:
    shown = np.unique(seen.part[mask & (seen.part >= 0)])
    return _struct(("part_name", "mask"), [(PARTS[k], (mask & (seen.part == k)).astype(np.uint8)) for k in shown])


def _struct(fields: tuple[str, ...], rows: list[tuple]) -> np.ndarray:
    """A MATLAB struct array (1, N)."""
    array = np.zeros((1, len(rows)), [(name, object) for name in fields])
    for k, row in enumerate(rows):
        array[0, k] = row
    return array
