"""What the synthetic rooms are furnished with, and the class of each material. Things have their back to -z."""

from dmtl.benchmarks.shared import things
from dmtl.benchmarks.shared.raycast import BALL, UPRIGHT
from dmtl.benchmarks.shared.things import Catalogue, Material, Part, Thing, block, table_parts

BED, BOOKS, CEILING, CHAIR, FLOOR, FURNITURE, OBJECTS, PICTURE, SOFA, TABLE, TV, WALL, WINDOW = range(13)
UNLABELLED = -1

_BED = Material(BED, "3355cc", ((4, 0, 4, 0.4), (12, 0, 0, 0.5), (60, 60, 60, 0.15)))
_FURNITURE = Material(FURNITURE, "e0a030", ((2, 50, 2, 0.3), (50, 2, 50, 0.3)))
_OBJECT = Material(OBJECTS, "66cc33", ((12, 12, 12, 0.4), (0, 20, 0, 0.5), (80, 80, 80, 0.2)))
_PICTURE = Material(PICTURE, "8833cc", ((9, 9, 9, 0.9), (5, 14, 5, 0.9)))
_TV = Material(TV, "141418", ((6, 6, 6, 0.6), (2, 2, 2, 0.3)))
_WALL = Material(WALL, "c4bfb2", ((30, 30, 30, 0.08), (8, 0, 8, 0.15), (0, 0, 0, 0)))
_WINDOW = Material(WINDOW, "66ddff", ((1.5, 2.5, 1.5, 0.5), (0, 25, 0, 0.4)))
MATERIALS = {
    "bedstead": _BED,
    "mattress": _BED,
    "blanket": _BED,
    "book": Material(BOOKS, "cc33aa", ((0, 14, 0, 0.5), (0, 30, 0, 0.3))),
    "ceiling": Material(CEILING, "f2f2e0", ((40, 0, 40, 0.05), (1.6, 0, 1.6, 0.08))),
    "chair": Material(CHAIR, *things.CHAIR_LOOK),
    "floor": Material(
        FLOOR,
        "8a5a2b",
        ((9, 0, 0.8, 0.6), (0.8, 0, 9, 0.6), (2.5, 0, 2.5, 0.5), (70, 0, 70, 0.3)),
    ),
    "front": _FURNITURE,
    "carcass": _FURNITURE,
    "object": _OBJECT,
    "unlabelled object": _OBJECT._replace(label=UNLABELLED),
    "mirror": _OBJECT,
    "lampshade": _OBJECT._replace(glow=0.3),
    "frame": _PICTURE,
    "picture": _PICTURE,
    "sofa": Material(SOFA, *things.SOFA_LOOK),
    "table": Material(TABLE, "ee6611", ((3, 0, 45, 0.35), (45, 0, 3, 0.35))),
    "tv": _TV,
    "screen": _TV._replace(glow=0.1),
    "wall": _WALL,
    "door": _WALL,
    "sash": _WINDOW,
    "pane": _WINDOW._replace(glow=0.3),
    "curtain": _WINDOW,
}

BOARDS = (0.03, 0.27, 0.51, 0.75, 0.985)  # heights of a shelf's, in shares of its height
_TABLE = table_parts(0.05, 0.07)
_CABINET = (Part("front", 0, 0.96, 0.02, 1, 0.04, 1.06), Part("carcass", 0, 0, 0, 0.98, 0.96, 0.98))
_DOORS = (Part("front", 0.25, 0.05, 0.5, 0.47, 0.88, 0.06),)
_DRAWERS = tuple(Part("front", 0.25, up, 0.5, 0.47, 0.2, 0.06) for up in (0.05, 0.28, 0.51, 0.74))


def _framed(frame: str, content: str, least: tuple[float, float], most: tuple[float, float]) -> Thing:
    """A flat thing on the wall: a frame and what it frames."""
    return Thing((*least, 0.04), (*most, 0.04), (*block(frame), Part(content, 0, 0.05, 0.5, 0.92, 0.9, 0.2)))


