"""Maps and their pictures: fixed colours that people can tell apart, and nothing lost on the way."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from dmtl import pictures
from dmtl.benchmarks.raw import benchmark_module
from dmtl.data.transforms import hide_invalid
from dmtl.evaluation import maps
from dmtl.tasks import IGNORE

SIZE = (12, 17)
CASES = [(b, t, c) for b in ("nyud", "cityscapes", "pascal") for t, c in benchmark_module(b).TASKS.items()]
# Linear RGB as seen with full protanopia, deuteranopia and tritanopia (Machado, Oliveira and Fernandes 2009).
DEFICIENCIES = np.array(
    [
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
)


def _logits(channels: int) -> np.ndarray:
    return np.random.default_rng(channels).normal(0, 3, (channels, *SIZE)).astype(np.float32)


def _label(benchmark: str, task: str, channels: int) -> np.ndarray:
    """A made-up label `(1 or 3, H, W)` with its upper left corner not labelled."""
    rng = np.random.default_rng(7)
    if task == "normals":
        label = rng.normal(size=(3, *SIZE))
        label /= np.linalg.norm(label, axis=0)
    elif task == "depth":
        label = rng.uniform(0.01, maps.depth_range(benchmark).high, (1, *SIZE))
    else:
        label = rng.integers(0, max(2, channels), (1, *SIZE))
    label[:, :4, :5] = 0 if task in ("normals", "depth") else IGNORE
    return hide_invalid({task: torch.from_numpy(label.astype(np.float32))})[task].numpy()


@pytest.mark.parametrize(("benchmark", "task", "channels"), CASES)
def test_predictions_labels_and_errors_have_pictures(benchmark: str, task: str, channels: int) -> None:
    prediction = maps.decode(task, _logits(channels))
    label = maps.decode_label(task, _label(benchmark, task, channels))
    error = maps.error(task, prediction, label)
    assert error.shape == SIZE
    shown = [pictures.picture(benchmark, task, prediction), pictures.picture(benchmark, task, label)]
    shown.append(pictures.error_picture(benchmark, task, error))
    hatch = set(pictures.HATCH)
    for picture, hatched in zip(shown, (False, True, True), strict=True):
        assert picture.shape == (*SIZE, 3)
        assert picture.dtype == np.uint8
        corner = set(map(tuple, picture[:4, :5].reshape(-1, 3).tolist()))
        assert (corner == hatch) == hatched
    assert len({picture.tobytes() for picture in shown}) == 3
    assert not pictures.error_picture(benchmark, task, maps.error(task, prediction, prediction)).max() > 4  # no error is black


@pytest.mark.parametrize(("benchmark", "task", "channels"), CASES)
def test_one_byte_keeps_a_map_to_half_a_step(benchmark: str, task: str, channels: int) -> None:
    for values in (maps.decode(task, _logits(channels)), maps.decode_label(task, _label(benchmark, task, channels))):
        codes = maps.to_bytes(benchmark, task, values)
        again = maps.from_bytes(benchmark, task, codes)
        assert codes.dtype == np.uint8
        np.testing.assert_array_equal(maps.to_bytes(benchmark, task, again), codes)
        step = {"classes": 0, "probability": 1 / 254, "depth": maps.depth_range(benchmark).high / 254, "normals": 1 / 127.5}
        clipped = np.clip(values, None, maps.depth_range(benchmark).high) if task == "depth" else values
        np.testing.assert_allclose(again, clipped, rtol=0, atol=0.51 * step[maps.kind(task)])  # NaN stays NaN


def test_a_prediction_is_decoded_as_it_is_scored() -> None:
    two, one, three = _logits(2), _logits(1), _logits(3)
    np.testing.assert_allclose(maps.decode("saliency", two), torch.from_numpy(two).softmax(0)[1], atol=1e-6)
    np.testing.assert_allclose(maps.decode("boundary", one), torch.from_numpy(one).sigmoid()[0], atol=1e-6)
    np.testing.assert_array_equal(maps.decode("depth", one), one[0].clip(0))
    np.testing.assert_array_equal(maps.decode("semseg", _logits(13)), _logits(13).argmax(0))
    label = maps.decode_label("normals", _label("nyud", "normals", 3))
    found, valid = maps.error("normals", maps.decode("normals", three), label), ~np.isnan(label[..., 0])
    prediction = torch.from_numpy(three).permute(1, 2, 0)[torch.from_numpy(valid)]
    expected = _angles(prediction, torch.from_numpy(label[valid]))
    np.testing.assert_allclose(found[valid], expected, atol=0.01)
    assert np.isnan(found[~valid]).all()
    assert np.isfinite(maps.decode("boundary", np.array([[[-1e30, 1e30]]], np.float32))).all()


def _angles(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    cosine = torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=-1)
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).numpy()


def _nearest_two(colours: np.ndarray) -> float:
    """The smallest CIELAB distance of two colours `(N, 3)` for any of the four kinds of eyes."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ DEFICIENCIES.transpose(0, 2, 1), 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055))
    apart = np.linalg.norm(lab[:, :, None] - lab[:, None], axis=-1).min(0)
    return float(apart[~np.eye(len(colours), dtype=bool)].min())


def test_colours_can_be_told_apart_with_a_colour_deficiency() -> None:
    assert _nearest_two(pictures.palette("nyud", "semseg")[:13] / 255) > 27
    assert _nearest_two(pictures.palette("pascal", "human_parts")[:7] / 255) > 16
    scale = pictures.picture("nyud", "depth", np.linspace(0, 10, 12, dtype=np.float32)[None])[0]
    assert _nearest_two(scale / 255) > 4
    wrong = pictures.error_picture("nyud", "semseg", np.array([[0, 1]], np.uint8))[0]
    assert _nearest_two(wrong / 255) > 50


def test_well_known_colours() -> None:
    voc = pictures.palette("pascal", "semseg")
    expected = {0: (0, 0, 0), 1: (128, 0, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {k: tuple(voc[k].tolist()) for k in expected} == expected
    sky = dict(pictures.legend("cityscapes", "semseg").entries)["sky"]
    assert sky == "#4682b4"


@pytest.mark.parametrize(("benchmark", "task", "channels"), CASES)
def test_legends_name_everything(benchmark: str, task: str, channels: int) -> None:
    about, wrong = pictures.legend(benchmark, task), pictures.error_legend(benchmark, task)
    if task in ("semseg", "human_parts"):
        assert len(about.entries) == channels == len(pictures.class_names(benchmark, task))
        colours = pictures.picture(benchmark, task, np.arange(channels, dtype=np.uint8)[None])[0]
        assert [c for _, c in about.entries] == ["#" + bytes(c.tolist()).hex() for c in colours]
        assert [name for name, _ in wrong.entries] == ["right", "wrong"]
    else:
        assert bool(about.entries) != bool(about.stops)
        assert len(wrong.stops) == pictures.STOPS
        assert wrong.low == "0"
    if task == "depth":
        assert maps.depth_range(benchmark).unit in about.high
        assert maps.depth_range(benchmark).unit in wrong.high
    if task == "normals":
        assert "60 degrees" in wrong.high
