"""`dmtl.Predictor`: every form that an image may have, arrays with their units, and what is refused."""

import doctest
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.models import random_model
from PIL import Image

import dmtl
from dmtl.errors import UserError
from dmtl.inference import prediction, predictor

pytestmark = pytest.mark.usefixtures("narrow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(tmp_path_factory.mktemp("models") / "model", "nyud-onelabel-diffusion_prediction", (32, 64))


@pytest.fixture
def photo() -> np.ndarray:
    y, x = np.mgrid[:30, :40]
    return np.stack([5 * x, 7 * y, 3 * (x + y)], -1).astype(np.uint8)


@pytest.fixture
def predict(folder: Path) -> predictor.Predictor:
    return dmtl.Predictor(folder)


def test_examples_run(folder: Path, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo).save("photo.png")
    for module, least in ((predictor, 4), (prediction, 2)):
        result = doctest.testmod(module, extraglobs={"model_folder": folder, "photo": photo})
        assert (result.failed, result.attempted >= least) == (0, True)


def test_every_form_of_an_image_gives_the_same(predict: predictor.Predictor, photo: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photo).save(tmp_path / "image 0.png")  # the name that an image without one gets, so that noise is equal
    tensor = torch.from_numpy(photo).permute(2, 0, 1)
    forms = [str(tmp_path / "image 0.png"), tmp_path / "image 0.png", Image.fromarray(photo), tensor, tensor / 255, [photo]]
    expected = predict(photo)
    assert set(expected) == {"semseg", "depth", "normals"}
    for form in forms:
        found = predict(form)
        one = found[0] if isinstance(form, list) else found
        for task, values in expected.items():
            np.testing.assert_array_equal(one[task], values)


def test_lists_may_mix_forms_and_sizes_and_their_order_is_kept(
    predict: predictor.Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "AT_A_TIME", 2)
    images = [photo, Image.fromarray(photo[:11]), photo[:, :, 0], photo[:9, :7]]
    found = predict(images)
    assert [one["depth"].shape for one in found] == [(30, 40), (11, 40), (30, 40), (9, 7)]
    np.testing.assert_allclose(found[0]["depth"], predict([photo])[0]["depth"], atol=1e-4)


def test_arrays_have_names_units_and_classes(predict: predictor.Predictor, photo: np.ndarray) -> None:
    found = predict(photo)
    assert found.units == {"semseg": "class number", "depth": "m", "normals": "unit vector"}
    assert found["semseg"].max() < len(found.classes["semseg"]) == 13
    np.testing.assert_allclose(np.linalg.norm(found["normals"], axis=-1), 1, atol=1e-5)
    assert set(found.initial) == set(found)
    assert "depth: 30x40 float32, m" in repr(found)


def test_it_shows_and_saves(
    predict: predictor.Predictor, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, shown = predict(photo), []
    monkeypatch.setattr(Image.Image, "show", lambda sheet: shown.append(sheet))
    found.show()
    assert [sheet.size for sheet in shown] == [found.sheet().size]
    assert found.save(tmp_path / "made", alpha=0.5) == tmp_path / "made"
    over = np.asarray(Image.open(tmp_path / "made" / "overlay" / "depth.png")).astype(int)
    expected = (found.picture("depth").astype(int) + photo) / 2
    assert np.abs(over - expected).max() <= 0.5
    np.testing.assert_array_equal(np.load(tmp_path / "made" / "predictions.npz")["final/depth"], found["depth"])


def test_some_tasks_alone(folder: Path, photo: np.ndarray, tmp_path: Path) -> None:
    found = dmtl.Predictor(folder, tasks=["depth"])(photo)
    assert list(found) == ["depth"]
    assert {path.name for path in found.save(tmp_path).rglob("*.png")} == {"sheet.png", "depth.png"}
    with pytest.raises(UserError, match="no task 'dept'; did you mean 'depth'"):
        dmtl.Predictor(folder, tasks=["dept"])
    with pytest.raises(UserError, match="device 'cuda:9' cannot be used"):
        dmtl.Predictor(folder, device="cuda:9")


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((4, 5, 3), np.float32), TypeError),
        (np.zeros((3, 4, 5), np.uint8), ValueError),
        (np.zeros((0, 5, 3), np.uint8), ValueError),
        (torch.zeros(4, 5, 3), ValueError),
        (torch.full((3, 4, 5), -1.0), ValueError),
        (torch.full((3, 4, 5), torch.nan), ValueError),
        (torch.zeros(3, 4, 5, dtype=torch.int64), TypeError),
        (7, TypeError),
    ],
)
def test_what_is_no_image_is_refused(predict: predictor.Predictor, image: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        predict(image)  # type: ignore[call-overload]


def test_a_network_refuses_what_is_not_normalised(folder: Path, photo: np.ndarray) -> None:
    model = dmtl.load_model(folder)
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None]
    with pytest.raises(TypeError, match=r"normalised floats, but are torch\.uint8"):
        model.predict(pixels)
    with pytest.raises(ValueError, match="must be normalised, but reach from 0 to"):
        model.predict(pixels.float())
    with pytest.raises(ValueError, match=r"must be \(B, 3, H, W\)"):
        model.predict(pixels[0] / 255)
    with pytest.warns(UserWarning, match="not normalised"):
        model.predict(pixels / pixels.max())
    assert model.predict(pixels / 127.5 - 1)["final"]["depth"].shape == (1, 1, 30, 40)
