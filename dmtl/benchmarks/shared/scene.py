"""How a synthetic scene is seen, lit, photographed and written, so that photo, classes, depth and normals agree."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dmtl.benchmarks.shared.raycast import Camera, Solid, rays, surface, trace
from dmtl.files import replacing
from dmtl.parallel import in_order


class View(NamedTuple):
    """What a camera sees of solids, per pixel.

    `depth` (H, W) in metres along the optical axis; `face` (H, W), 4 * solid + side; `points` (3, H, W) in the scene and `local`
    (3, H, W) in their solids' own frames; `normal` (3, H, W), unit outward normals in the scene.
    """

    solids: list[Solid]
    camera: Camera
    depth: np.ndarray
    face: np.ndarray
    points: np.ndarray
    local: np.ndarray
    normal: np.ndarray

    def per_pixel(self, values: Sequence[float], kind: type[np.generic] | None = None) -> np.ndarray:
        """Values of the solids (N, ...) -> of the pixels (H, W)."""
        return np.array(values, kind).take(self.face // 4)

    def camera_normal(self) -> np.ndarray:
        """Normals (3, H, W) in the camera's frame: x right, y down, z away from it."""
        return np.tensordot(self.camera.axes.astype(np.float32), self.normal, 1)


def look_at(solids: list[Solid], camera: Camera) -> View:
    """The view of solids that close in the camera, so that every ray meets one."""
    depth, face = trace(solids, camera)
    points = column(camera.origin) + depth * rays(camera.axes, camera.u, camera.v)
    normal, local = surface(solids, face, points)
    return View(solids, camera, depth, face, points, local, normal)


def column(vector: np.ndarray) -> np.ndarray:
    """A vector (3,) as float32 (3, 1, 1), to go with (3, H, W)."""
    return vector.astype(np.float32)[:, None, None]


