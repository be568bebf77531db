"""A small ray caster for synthetic scenes, whose image, classes, depth and normals all agree, and their tree of npy files.

A scene is a list of solids (boxes, ellipsoids, cylinders) in the scene's coordinates: metres, x and z along the ground, y down,
the ground at y = 0. The camera looks along its own z, x to the right and y down.
"""

import contextlib
import math
import multiprocessing
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from dmtl.files import replacing

CORNERS = np.array(list(product((-1, 1), repeat=3)))
Round = tuple[bool, bool, bool]  # which axes of a solid are round
BOX, UPRIGHT, BALL = (False, False, False), (True, False, True), (True, True, True)
# Of a class the usual colours (sRGB), and textures: cells a metre along x, y, z, and how much the cells differ.
Look = tuple[str, tuple[tuple[float, float, float, float], ...]]


class Solid(NamedTuple):
    """A box, or an ellipsoid, or a cylinder, as none, all or two of its axes are `round`, turned by yaw about y.

    `centre` (3,) is in the scene, `half` (3,) are its half sizes; `paint` (10,) is two linear RGB colours, cells a metre of the
    texture that mixes them, the light it gives by itself; `thing` is the number of what it belongs to.
    """

    label: int
    centre: np.ndarray
    half: np.ndarray
    paint: np.ndarray
    round: Round = BOX
    yaw: float = 0.0
    thing: int = 0


class Camera(NamedTuple):
    """At `origin` (3,); `axes` (3, 3): right, down, forward; `u` (W,), `v` (H,): tangents of the angles to columns and rows."""

    origin: np.ndarray
    axes: np.ndarray
    u: np.ndarray
    v: np.ndarray


def rotation(yaw: float) -> np.ndarray:
    """Rotation (3, 3) from own axes to the scene's: own z goes to (sin yaw, 0, cos yaw)."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def rays(axes: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Directions (3, h, w) in the frame that `axes` are given in, of forward part 1: lengths along them are z-depths."""
    right, down, forward = axes.astype(np.float32)[..., None]
    rays = (right * u)[:, None, :] + (down * v + forward)[:, :, None]
    np.copyto(rays, 1e-9, where=rays == 0)  # planes divide by it
    return rays


def _windows(solids: list[Solid], turns: np.ndarray, camera: Camera) -> np.ndarray:
    """Rows and columns (top, bottom, left, right) that may show each solid, (N, 4): all where it reaches behind the camera."""
    corners = np.einsum("nij,ncj->nci", turns, CORNERS * np.stack([s.half for s in solids])[:, None])
    x, y, z = np.moveaxis((corners + np.stack([s.centre - camera.origin for s in solids])[:, None]) @ camera.axes.T, 2, 0)
    rows, columns = (np.searchsorted(t, k / np.maximum(z, 0.05)) for t, k in ((camera.v, y), (camera.u, x)))
    windows = np.stack([rows.min(1), rows.max(1), columns.min(1), columns.max(1)], 1)
    windows[(z < 0.05).any(1)] = (0, len(camera.v), 0, len(camera.u))
    windows[(z < 0.05).all(1)] = 0
    return windows


def _meet(solid: Solid, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depths (h, w) where rays (3, h, w) from `origin`, in the solid's own frame, enter and leave it (NaN, or entry beyond exit,
    where they miss), and the side entered: 0, 1, 2 flat, across x, y, z; 3 round.
    """
    flat, curved = ([k for k in range(3) if solid.round[k] == kind] for kind in (False, True))
    half = solid.half.astype(np.float32)
    middle, reach = -origin[flat, None, None] / rays[flat], half[flat, None, None] / np.abs(rays[flat])
    near, far = [*(middle - reach)], [*(middle + reach)]
    if curved:  # scaled to the unit ball
        d, o = rays[curved] / half[curved, None, None], origin[curved] / half[curved]
        a, b = (d * d).sum(0), (d * o[:, None, None]).sum(0)
        root = np.sqrt(b * b - a * (o @ o - 1))
        near, far = [*near, (-b - root) / a], [*far, (-b + root) / a]
    enter, leave, side = near[0], far[0], np.full(rays.shape[1:], [*flat, 3][0], np.int32)
    for k, a, b in zip([*flat, 3][1:], near[1:], far[1:], strict=False):
        np.copyto(side, k, where=a > enter)
        enter, leave = np.maximum(enter, a), np.minimum(leave, b)
    return enter, leave, side


def trace(solids: list[Solid], camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) float32 in metres, infinite where nothing is, and the face met, 4 * solid + side, (H, W) int32, else -1."""
    size = len(camera.v), len(camera.u)
    depth, face = np.full(size, np.inf, np.float32), np.full(size, -1, np.int32)
    turns = np.stack([rotation(s.yaw) for s in solids])
    for n, (solid, (top, bottom, left, right)) in enumerate(zip(solids, _windows(solids, turns, camera), strict=True)):
        if top < bottom and left < right:
            window = slice(top, bottom), slice(left, right)
            origin = ((camera.origin - solid.centre) @ turns[n]).astype(np.float32)
            with np.errstate(invalid="ignore"):
                enter, leave, side = _meet(solid, origin, rays(camera.axes @ turns[n], camera.u[window[1]], camera.v[window[0]]))
                hit = (enter <= leave) & (enter > 0) & (enter < depth[window])
            np.copyto(depth[window], enter, where=hit)
            np.copyto(face[window], 4 * n + side, where=hit)
    return depth, face


