"""The authors' network is ours: the outputs of their code for the same weights, and a strict import."""

import csv
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from dmtl import load_model
from dmtl.errors import UserError
from dmtl.official import TASKS, import_official, our_name
from dmtl.predict import Predictor

SCHEDULE = ("alphas", "betas", "posterior", "lvlb", "logvar")


def _keys(shared_data: Path) -> dict[str, tuple[int, ...]]:
    """Tensor name -> shape of the released state dict."""
    with (shared_data / "official_checkpoint" / "keys.tsv").open() as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if row]
    return {name: () if shape == "scalar" else tuple(map(int, shape.split("x"))) for name, shape, _ in rows}


def _weights(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The weights that the stored outputs belong to (README of the data folder)."""
    if key.endswith("num_batches_tracked") or any(word in key for word in SCHEDULE):
        return torch.zeros(shape, dtype=torch.int64 if key.endswith("tracked") else torch.float32)
    a = np.random.RandomState(zlib.crc32(key.encode())).uniform(-1, 1, shape)
    if key.endswith("running_var"):
        a = 1 + 0.5 * a
    elif key.endswith("running_mean"):
        a = 0.1 * a
    elif len(shape) >= 2:
        a = a * np.sqrt(6 / np.prod(shape[1:]))
    else:
        a = 1 + 0.1 * a if key.endswith("weight") else 0.05 * a
    return torch.from_numpy(np.asarray(a, np.float32))


def test_the_authors_outputs_are_reproduced(shared_data: Path, tmp_path: Path) -> None:
    """Released checkpoint -> import -> load -> predict without noise: 1e-4 of the largest value."""
    state = {f"module.{key}": _weights(key, shape) for key, shape in _keys(shared_data).items()}
    torch.save({"model": state}, tmp_path / "released.pth")
    del state
    import_official(tmp_path / "released.pth", tmp_path / "model")
    channel, y, x = np.mgrid[:3, :128, :128]
    image = torch.from_numpy(np.sin(0.11 * x + 0.07 * y * (channel + 1) + channel).astype(np.float32))
    final = load_model(tmp_path / "model").predict(image[None], noise=0.0)["final"]
    assert Predictor.load(tmp_path / "model").size == (512, 512)
    expected = np.load(shared_data / "official_checkpoint" / "outputs_128.npz")
    assert len(expected.files) == 5
    for name in expected.files:
        ours = final[TASKS.get(name, name)][0, :, ::4, ::4].numpy()
        assert ours.shape == expected[name].shape
        assert np.abs(ours - expected[name]).max() <= 1e-4 * np.abs(expected[name]).max(), name


@pytest.fixture(scope="module")
def hollow(shared_data: Path) -> dict[str, torch.Tensor]:
    """A released state dict whose tensors take no memory."""
    return {f"module.{key}": torch.zeros(()).expand(shape) for key, shape in _keys(shared_data).items()}


def test_every_released_tensor_has_a_place(shared_data: Path) -> None:
    names = [our_name(key) for key in _keys(shared_data) if not any(word in key for word in SCHEDULE)]
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith(("diffusion_model", "preliminary", "backbone"))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("module.backbone_embed.bias"), r"misses trunk\.fuse\.bias \(1 missing, 0 extra\)"),
        (lambda s: s.update({"module.head.weight": torch.zeros(1)}), r"has an extra head\.weight"),
        (lambda s: s.update({"module.backbone_embed.bias": torch.zeros(7)}), r"trunk\.fuse\.bias has shape \(7,\), but \(512,\)"),
        (lambda s: s.clear(), r"misses condition\.fuse\.bias"),
        (lambda s: s.update({"module.backbone_embed.bias": "text"}), "no state dict under 'model'"),
    ],
)
def test_another_content_is_refused_by_name(hollow: dict, tmp_path: Path, change: object, message: str) -> None:
    state = dict(hollow)
    change(state)  # type: ignore[operator]
    torch.save({"model": state}, tmp_path / "file.pth")
    with pytest.raises(UserError, match=message) as caught:
        import_official(tmp_path / "file.pth", tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


class _Call:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("called"),))


def test_a_pickle_that_calls_something_is_refused_unrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": _Call()}, "file.pth")
    with pytest.raises(UserError, match="truncated or holds more than tensors"):
        import_official(Path("file.pth"), Path("model"))
    assert not Path("called").exists()


@pytest.mark.parametrize("size", [0, 10, 3000])
def test_a_truncated_file_is_refused(hollow: dict, tmp_path: Path, size: int) -> None:
    torch.save({"model": hollow}, tmp_path / "file.pth")
    content = (tmp_path / "file.pth").read_bytes()
    (tmp_path / "file.pth").write_bytes(content[:size])
    with pytest.raises(UserError, match=r"file\.pth is truncated"):
        import_official(tmp_path / "file.pth", tmp_path / "model")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"file\.pth is missing"):
        import_official(tmp_path / "file.pth", tmp_path / "model")