def lit(view: View, lamp: np.ndarray, axes: np.ndarray, reach: float, texels: int, gap: float, dark: float) -> np.ndarray:
    """The share (H, W) of a lamp's light that reaches the points: `dark` in shadow, else 1, by a depth map seen from the lamp.

    Args:
        view: the points.
        lamp: where it is (3,).
        axes: of the depth map, as a camera's.
        reach: the tangent of the angle to each of its borders, beyond which nothing is in shadow.
        texels: of each side of the depth map.
        gap: metres that whatever casts a shadow lies nearer to the lamp.
        dark: the share of the light that is left in shadow.
    """
    tangents = (np.linspace(-1, 1, texels) * reach).astype(np.float32)
    depth, caster = trace(view.solids, Camera(lamp, axes, tangents, tangents))
    x, y, z = np.tensordot(axes.astype(np.float32), view.points - column(lamp), 1)
    u, v = (np.rint((k / np.maximum(z, 0.05) / reach + 1) / 2 * (texels - 1)).clip(-1, texels).astype(np.int32) for k in (x, y))
    inside = (np.minimum(u, v) >= 0) & (np.maximum(u, v) < texels)
    u, v = u * inside, v * inside
    shadow = inside & (caster[v, u] // 4 != view.face // 4) & (depth[v, u] < z - gap)
    return np.where(shadow, np.float32(dark), np.float32(1))


def daylight(view: View, sun: np.ndarray) -> np.ndarray:
    """Lambert's share (H, W) of the light from the direction `sun` (3,), a unit vector."""
    return np.tensordot(sun.astype(np.float32), view.normal, 1).clip(0)


def photograph(rng: np.random.Generator, view: View, shade: np.ndarray) -> np.ndarray:
    """The image (H, W, 3) in [0, 1] under the light `shade` (H, W), with a camera's colour cast, blur, vignette and noise."""
    paint = np.stack([s.paint for s in view.solids], 1)
    cast = column(rng.normal((1.04, 1.0, 0.94), 0.04))
    light = _albedo(paint, view.face, view.local) * (shade * cast + paint[9].take(view.face // 4))
    light[:, 1:] = 0.65 * light[:, 1:] + 0.35 * light[:, :-1]  # the lens is a little soft
    light[:, :, 1:] = 0.65 * light[:, :, 1:] + 0.35 * light[:, :, :-1]
    light *= np.float32(rng.uniform(0.2, 0.35)) / light.mean()
    v, u = (np.linspace(-1, 1, n, dtype=np.float32) for n in shade.shape)
    image = np.sqrt(light) * (1 - np.float32(rng.uniform(0.05, 0.15)) * (u * u + (v * v)[:, None]))
    image += np.float32(rng.uniform(0.04, 0.08)) * (rng.random(image.shape, np.float32) - np.float32(0.5))
    return np.ascontiguousarray(image.clip(0, 1).transpose(1, 2, 0))


def _albedo(paint: np.ndarray, face: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Linear RGB (3, H, W): the colours of each solid's paint (10, N), mixed by a random number for each cell of its texture."""
    which, cells = face // 4, np.repeat(paint[6:9, :, None], 4, 2)
    cells[[0, 1, 2], :, [0, 1, 2]] = 0  # a flat side lies in one plane: rounding must not choose the cell across it
    x, y, z = np.floor(local * cells.reshape(3, -1).take(face, 1)).astype(np.int32)
    mixed = (x * 73856093 ^ y * 19349663 ^ z * 83492791 ^ which * 49979687).view(np.uint32)
    mixed = (mixed ^ (mixed >> 15)) * np.uint32(0x2C1B3C6D)
    low, high = paint[:3].take(which, 1), paint[3:6].take(which, 1)
    return low + (high - low) * ((mixed >> 16).astype(np.float32) / 65535)


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


Content = bytes | np.ndarray  # of a file; an array is an npy file's
Names = Callable[[str, int], list[str]]  # of the files of scene k of a split, relative to the tree
Draw = Callable[[np.random.Generator, str, int], Iterable[Content]]  # scene k of a split: what those files hold
Render = Callable[[np.random.Generator], dict[str, np.ndarray]]


def write_tree(folder: Path, split: str, count: int, seed: int, names: Names, draw: Draw, workers: int | None = None) -> None:
    """Write scenes 0 to count - 1 of a split, in `workers` processes.

    Scene k depends on (seed, split, k) alone. Files that exist stay as they are, so an interrupted call goes on where it was, and
    a second process at the same folder does no harm.

    Args:
        folder: the tree's root.
        split: `train` or `val`.
        count: how many scenes.
        seed: of the scenes.
        names: the files of a scene.
        draw: draws a scene; like `names` a function that can be sent to another process.
        workers: None takes every core, but one for a few scenes.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    missing = [k for k in range(count) if not all((folder / name).exists() for name in names(split, k))]
    for _ in in_order(partial(_write_scene, folder, split, seed, names, draw), missing, f"scenes {split}", workers):
        pass


def write_arrays(
    folder: Path, split: str, count: int, seed: int, arrays: tuple[str, ...], render: Render, workers: int | None = None
) -> None:
    """`write_tree` of MTAN's layout, `folder/split/<array>/{k}.npy`, where `render` gives the arrays by name."""
    write_tree(folder, split, count, seed, partial(_array_names, arrays), partial(_draw_arrays, arrays, render), workers)


def _array_names(arrays: tuple[str, ...], split: str, k: int) -> list[str]:
    return [f"{split}/{name}/{k}.npy" for name in arrays]


def _draw_arrays(arrays: tuple[str, ...], render: Render, rng: np.random.Generator, split: str, k: int) -> list[np.ndarray]:
    sample = render(rng)
    return [sample[name] for name in arrays]


def _write_scene(folder: Path, split: str, seed: int, names: Names, draw: Draw, k: int) -> None:
    """Draw scene k and write those of its files that are missing."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, zlib.crc32(split.encode()), k)))
    for name, content in zip(names(split, k), draw(rng, split, k), strict=True):
        if not (folder / name).exists():
            write_file(folder / name, content)


def write_file(path: Path, content: Content) -> None:
    """Write a file whole or not at all.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, content) if isinstance(content, np.ndarray) else file.write(content)
