"""A small ray caster: what a pinhole camera sees of boxes, ellipsoids and cylinders.

Coordinates of a scene: metres, x and z along the ground, y down, the ground at y = 0. The camera looks along its own z, x to the
right and y down.
"""

import math
from itertools import product
from typing import NamedTuple

import numpy as np

CORNERS = np.array(list(product((-1, 1), repeat=3)))
Round = tuple[bool, bool, bool]  # which axes of a solid are round
BOX: Round = (False, False, False)
BALL: Round = (True, True, True)
UPRIGHT: Round = (True, False, True)  # a cylinder along y
WHEEL: Round = (False, True, True)  # along x
ALONG: Round = (True, True, False)  # along z


class Solid(NamedTuple):
    """A box, or an ellipsoid, or a cylinder, as none, all or two of its axes are `round`, turned by yaw about y.

    `label` is its class; `centre` (3,) is in the scene, `half` (3,) are its half sizes; `paint` (10,) is two linear RGB colours,
    cells a metre of the texture that mixes them, the light it gives by itself; `thing` is the number of what it belongs to.
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


def pinhole(origin: np.ndarray, axes: np.ndarray, size: tuple[int, int], fx: float, fy: float, cx: float, cy: float) -> Camera:
    """A camera of `size` = (height, width) pixels, its focal lengths and centre in pixels too."""
    u, v = (np.arange(size[1]) - cx) / fx, (np.arange(size[0]) - cy) / fy
    return Camera(origin, axes, u.astype(np.float32), v.astype(np.float32))


def rotation(yaw: float) -> np.ndarray:
    """Rotation (3, 3) from own axes to the scene's: own z goes to (sin yaw, 0, cos yaw)."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def turned_axes(yaw: float, pitch: float, roll: float = 0) -> np.ndarray:
    """Axes (3, 3) of a camera that looks along (sin yaw, 0, cos yaw), then turns down by `pitch` and to the right by `roll`."""
    (c, s), (ct, st), (cr, sr) = ((math.cos(a), math.sin(a)) for a in (yaw, pitch, roll))
    right, down, forward = np.array([c, 0, -s]), np.array([-st * s, ct, -st * c]), np.array([ct * s, st, ct * c])
    return np.stack([cr * right + sr * down, cr * down - sr * right, forward])


def axes_toward(forward: np.ndarray) -> np.ndarray:
    """Axes (3, 3) of an upright camera that looks along `forward`, a unit vector that is not vertical."""
    right = np.cross([0, 1, 0], forward) / np.hypot(forward[0], forward[2])
    return np.stack([right, np.cross(forward, right), forward])


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
