"""Things made of solids: what they are made of, how large they are, their parts.

Things are modelled at the origin, standing on the ground. A benchmark's `Catalogue` says which class each material has; what
several benchmarks show stands here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dmtl.benchmarks.shared.raycast import BALL, BOX, UPRIGHT, WHEEL, Round, Solid, rotation

Size = tuple[float, float, float]  # width, height, depth in metres
Textures = tuple[tuple[float, float, float, float], ...]


class Coat(NamedTuple):
    """One mix of a material: its class and its paint (10,), as a solid has them."""

    label: int
    paint: np.ndarray


class Material(NamedTuple):
    """What things are made of: its class and its look.

    Attributes:
        label: the class of whatever is made of it.
        colours: the usual ones, sRGB.
        textures: the usual ones: cells a metre along x, y, z, and how much the cells differ.
        glow: the light it gives by itself.
    """

    label: int
    colours: str
    textures: Textures
    glow: float = 0


class Part(NamedTuple):
    """A solid of a thing: material, place of the middle of its underside, and size, both in shares of the thing's size; which
    axes are round. Where x is not 0, there is another at -x.
    """

    material: str
    x: float
    up: float
    z: float
    width: float
    height: float
    depth: float
    round: Round = BOX


class Thing(NamedTuple):
    """Its least and greatest size, and its parts."""

    least: Size
    most: Size
    parts: tuple[Part, ...]


class Catalogue(NamedTuple):
    """The materials and things of a benchmark, by name."""

    materials: Mapping[str, Material]
    things: Mapping[str, Thing]

    def coat(self, rng: np.random.Generator, material: str) -> Coat:
        """A random mix of a material."""
        label, colours, textures, glow = self.materials[material]
        base = np.frombuffer(bytes.fromhex(colours), np.uint8).reshape(-1, 3)
        low = (base[rng.integers(len(base))] / 255 * rng.uniform(0.9, 1.1) + rng.normal(0, 0.02, 3)).clip(0.03, 0.97) ** 2
        *cells, contrast = textures[rng.integers(len(textures))]
        other = low * rng.uniform(0.6, 0.8)
        texture = np.array(cells) * rng.uniform(0.7, 1.4)
        return Coat(label, np.array([*low, *(low + contrast * (other - low)), *texture, glow], np.float32))

    def build(self, rng: np.random.Generator, name: str, size: np.ndarray | None = None) -> list[Solid]:
        """A thing at the origin, of random `size` (3,) if not given; all its parts of one material share their paint."""
        thing = self.things[name]
        size = rng.uniform(thing.least, thing.most) if size is None else size
        coats = {part.material: self.coat(rng, part.material) for part in thing.parts}
        return [
            make_solid(side * x * size[0], up * size[1], z * size[2], np.multiply(share, size), coats[material], kind)
            for material, x, up, z, *share, kind in thing.parts
            for side in ((1, -1) if x else (1,))
        ]


def make_solid(x: float, up: float, z: float, size: Sequence[float] | np.ndarray, coat: Coat, kind: Round = BOX) -> Solid:
    """A solid of full size (width, height, depth) that stands at height `up` above (x, z)."""
    half = np.asarray(size) / 2
    return Solid(coat.label, np.array([x, -up - half[1], z]), half, coat.paint, kind)


def moved(solids: Iterable[Solid], x: float, up: float, z: float) -> list[Solid]:
    """The solids shifted."""
    return [s._replace(centre=np.add(s.centre, (x, -up, z))) for s in solids]


def turned(solids: Iterable[Solid], yaw: float) -> list[Solid]:
    """The solids turned about the vertical through the origin."""
    return [s._replace(centre=rotation(yaw) @ s.centre, yaw=s.yaw + yaw) for s in solids]


def numbered(solids: Iterable[Solid], thing: int) -> list[Solid]:
    """The solids, as parts of the thing of that number."""
    return [s._replace(thing=thing) for s in solids]


def sky(coat: Coat, ahead: float, behind: float, beside: float, middle: float, length: float, height: float) -> list[Solid]:
    """Four far walls, `length` metres wide and `height` high, those beside centred at z = `middle`, and the lid on them."""
    across, along = (length, height, 1), (1, height, length)
    places = ((0, ahead, across), (-beside, middle, along), (beside, middle, along), (0, behind, across))
    walls = [make_solid(x, -10, z, size, coat) for x, z, size in places]
    return [*walls, make_solid(0, height - 20, middle, (length, 1, length), coat)]


# Looks that several benchmarks use: colours, textures, glow.
CHAIR_LOOK = ("cc2222", ((50, 3, 50, 0.3), (60, 60, 60, 0.2)))
SOFA_LOOK = ("118877", ((50, 50, 50, 0.25), (7, 0, 7, 0.3)))
TRUNK_LOOK = ("4d3d2e 5c4a38", ((8, 3, 8, 0.4),))
PANES_LOOK = ("2b333b 39434d", ((2, 3, 1, 0.4),), 0.05)
TYRE_LOOK = ("1c1c1e", ((0, 4, 4, 0.3),))

CHAIR = Thing((0.42, 0.85, 0.42), (0.55, 1.0, 0.5), (
    Part("chair", 0, 0.45, 0, 1, 0.06, 1), Part("chair", 0, 0.62, -0.46, 1, 0.38, 0.08),
    Part("chair", 0.45, 0, 0.45, 0.08, 0.46, 0.08), Part("chair", 0.45, 0, -0.46, 0.08, 0.8, 0.08),
))  # fmt: skip
CAR = Thing((1.7, 1.4, 3.8), (1.9, 1.6, 4.7), (
    *(Part("tyre", 0.43, 0, z, 0.12, 0.42, 0.15, WHEEL) for z in (-0.31, 0.31)),
    Part("body", 0, 0.17, 0, 1, 0.42, 1), Part("panes", 0, 0.58, -0.05, 0.88, 0.36, 0.5),
    Part("body", 0, 0.94, -0.05, 0.86, 0.06, 0.48),
))  # fmt: skip
SOFA_PARTS = (
    Part("sofa", 0, 0.06, 0, 1, 0.34, 0.98), Part("sofa", 0, 0.1, -0.38, 0.9, 0.9, 0.24),
    Part("sofa", 0.45, 0, 0, 0.1, 0.75, 1), Part("sofa", 0.2, 0.41, 0.1, 0.39, 0.17, 0.76),
)  # fmt: skip
TREE_PARTS = (
    Part("trunk", 0, 0, 0, 0.07, 0.5, 0.07, UPRIGHT),
    Part("leaves", 0, 0.3, 0, 1, 0.7, 1, BALL), Part("leaves", 0.22, 0.28, 0.2, 0.6, 0.42, 0.6, BALL),
)  # fmt: skip


def table_parts(leg_width: float, leg_depth: float) -> tuple[Part, ...]:
    """Four legs and a top."""
    legs = (Part("table", 0.46, 0, z, leg_width, 0.95, leg_depth) for z in (-0.44, 0.44))
    return (*legs, Part("table", 0, 0.95, 0, 1, 0.05, 1))


def block(material: str, round: Round = BOX) -> tuple[Part, ...]:
    """One solid, as large as the thing."""
    return (Part(material, 0, 0, 0, 1, 1, 1, round),)
