"""What the synthetic snapshots show, and PASCAL-Context's class of each material. Things face +z."""

from dmtl.benchmarks.shared import things
from dmtl.benchmarks.shared.raycast import ALONG, BALL, UPRIGHT, WHEEL
from dmtl.benchmarks.shared.things import Catalogue, Material, Part, Thing, block, table_parts

PERSON = 284

_FUR = ((40, 40, 40, 0.4), (5, 5, 5, 0.6), (2, 0, 3, 0.7))
_PAINTWORK = ((0, 0, 0, 0), (0, 1.2, 0, 0.3))
_CLOTH = ((0, 9, 0, 0.6), (12, 12, 12, 0.4), (0, 0, 0, 0))
MATERIALS = {
    "sky": Material(360, "9fc3ea", ((0.02, 0.05, 0.02, 0.2), (0.01, 0.02, 0.01, 0.1)), glow=1.2),
    "grass": Material(187, "6d8a3c", ((9, 0, 9, 0.5), (30, 0, 30, 0.5))),
    "road": Material(324, "707072", ((3, 0, 3, 0.1), (25, 0, 25, 0.2))),
    "soil": Material(189, "9c8664", ((6, 0, 6, 0.3), (20, 0, 20, 0.4))),
    "water": Material(445, "4d7a8c", ((0.3, 0, 3, 0.35), (1, 0, 8, 0.4))),
    "track": Material(415, "6e6259", ((0.2, 0, 1.6, 0.6), (20, 0, 20, 0.4))),
    "facade": Material(44, "b8a68c", ((0.5, 0.35, 0.5, 0.7), (0.35, 0.6, 0.35, 0.7))),
    "leaves": Material(420, "4f6b2e", ((3, 3, 3, 0.6), (6, 6, 6, 0.6))),
    "trunk": Material(420, *things.TRUNK_LOOK),
    "fence": Material(144, "8c7355", ((4, 0, 4, 0.6), (8, 0, 8, 0.5))),
    "hills": Material(259, "6d7f8c", ((0.05, 0.05, 0.05, 0.4),)),
    "wall": Material(440, "c9c4b8", ((30, 30, 30, 0.08), (8, 0, 8, 0.15), (2, 2, 2, 0.05))),
    "floor": Material(158, "9e8560", ((9, 0, 0.8, 0.6), (2.5, 0, 2.5, 0.5), (70, 0, 70, 0.3))),
    "ceiling": Material(68, "ebebe6", ((1.6, 0, 1.6, 0.08),)),
    "window": Material(454, "d9e6f2", ((1.5, 2.5, 1.5, 0.5),), glow=0.3),
    "cupboard": Material(46, "bfa885", ((2, 40, 2, 0.35), (40, 2, 2, 0.35))),
    "metal": Material(2, "e8ecf8", ((0, 1, 0, 0.2), (0, 0, 0.5, 0.4))),
    "bicycle": Material(23, "10c0c0", _PAINTWORK),
    "bicycle tyre": Material(23, "1f1f22", ((0, 6, 6, 0.3),)),
    "feather": Material(25, "7a2050", _FUR),
    "hull": Material(31, "ff8c1a", ((0, 2, 0, 0.6), (0, 6, 0, 0.3))),
    "sail": Material(31, "ffb060", ((0, 0.8, 0, 0.2),)),
    "glass": Material(34, "00804d", ((0, 9, 0, 0.6), (0, 4, 0, 0.7))),
    "bus": Material(45, "ffd800", ((0, 0.9, 0, 0.5), (0.8, 0.5, 0.6, 0.6))),
    "bus tyre": Material(45, *things.TYRE_LOOK),
    "body": Material(59, "d81010", _PAINTWORK),
    "panes": Material(59, *things.PANES_LOOK),
    "tyre": Material(59, *things.TYRE_LOOK),
    "cat": Material(65, "d08030", _FUR),
    "chair": Material(72, *things.CHAIR_LOOK),
    "cow": Material(98, "1c1c20", ((2, 2, 2, 0.9), (3, 3, 3, 0.8))),
    "table": Material(397, "ee6611", ((3, 0, 45, 0.35), (45, 0, 3, 0.35))),
    "dog": Material(113, "a0522d", _FUR),
    "horse": Material(207, "702808", _FUR),
    "motorbike": Material(258, "303038", _PAINTWORK),
    "motorbike tyre": Material(258, "1c1c1e", ((0, 8, 8, 0.3),)),
    "pot": Material(308, "18a838", ((0, 12, 0, 0.4),)),
    "foliage": Material(308, "20d048", ((15, 15, 15, 0.6),)),
    "wool": Material(347, "fffff8", ((12, 12, 12, 0.4),)),
    "sofa": Material(368, *things.SOFA_LOOK),
    "train": Material(416, "2030d0", ((0, 0.9, 0, 0.6), (0.7, 0.6, 0.7, 0.6))),
    "screen": Material(427, "141418", ((6, 6, 6, 0.6), (2, 2, 2, 0.3)), glow=0.2),
    "skin": Material(PERSON, "f0b090", ((0, 0, 0, 0),)),
    "hair": Material(PERSON, "5c3010", ((60, 60, 60, 0.4),)),
    "shirt": Material(PERSON, "f02080", _CLOTH),
    "sleeve": Material(PERSON, "9020e0", _CLOTH),
    "trousers": Material(PERSON, "2060f0", _CLOTH),
    "stocking": Material(PERSON, "20c8f0", _CLOTH),
    "shoes": Material(PERSON, "103040", ((0, 0, 0, 0),)),
}

