"""ONNX files and programs of torch.export give what the network gives, at several sizes, with its noise at zero."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.models import random_model

from dmtl.__main__ import main
from dmtl.errors import UserError
from dmtl.inference import export as export_module
from dmtl.inference.export import TOLERANCE, export
from dmtl.models import load_model

pytestmark = pytest.mark.usefixtures("narrow")
CELLS = ("nyud-onelabel-diffusion_prediction", "nyud-onelabel-diffusion_feature", "nyud-full-mtl_baseline")
CHECKED = [(cell, form) for cell in CELLS for form in ("onnx", "pt2")]
QUICK = {("nyud-onelabel-diffusion_prediction", "onnx")}
SIZES = ((1, 64, 96), (2, 96, 64), (3, 72, 104))


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    """torch.export notes each of its steps where somebody listens, and pytest does: that takes most of the time."""
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("cell", "form"), [pytest.param(*one, marks=[] if one in QUICK else [pytest.mark.long]) for one in CHECKED]
)
def test_a_file_gives_what_the_network_gives_at_any_size(cell: str, form: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="the extra export is not installed") if form == "onnx" else None
    if form == "onnx":
        pytest.importorskip("onnxscript", reason="the extra export is not installed")
    folder = random_model(tmp_path / "model", cell, (64, 96))
    done = export(folder, tmp_path / f"model.{form}", form)
    assert done.free == ("batch", "height", "width")
    assert done.difference <= TOLERANCE
    model = load_model(folder)
    for size in SIZES:
        images = torch.randn(size[0], 3, *size[1:], generator=torch.Generator().manual_seed(1))
        expected = model.predict(images, noise=0.0)["final"]
        if runtime:
            session = runtime.InferenceSession(done.file, providers=["CPUExecutionProvider"])
            names = [output.name for output in session.get_outputs()]
            found = dict(zip(names, session.run(names, {"images": images.numpy()}), strict=True))
        else:
            found = {task: maps.numpy() for task, maps in torch.export.load(done.file).module()(images).items()}
        assert set(found) == set(expected)
        for task, maps in expected.items():
            np.testing.assert_allclose(found[task], maps.numpy(), atol=1e-4, err_msg=f"{task} at {size}")


def test_the_command_says_what_it_wrote_and_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = random_model(tmp_path / "my_model", "nyud-full-constant", (32, 64))
    monkeypatch.chdir(tmp_path)
    main(["export", str(folder), "--format", "pt2"])
    assert capsys.readouterr().out.startswith("wrote my_model.pt2 (noise zero; takes ")
    assert (tmp_path / "my_model.pt2").is_file()


def test_an_onnx_file_says_how_to_normalise(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    folder = random_model(tmp_path / "model", "nyud-full-mtl_baseline", (32, 64))
    file = export(folder, tmp_path / "m.onnx", "onnx").file
    told = json.loads(onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map["dmtl"])
    assert (told["mean"], told["size"], told["tasks"]) == ([0.485, 0.456, 0.406], [32, 64], ["semseg", "depth", "normals"])


@pytest.mark.long
def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = random_model(tmp_path / "model", "nyud-full-mtl_baseline", (32, 64))
    write = export_module._write_pt2

    def wrong(*given: object) -> object:
        run = write(*given)  # type: ignore[arg-type]
        return lambda images: [maps + 0.01 for maps in run(images)]

    monkeypatch.setattr(export_module, "_write_pt2", wrong)
    with pytest.raises(UserError, match="would differ from the network by"):
        export(folder, tmp_path / "m.pt2", "pt2")
    assert not list(tmp_path.glob("*.pt2*"))
