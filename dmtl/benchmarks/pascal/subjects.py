"""What the synthetic snapshots show, and PASCAL-Context's class of each material. Things face +z."""

from dmtl.benchmarks.shared import things
from dmtl.benchmarks.shared.raycast import ALONG, BALL, UPRIGHT, WHEEL
from dmtl.benchmarks.shared.things import Catalogue, Material, Part, Thing, block, table_parts

PERSON = 284

_FUR = ((40, 40, 40, 0.4), (5, 5, 5, 0.6), (2, 0, 3, 0.7))
_PAINTWORK = ((0, 0, 0, 0), (0, 1.2, 0, 0.3))
_CLOTH = ((0, 9, 0, 0.6), (12, 12, 12, 0.4), (0, 0, 0, 0))
MATERIALS = {
    "sky": Material(360, "9fc3ea c9d9ec dfe4ea 8fb0dc", ((0.02, 0.05, 0.02, 0.2), (0.01, 0.02, 0.01, 0.1)), glow=1.2),
    "grass": Material(187, "5c7a33 6d8a3c 7a8045", ((9, 0, 9, 0.5), (30, 0, 30, 0.5))),
    "road": Material(324, "5f5f63 707072 565558", ((3, 0, 3, 0.1), (25, 0, 25, 0.2))),
    "soil": Material(189, "8a7455 9c8664 7d6a52", ((6, 0, 6, 0.3), (20, 0, 20, 0.4))),
    "water": Material(445, "3f6078 4d7a8c 55707a", ((0.3, 0, 3, 0.35), (1, 0, 8, 0.4))),
    "track": Material(415, "6e6259 7d7267", ((0.2, 0, 1.6, 0.6), (20, 0, 20, 0.4))),
    "facade": Material(44, "b8a68c 9e8f85 cfc7b5 8c5a45 a8aaad", ((0.5, 0.35, 0.5, 0.7), (0.35, 0.6, 0.35, 0.7))),
    "leaves": Material(420, "3d5c29 4f6b2e 5c7038 46592b", ((3, 3, 3, 0.6), (6, 6, 6, 0.6))),
    "trunk": Material(420, *things.TRUNK_LOOK),
    "fence": Material(144, "8c7355 d9d9d4 5c4a38", ((4, 0, 4, 0.6), (8, 0, 8, 0.5))),
    "hills": Material(259, "6d7f8c 7a8a7a 5f7066", ((0.05, 0.05, 0.05, 0.4),)),
    "wall": Material(440, "dbd4bf bdccd1 d1bd9e b3ba9e c9b0a0", ((30, 30, 30, 0.08), (8, 0, 8, 0.15), (2, 2, 2, 0.05))),
    "floor": Material(158, "805c38 9e9180 6b6b70 7a5445", ((9, 0, 0.8, 0.6), (2.5, 0, 2.5, 0.5), (70, 0, 70, 0.3))),
    "ceiling": Material(68, "ebebe6 e0d6c7", ((1.6, 0, 1.6, 0.08),)),
    "window": Material(454, "d9e6f2 99bfe6 e6e0d1", ((1.5, 2.5, 1.5, 0.5),), glow=0.8),
    "cupboard": Material(46, "734d2e bfa885 4d3324 dbd9d1", ((2, 40, 2, 0.35), (40, 2, 2, 0.35))),
    "metal": Material(2, "d9dce0 b8c4cf e6e0d6", ((0, 1, 0, 0.2), (0, 0, 0.5, 0.4))),
    "bicycle": Material(23, "a62a22 2b4fa0 2e6b3a 26262b", _PAINTWORK),
    "bicycle tyre": Material(23, "1f1f22", ((0, 6, 6, 0.3),)),
    "feather": Material(25, "4a4038 8c8f94 5c3d2e c9c4b8", _FUR),
    "hull": Material(31, "d6d2c9 8c2f2b 2b4466 e0d9c4", ((0, 2, 0, 0.6), (0, 6, 0, 0.3))),
    "sail": Material(31, "f0ece0 d9dfe6", ((0, 0.8, 0, 0.2),)),
    "glass": Material(34, "2e5c38 5c3a22 9fb8b0", ((0, 9, 0, 0.6), (0, 4, 0, 0.7))),
    "bus": Material(45, "b82e26 d9a826 2b5c99 e0e0da", ((0, 0.9, 0, 0.5), (0.8, 0.5, 0.6, 0.6))),
    "bus tyre": Material(45, *things.TYRE_LOOK),
    "body": Material(59, "a6a9ad 26292e 8c1f24 2b3d80 d6d6d2 4a6240", _PAINTWORK),
    "panes": Material(59, *things.PANES_LOOK),
    "tyre": Material(59, *things.TYRE_LOOK),
    "cat": Material(65, "5c4a3a 262422 b8854d 9c9489", _FUR),
    "chair": Material(72, *things.CHAIR_LOOK),
    "cow": Material(98, "3a2a22 8c5a3a e0dad0", ((2, 2, 2, 0.9), (3, 3, 3, 0.8))),
    "table": Material(397, "8c6138 a8855c 472e1f", ((3, 0, 45, 0.35), (45, 0, 3, 0.35))),
    "dog": Material(113, "8c6a42 3d3128 cfc0a6 262426", _FUR),
    "horse": Material(207, "5c3420 3a2a20 8a8580 7a4a2a", _FUR),
    "motorbike": Material(258, "26262b 8c1f24 2b3d80 6e7278", _PAINTWORK),
    "motorbike tyre": Material(258, "1c1c1e", ((0, 8, 8, 0.3),)),
    "pot": Material(308, "a85c3d 8c8378 d9d2c4", ((0, 12, 0, 0.4),)),
    "foliage": Material(308, "4a7038 3d6b40 6e8c42", ((15, 15, 15, 0.6),)),
    "wool": Material(347, "d6cfbf c4b89f 8c8273", ((12, 12, 12, 0.4),)),
    "sofa": Material(368, *things.SOFA_LOOK),
    "train": Material(416, "c23a30 d9b52b 3a5c80 5c6e5c", ((0, 0.9, 0, 0.6), (0.7, 0.6, 0.7, 0.6))),
    "screen": Material(427, "141417 1f212b 527aa3", ((6, 6, 6, 0.6), (2, 2, 2, 0.3)), glow=0.2),
    "skin": Material(PERSON, "c79a80 8c6249 e0b89e 6b4a38", ((0, 0, 0, 0),)),
    "hair": Material(PERSON, "2b211c 5c4028 8c6d42 1c1c1e", ((60, 60, 60, 0.4),)),
    "shirt": Material(PERSON, "b83a3a 3a5ca8 d9d4c9 4d7a4d d9b03a 6b4a80", _CLOTH),
    "trousers": Material(PERSON, "2e3347 59514a 70757a 8c8060", _CLOTH),
    "shoes": Material(PERSON, "26221f d9d6d0 6b3a2a", ((0, 0, 0, 0),)),
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
