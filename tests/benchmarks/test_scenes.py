"""What is true of all synthetic scenes: a tree is reproducible and can be interrupted."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from dmtl.benchmarks.cityscapes import streets
from dmtl.benchmarks.nyud import rooms
from dmtl.benchmarks.pascal import encode, scenes
from dmtl.benchmarks.shared import scene
from dmtl.benchmarks.shared.raycast import pinhole
from dmtl.benchmarks.shared.things import Coat, make_solid
from dmtl.files import replacing

FILES = {
    rooms: lambda split, k: [f"{split}/{name}/{k}.npy" for name in ("image", "label", "depth", "normal")],
    streets: lambda split, k: [f"{split}/{name}/{k}.npy" for name in ("image", "label_7", "depth")],
    scenes: encode.names,
}
every = pytest.mark.parametrize("module", FILES, ids=lambda module: module.__name__.rpartition(".")[2])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[ModuleType, dict[str, bytes]]:
    """Three training scenes of each kind, made by one process."""
    return {module: made(module, tmp_path_factory.mktemp("whole"), "train", 3, seed=0, workers=1) for module in FILES}


def made(module: ModuleType, folder: Path, split: str, count: int, **options: int) -> dict[str, bytes]:
    """The files of scenes, without the lists of them."""
    module.write_tree(folder, split, count, **options)
    return {name: content for name, content in read(folder).items() if not name.startswith("ImageSets")}


def read(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@every
def test_a_scene_depends_on_seed_split_and_number_alone(module: ModuleType, whole: dict, tmp_path: Path) -> None:
    assert set(whole[module]) == {name for k in range(3) for name in FILES[module]("train", k)}
    fewer = made(module, tmp_path / "fewer", "train", 2, seed=0, workers=2)
    assert fewer == {name: whole[module][name] for k in range(2) for name in FILES[module]("train", k)}
    other_seed = made(module, tmp_path / "seed", "train", 1, seed=1)
    other_split = made(module, tmp_path / "split", "val", 1, seed=0)
    photo, second = (FILES[module]("train", k)[0] for k in range(2))
    photos = {fewer[photo], fewer[second], other_seed[photo], other_split[FILES[module]("val", 0)[0]]}
    assert len(photos) == 4


@every
def test_an_interrupted_tree_goes_on(module: ModuleType, whole: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = iter(range(100))

    @contextmanager
    def interrupted(path: Path) -> Iterator[Path]:
        with replacing(path) as temporary:
            yield temporary
            if next(files) == 7:  # in the midst of a scene
                temporary.write_bytes(b"half a fi")
                raise KeyboardInterrupt

    monkeypatch.setattr(scene, "replacing", interrupted)
    with pytest.raises(KeyboardInterrupt):
        module.write_tree(tmp_path, "train", 3, seed=0, workers=1)
    monkeypatch.undo()
    written = read(tmp_path)
    assert len(written) == 7
    assert written == {name: whole[module][name] for name in written}
    users = sorted(written)[0]
    (tmp_path / users).write_bytes(b"the user's own")
    assert made(module, tmp_path, "train", 3, seed=0) == {**whole[module], users: b"the user's own"}


def wall_seen(distance: float, yaw: float = 0.0) -> np.ndarray:
    """The mean colour (3,) of a red wall, turned by `yaw`, in haze of 5 metres."""
    coat = Coat(0, np.array([0.5, 0.1, 0.1, 0.5, 0.1, 0.1, 0, 0, 0, 0], np.float32))
    wall = make_solid(0, -500, distance, (1000, 1000, 0.001), coat)._replace(yaw=yaw)
    camera = pinhole(np.zeros(3), np.eye(3), (8, 8), 40, 40, 3.5, 3.5)
    return scene.photograph(np.random.default_rng(0), scene.look_at([wall], camera), haze=5).mean((0, 1))


def test_haze_shows_how_far_a_surface_is() -> None:
    away = [np.abs(wall_seen(metres) - wall_seen(200)).max() for metres in (1, 3, 6, 12)]
    assert all(near > 1.3 * far for near, far in pairwise(away))


def test_lamps_show_where_a_surface_faces() -> None:
    right, ahead, left = (wall_seen(1, yaw) for yaw in (-0.8, 0.0, 0.8))  # the sides that the photographer sees
    warmth = [colour[0] / colour[2] for colour in (right, ahead, left)]
    assert abs(warmth[0] - warmth[2]) > 0.2
    assert min(warmth[0], warmth[2]) < warmth[1] < max(warmth[0], warmth[2])
