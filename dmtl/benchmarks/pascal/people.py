"""The people of the synthetic snapshots: every part of a body that PASCAL-Part knows, in its own solids."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dmtl.benchmarks.pascal.subjects import CATALOGUE
from dmtl.benchmarks.shared.raycast import BALL, UPRIGHT, Round, Solid
from dmtl.benchmarks.shared.things import moved

LIMBS = ("luarm", "ruarm", "llarm", "rlarm", "lhand", "rhand", "luleg", "ruleg", "llleg", "rlleg", "lfoot", "rfoot")
PARTS = ("head", "hair", "neck", "torso", *LIMBS)
PART_LABELS = 1000  # the label of a solid of a person is this plus the index of its part
BLOBS = 4  # of a limb
LETTERS = {1: "l", -1: "r"}  # the sides of a body, from its back
HIP = 0.52  # its height, in shares of the whole
Vector = Sequence[float] | np.ndarray
Paints = Mapping[str, np.ndarray]  # (10,) each


def _blob(part: str, at: Vector, half: Vector, paint: np.ndarray, kind: Round = BALL) -> Solid:
    """A part, or a piece of one, around `at` (x, height, z) with these half sizes."""
    return Solid(PART_LABELS + PARTS.index(part), np.multiply(at, (1, -1, 1)), np.asarray(half), paint, kind)


def _limb(part: str, start: np.ndarray, end: np.ndarray, radius: float, paint: np.ndarray) -> list[Solid]:
    """A limb from `start` to `end` (x, height, z) as a row of overlapping ellipsoids."""
    step = (end - start) / (BLOBS - 1)
    half = radius + 0.55 * np.abs(step)
    return [_blob(part, start + k * step, half, paint) for k in range(BLOBS)]


def _way(side: int, out: float, swing: float) -> np.ndarray:
    """The unit vector (x, height, z) of a limb that hangs, turned outwards and then forwards by these angles."""
    return np.array([side * math.sin(out), -math.cos(out) * math.cos(swing), math.cos(out) * math.sin(swing)])


def build_person(rng: np.random.Generator) -> list[Solid]:
    """Somebody stout who stands or walks, of 1.5 to 1.9 metres, each part of the body in its own colour."""
    tall, broad = rng.uniform(1.5, 1.9), rng.uniform(1.4, 1.8)
    paints = {
        name: CATALOGUE.coat(rng, name).paint for name in ("skin", "hair", "shirt", "sleeve", "trousers", "stocking", "shoes")
    }
    solids = _trunk(tall, broad, paints)
    for side in (1, -1):
        solids += _arm(rng, side, tall, broad, paints)
        solids += _leg(rng, side, tall, broad, paints)
    lowest = min(-s.centre[1] - s.half[1] for s in solids)
    return moved(solids, 0, -lowest, 0)


def _trunk(tall: float, broad: float, paints: Paints) -> list[Solid]:
    hip = HIP * tall
    return [
        _blob("torso", (0, hip + 0.22 * tall, 0), np.array([0.115 * broad, 0.11, 0.07 * broad]) * tall, paints["shirt"]),
        _blob("torso", (0, hip + 0.13 * tall, 0), np.array([0.095 * broad, 0.12, 0.065 * broad]) * tall, paints["shirt"]),
        _blob("torso", (0, hip + 0.02 * tall, 0), np.array([0.1 * broad, 0.07, 0.07 * broad]) * tall, paints["trousers"]),
        _blob("neck", (0, hip + 0.33 * tall, 0), np.array([0.032, 0.035, 0.032]) * tall, paints["skin"], UPRIGHT),
        _blob("head", (0, hip + 0.41 * tall, 0.005), np.array([0.08, 0.09, 0.085]) * tall, paints["skin"]),
        _blob("hair", (0, hip + 0.435 * tall, -0.012 * tall), np.array([0.085, 0.075, 0.085]) * tall, paints["hair"]),
    ]


def _arm(rng: np.random.Generator, side: int, tall: float, broad: float, paints: Paints) -> list[Solid]:
    letter, shoulder = LETTERS[side], np.array([side * 0.115 * broad, 0.29, 0]) * tall
    shoulder[1] += HIP * tall
    out, swing = rng.uniform(0.1, 0.5), rng.normal(0.1, 0.5)
    if rng.random() < 0.15:
        out = rng.uniform(1.5, 2.6)  # the arm is raised
    elbow = shoulder + 0.165 * tall * _way(side, out, swing)
    wrist = elbow + 0.15 * tall * _way(side, out * 0.6, swing + rng.uniform(0, 1.2))
    return [
        *_limb(f"{letter}uarm", shoulder, elbow, 0.03 * tall * broad, paints["sleeve"]),
        *_limb(f"{letter}larm", elbow, wrist, 0.024 * tall * broad, paints["skin"]),
        _blob(f"{letter}hand", np.add(wrist, (0, -0.02 * tall, 0)), np.array([0.02, 0.035, 0.025]) * tall, paints["skin"]),
    ]


def _leg(rng: np.random.Generator, side: int, tall: float, broad: float, paints: Paints) -> list[Solid]:
    letter, thigh, swing = LETTERS[side], np.array([side * 0.055 * broad * tall, HIP * tall, 0]), rng.normal(0, 0.25)
    knee = thigh + 0.245 * tall * _way(side, 0.05, swing)
    ankle = knee + 0.235 * tall * _way(side, 0.02, swing - rng.uniform(0, 0.4))
    foot = np.add(ankle, (0, -0.02 * tall, 0.04 * tall))
    return [
        *_limb(f"{letter}uleg", thigh, knee, 0.048 * tall * broad, paints["trousers"]),
        *_limb(f"{letter}lleg", knee, ankle, 0.034 * tall * broad, paints["stocking"]),
        _blob(f"{letter}foot", foot, np.array([0.03, 0.03, 0.075]) * tall, paints["shoes"]),
    ]
