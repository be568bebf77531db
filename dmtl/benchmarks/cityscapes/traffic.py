"""What stands in the synthetic streets, and the class of each material. Things face +z."""

from dmtl.benchmarks.shared import things
from dmtl.benchmarks.shared.raycast import BALL, UPRIGHT, WHEEL
from dmtl.benchmarks.shared.things import Catalogue, Material, Part, Thing, block

FLAT, CONSTRUCTION, OBJECT, NATURE, SKY, HUMAN, VEHICLE = range(7)
UNLABELLED = -1

MATERIALS = {
    "road": Material(FLAT, "6a5a72", ((0.25, 0, 0.1, 0.25), (3, 0, 3, 0.1), (0.3, 0, 0.02, 0.3))),
    "pavement": Material(FLAT, "8a7a92", ((1.5, 0, 1.5, 0.3), (3, 0, 3, 0.3))),
    "marking": Material(FLAT, "b0a0b8", ((2, 0, 2, 0.1),)),
    "facade": Material(
        CONSTRUCTION,
        "c08050",
        ((0.5, 0.35, 0.5, 0.7), (0.35, 0.6, 0.35, 0.7), (0.8, 0.3, 0.8, 0.5)),
    ),
    "lawn": Material(NATURE, "4c9a30", ((4, 0, 4, 0.4),)),
    "leaves": Material(NATURE, "3d8c29", ((3, 3, 3, 0.6), (5, 5, 5, 0.6))),
    "trunk": Material(NATURE, *things.TRUNK_LOOK),
    "pole": Material(OBJECT, "e8d020", ((0, 2, 0, 0.2),)),
    "sign": Material(OBJECT, "f0e020", ((6, 6, 0, 0.6),), glow=0.1),
    "clothes": Material(HUMAN, "e01048", ((0, 3, 0, 0.4), (8, 8, 8, 0.3))),
    "skin": Material(HUMAN, "f08090", ((0, 0, 0, 0),)),
    "body": Material(VEHICLE, "2040c8", ((0, 0, 0, 0), (0, 1.2, 0, 0.2))),
    "panes": Material(VEHICLE, *things.PANES_LOOK),
    "tyre": Material(VEHICLE, *things.TYRE_LOOK),
    "clouds": Material(SKY, "c9d9ec", ((0.02, 0.03, 0.02, 0.15), (0, 0.06, 0, 0.1)), glow=1.3),
    "bin": Material(UNLABELLED, "4f5a4a", ((2, 2, 2, 0.3),)),
}


THINGS = {
    "car": things.CAR._replace(parts=(*things.CAR.parts, Part("panes", 0.35, 0.38, 0.5, 0.2, 0.12, 0.01))),
    "van": Thing((2.0, 2.2, 4.8), (2.4, 3.2, 7.5), (
        *(Part("tyre", 0.43, 0, z, 0.12, 0.28, 0.12, WHEEL) for z in (-0.3, 0.34)),
        Part("body", 0, 0.13, -0.1, 1, 0.87, 0.8), Part("body", 0, 0.13, 0.4, 0.94, 0.62, 0.2),
        Part("panes", 0, 0.45, 0.41, 0.96, 0.26, 0.19),
    )),
    "person": Thing((0.45, 1.55, 0.3), (0.6, 1.9, 0.4), (
        Part("clothes", 0.18, 0, 0, 0.3, 0.5, 0.45, UPRIGHT), Part("clothes", 0, 0.45, 0, 0.72, 0.4, 0.7, BALL),
        Part("clothes", 0.4, 0.44, 0, 0.2, 0.37, 0.3, UPRIGHT), Part("skin", 0, 0.86, 0, 0.36, 0.14, 0.6, BALL),
    )),
    "rider": Thing((0.5, 1.65, 1.6), (0.6, 1.8, 1.8), (
        *(Part("tyre", 0, 0, z, 0.08, 0.37, 0.36, WHEEL) for z in (-0.32, 0.32)),
        Part("body", 0, 0.3, 0, 0.08, 0.06, 0.6), Part("clothes", 0.2, 0.15, 0, 0.2, 0.4, 0.12, UPRIGHT),
        Part("clothes", 0, 0.48, 0.02, 0.7, 0.38, 0.2, BALL), Part("skin", 0, 0.86, 0.05, 0.36, 0.14, 0.12, BALL),
    )),
    "tree": Thing((2.5, 5, 2.5), (5, 10, 5), things.TREE_PARTS),
    "hedge": Thing((1, 0.9, 6), (1.6, 1.8, 14), block("leaves")),
    "sign": Thing((0.6, 2.4, 0.08), (0.9, 3.2, 0.1), (
        Part("pole", 0, 0, 0, 0.14, 1, 0.9, UPRIGHT), Part("sign", 0, 0.74, 0.6, 1, 0.25, 0.4),
    )),
    "lights": Thing((0.35, 3.0, 0.3), (0.4, 3.6, 0.35), (
        Part("pole", 0, 0, 0, 0.3, 1, 0.35, UPRIGHT), Part("pole", 0, 0.68, 0.4, 0.9, 0.3, 0.8),
        Part("sign", 0, 0.7, 0.85, 0.6, 0.24, 0.1),
    )),
    "lamp": Thing((0.5, 6, 0.5), (0.6, 9, 0.6), (
        Part("pole", 0, 0, 0, 0.3, 1, 0.3, UPRIGHT), Part("pole", 0, 0.97, 0, 2.4, 0.02, 0.6),
    )),
    "post": Thing((0.12, 0.8, 0.12), (0.16, 1.1, 0.16), block("pole", UPRIGHT)),
    "bin": Thing((0.5, 0.9, 0.5), (1.2, 1.3, 1), block("bin")),
}  # fmt: skip
CATALOGUE = Catalogue(MATERIALS, THINGS)