def surface(solids: list[Solid], face: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit outward normals (3, H, W) in the scene, and the points (3, H, W) in their solids' own frames."""
    which = face // 4
    x, y, z = points - np.stack([s.centre for s in solids], 1).astype(np.float32).take(which, 1)
    c, s = np.array([(math.cos(s.yaw), math.sin(s.yaw)) for s in solids], np.float32).T.take(which, 1)
    own = np.stack([c * x - s * z, y, s * x + c * z])
    weight = np.zeros((3, len(solids), 4), np.float32)  # weight * own is the gradient of the face's equation
    weight[[0, 1, 2], :, [0, 1, 2]] = 1
    weight[:, :, 3] = np.stack([np.array(s.round) / s.half**2 for s in solids], 1)
    nx, ny, nz = own * weight.reshape(3, -1).take(face, 1)
    normal = np.stack([c * nx + s * nz, ny, c * nz - s * nx])
    return normal / np.sqrt((normal * normal).sum(0)), own


def albedo(paint: np.ndarray, face: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Linear RGB (3, H, W): the colours of each solid's paint (10, N), mixed by a random number for each cell of its texture."""
    which, cells = face // 4, np.repeat(paint[6:9, :, None], 4, 2)
    cells[[0, 1, 2], :, [0, 1, 2]] = 0  # a flat side lies in one plane: rounding must not choose the cell across it
    x, y, z = np.floor(own * cells.reshape(3, -1).take(face, 1)).astype(np.int32)
    mixed = (x * 73856093 ^ y * 19349663 ^ z * 83492791 ^ which * 49979687).view(np.uint32)
    mixed = (mixed ^ (mixed >> 15)) * np.uint32(0x2C1B3C6D)
    low, high = paint[:3].take(which, 1), paint[3:6].take(which, 1)
    return low + (high - low) * ((mixed >> 16).astype(np.float32) / 65535)


def photograph(rng: np.random.Generator, albedo: np.ndarray, shade: np.ndarray, glow: np.ndarray) -> np.ndarray:
    """The image (H, W, 3) in [0, 1] from linear colours (3, H, W), the light that falls on them and that they give, (H, W)."""
    light = albedo * (shade * rng.normal((1.04, 1.0, 0.94), 0.04).astype(np.float32)[:, None, None] + glow)
    light[:, 1:] = 0.65 * light[:, 1:] + 0.35 * light[:, :-1]  # the lens is a little soft
    light[:, :, 1:] = 0.65 * light[:, :, 1:] + 0.35 * light[:, :, :-1]
    light *= np.float32(rng.uniform(0.2, 0.35)) / light.mean()
    v, u = (np.linspace(-1, 1, n, dtype=np.float32) for n in glow.shape)
    image = np.sqrt(light) * (1 - np.float32(rng.uniform(0.05, 0.15)) * (u * u + (v * v)[:, None]))
    image += np.float32(rng.uniform(0.04, 0.08)) * (rng.random(image.shape, np.float32) - np.float32(0.5))
    return np.ascontiguousarray(image.clip(0, 1).transpose(1, 2, 0))


def edges(values: np.ndarray, reach: int, gap: float) -> np.ndarray:
    """Pixels (H, W) that differ by more than `gap` from one `reach` or fewer rows or columns away."""
    edge = np.zeros(values.shape, bool)
    for k, (a, b) in product(range(1, reach + 1), ((values, edge), (values.T, edge.T))):
        apart = np.abs(a[k:] - a[:-k]) > gap
        b[k:] |= apart
        b[:-k] |= apart
    return edge


def patches(rng: np.random.Generator, size: tuple[int, int], share: float) -> np.ndarray:
    """Random blocks (H, W), 36 to the height, that cover about `share` of the image."""
    v, u = (np.arange(n) * 36 // size[0] for n in size)
    return (rng.random((v[-1] + 1, u[-1] + 1)) < share)[v][:, u]


def mix_paint(rng: np.random.Generator, look: Look, glow: float = 0, any_other: bool = False) -> np.ndarray:
    """A paint (10,) of a class's look, varied; its second colour is a darker shade of the first, or with `any_other` any."""
    colours, textures = look
    base = np.frombuffer(bytes.fromhex(colours), np.uint8).reshape(-1, 3)
    low = (base[rng.integers(len(base))] / 255 * rng.uniform(0.75, 1.15) + rng.normal(0, 0.05, 3)).clip(0.03, 0.97) ** 2
    *cells, contrast = textures[rng.integers(len(textures))]
    other = rng.uniform(0.05, 0.9, 3) ** 2 if any_other else low * rng.uniform(0.2, 0.6)
    texture = np.array(cells) * rng.uniform(0.7, 1.4)
    return np.array([*low, *(low + contrast * (other - low)), *texture, glow], np.float32)


def make_solid(label: int, x: float, up: float, z: float, size: np.ndarray, paint: np.ndarray, kind: Round = BOX) -> Solid:
    """A solid of full size (width, height, depth) that stands at height `up` above (x, z)."""
    return Solid(label, np.array([x, -up - size[1] / 2, z]), size / 2, paint, kind)


def assemble(size: np.ndarray, parts: Iterable[Sequence[Any]]) -> list[Solid]:
    """A thing of `size` (3,) metres at the origin.

    A part is (label, paint, x, up, z, width, height, depth, and which axes are round if any), in shares of the size; where x is
    not 0, there is another at -x.
    """
    return [
        make_solid(label, side * x * size[0], up * size[1], z * size[2], np.array([w, h, d]) * size, paint, *kind)
        for label, paint, x, up, z, w, h, d, *kind in parts
        for side in ((1, -1) if x else (1,))
    ]


def moved(solids: Iterable[Solid], x: float, up: float, z: float, yaw: float = 0.0) -> list[Solid]:
    """The solids shifted, then turned about the vertical through the origin."""
    turn = rotation(yaw)
    return [s._replace(centre=turn @ np.add(s.centre, (x, -up, z)), yaw=s.yaw + yaw) for s in solids]


Render = Callable[[np.random.Generator], dict[str, np.ndarray]]


def _write_scene(folder: Path, split: str, seed: int, render: Render, k: int) -> None:
    """Render scene k and write those of its files that are missing, each whole or not at all."""
    sample = render(np.random.default_rng(np.random.SeedSequence((seed, zlib.crc32(split.encode()), k))))
    for name, array in sample.items():
        path = folder / split / name / f"{k}.npy"
        if not path.exists():
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, array)


def write_tree(
    folder: Path, split: str, count: int, seed: int, arrays: tuple[str, ...], render: Render, workers: int | None = None
) -> None:
    """Write scenes 0 to count - 1 as MTAN's tree, `folder/split/<array>/{k}.npy`, in `workers` processes.

    Scene k depends on (seed, split, k) alone. Files that exist stay as they are, so an interrupted call goes on where it was, and
    a second process at the same folder does no harm.

    Args:
        folder: the tree's root.
        split: `train` or `val`.
        count: how many scenes.
        seed: of the scenes.
        arrays: what `render` gives.
        render: draws a scene; a function that can be sent to another process.
        workers: None takes every core, but one for a few scenes.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    missing = [k for k in range(count) if not all((folder / split / name / f"{k}.npy").exists() for name in arrays)]
    workers = min(os.cpu_count() or 1, len(missing) // 16) if workers is None else min(workers, len(missing))
    write = partial(_write_scene, folder, split, seed, render)
    with contextlib.ExitStack() as stack:
        done: Iterable[None] = map(write, missing)
        if workers > 1:  # spawned: the fork of a process that holds torch's threads can hang
            pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
            stack.callback(pool.shutdown, cancel_futures=True)
            done = pool.map(write, missing, chunksize=4)
        for _ in tqdm(done, f"scenes {split}", len(missing), disable=None):
            pass