_ENGINE = (Part("motorbike", 0, 0.25, 0.02, 0.4, 0.34, 0.3), Part("motorbike", 0, 0.62, 0.08, 0.4, 0.22, 0.3, BALL))
_CUPBOARD = (*block("cupboard"), Part("cupboard", 0.25, 0.05, 0.5, 0.47, 0.9, 0.05))


def _beast(coat: str, leg: float, neck: float) -> tuple[Part, ...]:
    """A four-legged animal with legs of that share of its height, whose neck leans forward by that share of its length."""
    return (
        *(Part(coat, 0.27, 0, z, 0.24, leg + 0.12, 0.09, UPRIGHT) for z in (-0.3, 0.22)),
        Part(coat, 0, leg - 0.02, -0.05, 1, 0.8 - leg, 0.78, BALL), Part(coat, 0, leg, -0.2, 0.96, 0.74 - leg, 0.4, BALL),
        Part(coat, 0, 0.55, 0.24 + neck / 2, 0.5, 0.36, 0.22, BALL), Part(coat, 0, 0.7, 0.34 + neck, 0.55, 0.28, 0.2, BALL),
        Part(coat, 0, 0.71, 0.44 + neck, 0.34, 0.15, 0.16, BALL), Part(coat, 0.16, 0.9, 0.3 + neck, 0.16, 0.12, 0.05, BALL),
        Part(coat, 0, 0.4, -0.45, 0.12, 0.36, 0.07, BALL),
    )  # fmt: skip


def _two_wheeler(frame: str, thick: float) -> tuple[Part, ...]:
    """A bicycle or the like, whose parts are that share of its width thick."""
    return (
        *(Part(f"{frame} tyre", 0, 0, z, thick, 0.58, 0.36, WHEEL) for z in (-0.32, 0.32)),
        Part(frame, 0, 0.3, 0, thick, 0.09, 0.56), Part(frame, 0, 0.56, -0.02, thick, 0.08, 0.5),
        Part(frame, 0, 0.34, -0.12, 0.8 * thick, 0.5, 0.05), Part(frame, 0, 0.34, 0.26, 0.8 * thick, 0.62, 0.05),
        Part(frame, 0, 0.82, -0.14, 2 * thick, 0.07, 0.16, BALL), Part(frame, 0, 0.94, 0.24, 1, 0.05, 0.05),
    )  # fmt: skip


