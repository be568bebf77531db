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

# Directions to the two lamps in the camera's frame (x right, y down, z away from it), their linear RGB, and what is everywhere
TO_LAMPS = np.array([(0.72, -0.6, -0.35), (-0.72, 0.2, -0.66)], np.float32)
LAMPS = np.array([(1.0, 0.8, 0.5), (0.4, 0.6, 0.9)], np.float32)
AMBIENT = np.float32(0.25)
HAZE = np.array([0.4, 0.48, 0.58], np.float32)[:, None, None]  # linear RGB


class View(NamedTuple):
    """What a camera sees of solids, per pixel.

    `depth` (H, W) in metres along the optical axis; `face` (H, W), 4 * solid + side; `local` (3, H, W), the points in their
    solids' own frames; `normal` (3, H, W), unit outward normals in the scene.
    """

    solids: list[Solid]
    camera: Camera
    depth: np.ndarray
    face: np.ndarray
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
    points = camera.origin.astype(np.float32)[:, None, None] + depth * rays(camera.axes, camera.u, camera.v)
    normal, local = surface(solids, face, points)
    return View(solids, camera, depth, face, local, normal)


def photograph(rng: np.random.Generator, view: View, haze: float) -> np.ndarray:
    """The image (H, W, 3) in [0, 1], easy to read on purpose: the demo's networks see a scene a few times only.

    The photographer's two lamps, one on each side and of different colours, show where a surface faces; haze, in which things
    lose all but 1 / e of their colour within `haze` metres, shows how far it is. There are no shadows.
    """
    paint = np.stack([s.paint for s in view.solids], 1)
    light = _albedo(paint, view.face, view.local) * (_lamplight(view) + paint[9].take(view.face // 4))
    light = HAZE + (light - HAZE) * np.exp(-view.depth / np.float32(haze))
    image = np.sqrt(light * np.float32(rng.uniform(0.9, 1.1)))
    image += np.float32(0.03) * (rng.random(image.shape, np.float32) - np.float32(0.5))
    return np.ascontiguousarray(image.clip(0, 1).transpose(1, 2, 0))


def _lamplight(view: View) -> np.ndarray:
    """Linear RGB (3, H, W) of Lambert's light from `LAMPS` and from everywhere."""
    share = np.tensordot(TO_LAMPS, view.camera_normal(), 1).clip(0)
    return AMBIENT + np.tensordot(LAMPS.T, share, 1)


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
