"""The authors' network is ours: the outputs of their code for the same weights, and a strict import."""

import csv
import pickle
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from dmtl import load_model
from dmtl.__main__ import main
from dmtl.benchmarks import benchmark
from dmtl.errors import UserError
from dmtl.inference.official import SCHEDULE, import_official, released_network, their_name
from dmtl.inference.predictor import Predictor
from dmtl.models import hollow, read_description


def _keys(shared_data: Path) -> dict[str, tuple[int, ...]]:
    """Tensor name -> shape of the released state dict."""
    with (shared_data / "official_checkpoint" / "keys.tsv").open() as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if row]
    return {name: () if shape == "scalar" else tuple(map(int, shape.split("x"))) for name, shape, _ in rows}


def _weights(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The weights that the stored outputs belong to (README of the data folder)."""
    if key.endswith("num_batches_tracked") or key.rpartition(".")[2] in SCHEDULE:
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
    torch.save(
        {"model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-5}]}, "epoch": 99}, tmp_path / "released.pth"
    )
    del state
    import_official(tmp_path / "released.pth", tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "model.safetensors"]
    assert read_description(tmp_path / "model")["cell"] == "pascal-onelabel-diffusion_feature"
    channel, y, x = np.mgrid[:3, :128, :128]
    image = torch.from_numpy(np.sin(0.11 * x + 0.07 * y * (channel + 1) + channel).astype(np.float32))
    final = load_model(tmp_path / "model").predict(image[None], noise=0.0)["final"]
    assert Predictor(tmp_path / "model").size == (512, 512)
    expected = np.load(shared_data / "official_checkpoint" / "outputs_128.npz")
    ours_of = {theirs: ours for ours, theirs in benchmark("pascal").authors_names.items()}
    assert len(expected.files) == 5
    for name in expected.files:
        ours = final[ours_of.get(name, name)][0, :, ::4, ::4].numpy()
        assert ours.shape == expected[name].shape
        assert np.abs(ours - expected[name]).max() <= 1e-4 * np.abs(expected[name]).max(), name


@pytest.fixture(scope="module")
def released(shared_data: Path) -> dict[str, torch.Tensor]:
    """A released state dict whose tensors take no memory."""
    return {f"module.{key}": torch.zeros(()).expand(shape) for key, shape in _keys(shared_data).items()}


def test_every_tensor_has_a_place_on_both_sides(shared_data: Path) -> None:
    ours = hollow(released_network()).state_dict()
    expected = {their_name(name): tuple(value.shape) for name, value in ours.items()}
    schedule = {f"diffusion_model.{name}": (2,) for name in SCHEDULE}
    assert expected | schedule == _keys(shared_data)
    assert len(expected) == len(ours)


def test_the_tasks_are_the_benchmarks() -> None:
    """What `evaluate` asks of a folder: the tasks of a PASCAL shard, in its order."""
    assert list(released_network().outputs.items()) == list(benchmark("pascal").outputs.items())


BIAS = "module.backbone_embed.bias"
BETAS = "module.diffusion_model.betas"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop(BIAS), r"misses backbone_embed\.bias \(1 missing, 0 extra\)"),
        (lambda s: s.pop(BETAS), r"misses diffusion_model\.betas \(1 missing, 0 extra\)"),
        (lambda s: s.update({"module.head.weight": torch.zeros(1)}), r"has an extra head\.weight \(0 missing, 1 extra\)"),
        (lambda s: s.update({"module.trunk.fuse.bias": torch.zeros(512)}), r"has an extra trunk\.fuse\.bias"),  # a name of ours
        (lambda s: s.update({"head": s.pop(BIAS)}), r"misses backbone_embed\.bias and has an extra head \(1 missing, 1 extra\)"),
        (lambda s: s.update({BIAS: torch.zeros(7)}), r"backbone_embed\.bias has shape \(7,\), but \(512,\)"),
        (lambda s: s.update({BETAS: torch.zeros(3)}), r"diffusion_model\.betas has shape \(3,\), but \(2,\)"),
        (lambda s: s.update({"backbone_embed.bias": torch.zeros(512)}), "names a tensor twice"),
        (lambda s: s.clear(), r"misses backbone\.bn1\.bias"),
        (lambda s: s.update({BIAS: "text"}), "no state dict under 'model'"),
    ],
)
def test_another_content_is_refused_by_name(released: dict, tmp_path: Path, change: object, message: str) -> None:
    state = dict(released)
    change(state)  # type: ignore[operator]
    torch.save({"model": state}, tmp_path / "file.pth")
    with pytest.raises(UserError, match=message) as caught:
        import_official(tmp_path / "file.pth", tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "file.pth") in str(caught.value)
    assert not (tmp_path / "model").exists()


class _Call:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("called"),))


def _refusal(file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the command ends."""
    with pytest.raises(SystemExit) as ended, warnings.catch_warnings(record=True) as noted:
        main(["import-official", str(file), "--out", str(file.with_name("model"))])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert not noted
    assert str(file) in said
    assert not file.with_name("model").exists()
    return said


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_pickle_that_calls_something_is_refused_unrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], write: object
) -> None:
    monkeypatch.chdir(tmp_path)
    write({"model": _Call()}, tmp_path / "file.pth")  # type: ignore[operator]
    assert "holds more than tensors" in _refusal(tmp_path / "file.pth", capsys)
    assert not Path("called").exists()


@pytest.mark.parametrize("kept", [0.0, 0.0001, 0.3, 0.98, 0.9999])
@pytest.mark.parametrize("as_zip", [True, False])
def test_a_truncated_file_is_refused(
    released: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: float, as_zip: bool
) -> None:
    """In torch's format since 1.6, and in the one before."""
    torch.save({"model": released}, tmp_path / "file.pth", _use_new_zipfile_serialization=as_zip)
    content = (tmp_path / "file.pth").read_bytes()
    (tmp_path / "file.pth").write_bytes(content[: int(kept * len(content))])
    assert "file.pth is truncated" in _refusal(tmp_path / "file.pth", capsys)


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "file.pth is missing" in _refusal(tmp_path / "file.pth", capsys)