THINGS = {
    "bed": Thing((1.0, 0.9, 1.9), (1.8, 1.2, 2.1), (
        Part("bedstead", 0, 0, 0, 1, 0.28, 1), Part("bedstead", 0, 0, -0.5, 1.05, 1, 0.03),
        Part("mattress", 0, 0.28, 0.01, 0.98, 0.22, 0.96), Part("blanket", 0, 0.2, 0.18, 1.03, 0.33, 0.64),
        Part("object", 0.25, 0.47, -0.35, 0.44, 0.18, 0.2, BALL),
    )),
    "sofa": Thing((1.3, 0.75, 0.85), (2.2, 0.9, 1.0), (
        *things.SOFA_PARTS, Part("object", 0.3, 0.57, -0.16, 0.2, 0.4, 0.2, BALL),
    )),
    "chair": things.CHAIR,
    "desk": Thing((1.0, 0.72, 0.6), (1.6, 0.76, 0.75), _TABLE),
    "table": Thing((1.1, 0.72, 0.75), (1.8, 0.76, 1.0), _TABLE),
    "low_table": Thing((0.8, 0.4, 0.5), (1.2, 0.5, 0.7), (*_TABLE, Part("table", 0, 0.3, 0, 0.9, 0.05, 0.9))),
    "cabinet": Thing((0.6, 0.75, 0.4), (1.6, 1.2, 0.6), _CABINET + _DOORS),
    "drawers": Thing((0.6, 0.7, 0.4), (1.2, 1.2, 0.5), _CABINET + _DRAWERS),
    "wardrobe": Thing((0.8, 1.8, 0.5), (1.6, 2.2, 0.65), _CABINET + _DOORS),
    "cupboard": Thing((0.6, 0.5, 0.3), (1.8, 0.8, 0.4), _CABINET + _DOORS),
    "shelf": Thing((0.7, 1.3, 0.25), (1.2, 2.1, 0.35), (
        Part("front", 0.49, 0, 0, 0.03, 1, 1), Part("carcass", 0, 0, -0.48, 1, 1, 0.04),
        *(Part("front", 0, up, 0, 1, 0.015, 1) for up in BOARDS),
    )),
    "stand": Thing((0.9, 1.1, 0.4), (1.4, 1.3, 0.5), (
        Part("front", 0, 0, 0, 1, 0.42, 1), Part("front", 0.25, 0.03, 0.5, 0.47, 0.36, 0.04),
        Part("tv", 0, 0.44, 0, 0.85, 0.54, 0.1), Part("screen", 0, 0.46, 0.06, 0.81, 0.5, 0.02),
    )),
    "lamp": Thing((0.25, 1.4, 0.25), (0.4, 1.8, 0.4), (
        Part("object", 0, 0, 0, 0.7, 0.02, 0.7, UPRIGHT), Part("object", 0, 0, 0, 0.1, 0.85, 0.1, UPRIGHT),
        Part("lampshade", 0, 0.82, 0, 1, 0.18, 1, UPRIGHT),
    )),
    "crate": Thing((0.3, 0.2, 0.25), (0.7, 0.7, 0.6), block("object")),
    "rug": Thing((1.2, 0.003, 1.0), (2.4, 0.003, 1.8), block("floor")),
    "curtains": Thing((1.2, 1.4, 0.06), (2.2, 1.7, 0.06), (
        Part("pane", 0, 0.1, -0.2, 0.8, 0.85, 0.1), Part("curtain", 0.41, 0, 0.2, 0.2, 1, 0.6),
    )),
    "window": _framed("sash", "pane", (0.7, 0.9), (1.6, 1.3)),
    "picture": _framed("frame", "picture", (0.3, 0.3), (1.1, 0.8)),
    "screen": _framed("tv", "screen", (0.8, 0.5), (1.3, 0.75)),
    "mirror": _framed("object", "mirror", (0.5, 0.6), (1.2, 1.0)),
    "door": _framed("wall", "door", (0.8, 1.95), (0.95, 2.1)),
}  # fmt: skip
CATALOGUE = Catalogue(MATERIALS, THINGS)
