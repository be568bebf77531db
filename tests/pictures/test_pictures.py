"""Maps and their pictures: fixed colours that people can tell apart, and nothing lost on the way."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from dmtl.benchmarks import all_benchmarks, benchmark
from dmtl.pictures import colours as pictures
from dmtl.tasks import IGNORE, Task, kind_of

SIZE = (12, 17)
TASKS = [pytest.param(task, id=f"{one.name}-{task.name}") for one in all_benchmarks() for task in one.tasks]
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


def _label(task: Task) -> np.ndarray:
    """A made-up label `(1 or C, H, W)` with its upper left corner not labelled."""
    rng = np.random.default_rng(7)
    if task.kind.name == "normals":
        label = rng.normal(size=(3, *SIZE))
        label /= np.linalg.norm(label, axis=0)
    elif task.kind.continuous:
        label = rng.uniform(0.01, task.high, (1, *SIZE))
    else:
        label = rng.integers(0, max(2, task.channels), (1, *SIZE))
    label[:, :4, :5] = 0 if task.kind.continuous else IGNORE
    return task.kind.hide_invalid(torch.from_numpy(label.astype(np.float32))).numpy()


def _decoded(task: Task, logits: np.ndarray) -> np.ndarray:
    return task.kind.to_map(task.kind.decode(torch.from_numpy(logits)).numpy())


@pytest.mark.parametrize("task", TASKS)
def test_predictions_labels_and_errors_have_pictures(task: Task) -> None:
    kind = task.kind
    prediction, label = _decoded(task, _logits(task.channels)), kind.label_map(_label(task))
    error = kind.error(prediction, label)
    assert error.shape == SIZE
    shown = [kind.picture(task, prediction), kind.picture(task, label)]
    shown.append(kind.error_picture(task, error))
    hatch = set(pictures.HATCH)
    for picture, hatched in zip(shown, (False, True, True), strict=True):
        assert picture.shape == (*SIZE, 3)
        assert picture.dtype == np.uint8
        corner = set(map(tuple, picture[:4, :5].reshape(-1, 3).tolist()))
        assert (corner == hatch) == hatched
    assert len({picture.tobytes() for picture in shown}) == 3
    assert not kind.error_picture(task, kind.error(prediction, prediction)).max() > 4  # no error is black


@pytest.mark.parametrize("task", TASKS)
def test_one_byte_keeps_a_map_to_half_a_step(task: Task) -> None:
    kind, label = task.kind, task.kind.label_map(_label(task))
    span = kind.span(label)
    step = {"classes": 0, "normals": 1 / 127.5}.get(kind.name, span[1] / 254)
    for values in (_decoded(task, _logits(task.channels)), label):
        codes = kind.to_bytes(values, span)
        again = kind.from_bytes(codes, span)
        assert codes.dtype == np.uint8
        np.testing.assert_array_equal(kind.to_bytes(again, span), codes)
        clipped = np.clip(values, None, span[1]) if kind.name == "depth" else values
        np.testing.assert_allclose(again, clipped, rtol=0, atol=0.51 * step)  # NaN stays NaN


def test_errors_of_normals_are_angles() -> None:
    task, three = benchmark("nyud").task("normals"), _logits(3)
    label = task.kind.label_map(_label(task))
    error, valid = task.kind.error(_decoded(task, three), label), ~np.isnan(label[..., 0])
    prediction = torch.from_numpy(three).permute(1, 2, 0)[torch.from_numpy(valid)]
    np.testing.assert_allclose(error[valid], _angles(prediction, torch.from_numpy(label[valid])), atol=0.01)
    assert np.isnan(error[~valid]).all()


def test_the_largest_logits_are_decoded_without_overflow() -> None:
    assert kind_of("boundary").decode(torch.tensor([[[-1e30, 1e30]]])).tolist() == [[0, 1]]
    assert kind_of("saliency").decode(torch.tensor([[[1e30, 0.0]], [[0.0, 1e30]]])).tolist() == [[0, 1]]


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
    assert _nearest_two(pictures.palette(benchmark("nyud").task("semseg").colours)[:13] / 255) > 27
    assert _nearest_two(pictures.palette(benchmark("pascal").task("human_parts").colours)[:7] / 255) > 16
    depth, classes = (benchmark("nyud").task(name) for name in ("depth", "semseg"))
    scale = depth.kind.picture(depth, np.linspace(0, 10, 12, dtype=np.float32)[None])[0]
    assert _nearest_two(scale / 255) > 4
    wrong = classes.kind.error_picture(classes, np.array([[0, 1]], np.uint8))[0]
    assert _nearest_two(wrong / 255) > 50


def test_well_known_colours() -> None:
    voc = pictures.palette(benchmark("pascal").task("semseg").colours)
    expected = {0: (0, 0, 0), 1: (128, 0, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {k: tuple(voc[k].tolist()) for k in expected} == expected
    streets = benchmark("cityscapes").task("semseg")
    sky = dict(streets.kind.legend(streets).entries)["sky"]
    assert sky == "#4682b4"


@pytest.mark.parametrize("task", TASKS)
def test_legends_name_everything(task: Task) -> None:
    kind, shown, wrong = task.kind, task.kind.legend(task), task.kind.error_legend(task)
    if kind.indexed:
        assert len(shown.entries) == task.channels == len(task.classes)
        colours = kind.picture(task, np.arange(task.channels, dtype=np.uint8)[None])[0]
        assert [c for _, c in shown.entries] == ["#" + bytes(c.tolist()).hex() for c in colours]
        assert [name for name, _ in wrong.entries] == ["right", "wrong"]
    else:
        assert bool(shown.entries) != bool(shown.stops)
        assert len(wrong.stops) == pictures.STOPS
        assert wrong.low == "0"
    if kind.name == "depth":
        assert task.unit in shown.high
        assert task.unit in wrong.high
    if kind.name == "normals":
        assert "60 degrees" in wrong.high