THINGS = {
    "aeroplane": Thing((16, 4.5, 17), (24, 6, 24), (
        Part("metal", 0, 0.25, 0, 0.12, 0.5, 0.9, ALONG), Part("metal", 0, 0.27, 0.43, 0.11, 0.46, 0.18, BALL),
        Part("metal", 0.28, 0.38, 0.02, 0.46, 0.05, 0.16), Part("metal", 0.12, 0.55, -0.42, 0.18, 0.04, 0.08),
        Part("metal", 0, 0.6, -0.42, 0.015, 0.4, 0.1), Part("metal", 0.2, 0.16, 0.08, 0.07, 0.26, 0.14, ALONG),
        Part("metal", 0.06, 0, 0.02, 0.02, 0.3, 0.03, WHEEL), Part("metal", 0, 0, 0.36, 0.02, 0.3, 0.03, WHEEL),
    )),
    "bicycle": Thing((0.5, 1.0, 1.6), (0.6, 1.15, 1.8), _two_wheeler("bicycle", 0.1)),
    "bird": Thing((0.14, 0.25, 0.3), (0.3, 0.5, 0.6), (
        Part("feather", 0.12, 0, 0.02, 0.06, 0.35, 0.04, UPRIGHT), Part("feather", 0, 0.25, -0.05, 0.9, 0.5, 0.7, BALL),
        Part("feather", 0.36, 0.34, -0.12, 0.24, 0.34, 0.6, BALL), Part("feather", 0, 0.62, 0.24, 0.55, 0.38, 0.3, BALL),
        Part("feather", 0, 0.74, 0.42, 0.14, 0.09, 0.16, BALL), Part("feather", 0, 0.4, -0.45, 0.3, 0.1, 0.3, BALL),
    )),
    "boat": Thing((2, 4, 5), (3, 7, 8), (
        Part("hull", 0, 0, 0, 0.9, 0.16, 0.7), Part("hull", 0, -0.04, 0.3, 0.9, 0.22, 0.5, BALL),
        Part("hull", 0, 0.14, -0.1, 0.6, 0.14, 0.3), Part("hull", 0, 0.1, 0.05, 0.05, 0.9, 0.03, UPRIGHT),
        Part("sail", 0, 0.25, -0.1, 0.02, 0.35, 0.3), Part("sail", 0, 0.55, -0.04, 0.02, 0.35, 0.17),
    )),
    "bottle": Thing((0.07, 0.25, 0.07), (0.1, 0.33, 0.1), (
        Part("glass", 0, 0, 0, 1, 0.62, 1, UPRIGHT), Part("glass", 0, 0.5, 0, 1, 0.25, 1, BALL),
        Part("glass", 0, 0.65, 0, 0.35, 0.35, 0.35, UPRIGHT),
    )),
    "bus": Thing((2.4, 2.9, 9), (2.6, 4.2, 12), (
        *(Part("bus tyre", 0.43, 0, z, 0.12, 0.3, 0.09, WHEEL) for z in (-0.3, 0.34)),
        Part("bus", 0, 0.1, 0, 1, 0.9, 1), Part("bus", 0, 0.5, 0.5, 0.9, 0.36, 0.01),
    )),
    "car": things.CAR,
    "cat": Thing((0.16, 0.3, 0.45), (0.2, 0.36, 0.55), _beast("cat", 0.36, 0.02)),
    "chair": things.CHAIR,
    "cow": Thing((0.7, 1.35, 2.1), (0.8, 1.5, 2.4), _beast("cow", 0.44, 0.06)),
    "table": Thing((1.1, 0.72, 0.75), (1.7, 0.76, 1.0), table_parts(0.06, 0.08)),
    "dog": Thing((0.22, 0.5, 0.7), (0.32, 0.75, 1.0), _beast("dog", 0.42, 0.02)),
    "horse": Thing((0.55, 1.6, 2.1), (0.65, 1.8, 2.4), _beast("horse", 0.5, 0.08)),
    "motorbike": Thing((0.7, 1.0, 1.9), (0.8, 1.15, 2.2), _two_wheeler("motorbike", 0.18) + _ENGINE),
    "plant": Thing((0.4, 0.6, 0.4), (0.7, 1.2, 0.7), (
        Part("pot", 0, 0, 0, 0.45, 0.32, 0.45, UPRIGHT), Part("foliage", 0, 0.3, 0, 0.7, 0.6, 0.7, BALL),
        Part("foliage", 0.24, 0.35, 0.1, 0.5, 0.5, 0.5, BALL), Part("foliage", 0, 0.6, -0.1, 0.45, 0.4, 0.45, BALL),
    )),
    "sheep": Thing((0.5, 0.75, 1.0), (0.6, 0.9, 1.25), _beast("wool", 0.34, 0.03)),
    "sofa": Thing((1.4, 0.75, 0.85), (2.2, 0.9, 1.0), things.SOFA_PARTS),
    "train": Thing((2.8, 3.6, 22), (3.0, 4.2, 34), (
        Part("train", 0, 0.16, 0, 1, 0.84, 1), Part("train", 0, 0.06, 0.0, 0.7, 0.12, 0.96),
        Part("train", 0, 0.5, 0.5, 0.8, 0.3, 0.004),
    )),
    "tv": Thing((0.7, 0.55, 0.25), (1.2, 0.8, 0.35), (
        Part("screen", 0, 0, 0, 0.4, 0.05, 0.8), Part("screen", 0, 0.03, 0, 0.12, 0.2, 0.2),
        Part("screen", 0, 0.14, 0, 1, 0.86, 0.25),
    )),
    "tree": Thing((2.5, 4.5, 2.5), (5, 9, 5), things.TREE_PARTS),
    "house": Thing((8, 4, 6), (20, 12, 10), block("facade")),
    "fence": Thing((12, 0.9, 0.08), (30, 1.3, 0.1), block("fence")),
    "hill": Thing((40, 12, 30), (90, 30, 50), (Part("hills", 0, -0.5, 0, 1, 1.5, 1, BALL),)),
    "cupboard": Thing((0.6, 0.75, 0.4), (1.6, 1.9, 0.6), _CUPBOARD),
    "window": Thing((0.8, 1.0, 0.06), (1.6, 1.3, 0.06), block("window")),
}  # fmt: skip
CATALOGUE = Catalogue(MATERIALS, THINGS)
