"""ATRC's augmentation and the centred canvas: against plain references, and what must hold of every result."""

import colorsys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmtl.benchmarks import benchmark
from dmtl.benchmarks.shared.sample import Sample
from dmtl.config import IMAGENET, ScalePadCrop
from dmtl.data import transforms
from dmtl.data.loading import EvaluationSet, TrainingSet
from dmtl.data.shards import Shard
from dmtl.data.transforms import augment, centred, finish, horizontal_flip, normalise, photometric_distortion
from dmtl.prepare.packing import pack, write_shard
from dmtl.tasks import NAMES, kinds_of

CANVAS = (64, 64)
KINDS = kinds_of(NAMES)
PASCAL = benchmark("pascal").tasks
TASKS = tuple(task.name for task in PASCAL)


def _choice(**changes: Any) -> ScalePadCrop:
    plain = {"scales": (0.5, 2.0), "cat_max_ratio": 0.75, "crop_by_hidden_label": False, "flip": False, "photometric": False}
    return ScalePadCrop(kind="scale_pad_crop", **{**plain, **changes})


def _scene(height: int = 50, width: int = 70, seed: int = 0) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Squares of 10 pixels whose brightness is 10 times their class, with all labels and some of every kind of ignored pixel."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 21, (height // 10 + 1, width // 10 + 1)).repeat(10, 0).repeat(10, 1)[:height, :width]
    classes = torch.from_numpy(cells)[None].float()
    image = (classes * 10).byte().repeat(3, 1, 1)
    semseg = classes.clone()
    semseg[:, 3:6] = 255
    normals = torch.from_numpy(rng.normal(size=(3, height, width))).float()
    normals = normals / normals.norm(dim=0)
    normals[:, 20:25, :30] = 0
    labels = {"semseg": semseg, "human_parts": classes % 7, "saliency": classes % 2, "normals": normals}
    return image, {**labels, "boundary": (classes % 5 == 0).float(), "depth": 1 + classes}


def _plain(
    image: torch.Tensor, labels: dict[str, torch.Tensor], seed: int
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Scale, crop at a random place, flip, by index arithmetic: the lowest and highest byte that a value may be cut to, labels.

    Pixel i of n lies at (i + 0.5) N / n - 0.5 of N (OpenCV's and torch's convention) and is mixed of its two neighbours there, of
    each axis; a label is that of pixel floor(i N / n). Rounding in float32 may push a whole number below itself, so two bytes.
    """
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.5, 2.0)
    scaled = [int(side * scale) for side in image.shape[1:]]
    windows = [min(side, most) for side, most in zip(scaled, CANVAS, strict=True)]
    starts = [int(rng.integers(0, side - window + 1)) for side, window in zip(scaled, windows, strict=True)]
    flipped = rng.random() < 0.5
    mixed, nearest = image.numpy().astype(float), []
    for axis, (side, full, start, window) in enumerate(zip(scaled, image.shape[1:], starts, windows, strict=True), start=1):
        places = np.arange(start, start + window)
        if flipped and axis == 2:
            places = places[::-1]
        nearest.append(places * full // side)
        exact = np.clip((places + 0.5) * full / side - 0.5, 0, full - 1)
        below, share = np.floor(exact).astype(int), exact % 1
        above = np.minimum(below + 1, full - 1)
        share = share[:, None] if axis == 1 else share
        mixed = mixed.take(below, axis) * (1 - share) + mixed.take(above, axis) * share
    picked = {task: label.numpy()[:, nearest[0]][:, :, nearest[1]] for task, label in labels.items()}
    picked["depth"] = picked["depth"] / np.float32(scale)  # a larger picture is a nearer camera
    picked["normals"] = picked["normals"] * np.float32([-1 if flipped else 1, 1, 1])[:, None, None]
    return np.floor(mixed - 1e-3).clip(0), np.floor(mixed + 1e-3), picked


class _Draws:
    """Random numbers that are written down in advance; the rest are 0."""

    def __init__(self, *numbers: int) -> None:
        self.numbers, self.used = list(numbers), 0

    def integers(self, low: int, high: int) -> int:
        self.used += 1
        number = self.numbers.pop(0) if self.numbers else 0
        assert low <= number < high
        return number


def test_windows_are_drawn_anew_while_one_class_has_too_much() -> None:
    semseg = torch.zeros(1, 20, 40)
    semseg[:, :, 30:] = 3
    semseg[:, :, 25:30] = 255

    def window(*numbers: int) -> tuple[tuple[slice, slice], int]:
        draws = _Draws(*numbers)
        return transforms.random_window(draws, (20, 40), (20, 20), semseg, 0.75), draws.used  # type: ignore[arg-type]

    assert window(0, 5, 0, 20, 0, 9) == ((slice(0, 20), slice(20, 40)), 4)  # 5 columns of class 0, 10 of class 3
    assert window(0, 16, 0, 15) == ((slice(0, 20), slice(16, 36)), 2)  # 9 and 6: a share of 0.6
    assert window(*[0, 1] * 10, 0, 2, 0, 20) == ((slice(0, 20), slice(2, 22)), 22)  # the eleventh is taken untested
    draws = _Draws(0, 1)
    assert transforms.random_window(draws, (20, 40), (20, 20), None, 0.75) == (slice(0, 20), slice(1, 21))  # type: ignore[arg-type]
    assert draws.used == 2
    nothing = torch.full((1, 20, 40), 255.0)
    assert transforms.random_window(_Draws(), (20, 40), (20, 20), nothing, 0.75) == (slice(0, 20), slice(0, 20))  # type: ignore[arg-type]


@given(seed=st.integers(0, 10**6), scale=st.floats(0.4, 2.5))
@settings(max_examples=40, deadline=None)
def test_counting_without_scaling_is_counting_in_the_scaled_label(seed: int, scale: float) -> None:
    _, labels = _scene(seed=seed)
    size = (int(50 * scale), int(70 * scale))
    rng = np.random.default_rng(seed)
    top, left = (int(rng.integers(0, side)) for side in size)
    window = slice(top, int(rng.integers(top + 1, size[0] + 1))), slice(left, int(rng.integers(left + 1, size[1] + 1)))
    regions = torch.stack([labels["semseg"][0] == k for k in range(21)]).float()
    shown = transforms._nearest(labels["semseg"], size, window).flatten().long()
    assert transforms._counts(regions, size, window).tolist() == torch.bincount(shown, minlength=256)[:21].tolist()


@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_image_and_labels_are_those_of_a_plain_reference(seed: int) -> None:
    labels = _scene(seed=seed % 7)[1]
    image = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, 50, 70), dtype=np.uint8))
    found, new = augment(image, labels, KINDS, np.random.default_rng(seed), _choice(flip=True), CANVAS)
    lowest, highest, expected = _plain(image, labels, seed)
    assert found.shape == highest.shape
    assert ((found.numpy() >= lowest) & (found.numpy() <= highest)).all()
    assert (highest - lowest).max() <= 1  # where the mixture is a whole number to rounding
    assert new.keys() == expected.keys()
    for task, label in new.items():
        np.testing.assert_allclose(label.numpy(), expected[task], rtol=1e-6 if task == "depth" else 0, err_msg=task)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_the_canvas_around_a_crop_counts_nowhere(seed: int) -> None:
    image, labels = _scene(seed=seed % 7)
    found, new = augment(image, labels, KINDS, np.random.default_rng(seed), _choice(flip=True), CANVAS)
    padded, final = finish(found, new, KINDS, CANVAS, IMAGENET)
    rows, columns = centred(CANVAS, found.shape[-2:])
    outside = torch.ones(CANVAS, dtype=torch.bool)
    outside[rows, columns] = False
    assert not padded[:, outside].any()
    assert all((label[:, outside] == 255).all() for label in final.values())
    assert torch.equal(padded[:, rows, columns], normalise(found, IMAGENET))
    assert torch.equal(final["semseg"][:, rows, columns], new["semseg"])
    assert torch.equal((final["normals"][:, rows, columns] == 255).all(0), new["normals"].norm(dim=0) == 0)


def test_two_flips_are_none() -> None:
    image, labels = _scene()
    flipped, new = horizontal_flip(image, labels, KINDS)
    assert torch.equal(new["normals"][0], -labels["normals"][0].flip(-1))
    back, same = horizontal_flip(flipped, new, KINDS)
    assert torch.equal(back, image)
    assert all(torch.equal(same[task], label) for task, label in labels.items())


def test_the_canvas_is_centred() -> None:
    assert centred((512, 512), (375, 500)) == (slice(68, 443), slice(6, 506))
    assert centred((64, 64), (64, 64)) == (slice(0, 64), slice(0, 64))
    assert centred((5, 5), (2, 5)) == (slice(1, 3), slice(0, 5))


def test_human_parts_without_any_part_do_not_count() -> None:
    nobody = torch.tensor([[[0.0, 255.0], [0.0, 0.0]]])
    somebody = torch.tensor([[[0.0, 255.0], [3.0, 0.0]]])
    assert (transforms.hide_invalid({"human_parts": nobody}, KINDS)["human_parts"] == 255).all()
    assert torch.equal(transforms.hide_invalid({"human_parts": somebody}, KINDS)["human_parts"], somebody)
    assert nobody[0, 0, 0] == 0  # the argument is not changed


def test_colours_go_to_hsv_and_back_as_in_a_plain_conversion() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 30)).astype(np.uint8)
    pixels[:, 0] = pixels[:1, 0]  # grey
    pixels[:, 1] = 0
    hue, saturation, value = transforms.rgb_to_hsv(torch.from_numpy(pixels))
    back = transforms.hsv_to_rgb(hue, saturation, value).numpy()
    for i, j in np.ndindex(20, 30):
        h, s, v = colorsys.rgb_to_hsv(*(pixels[:, i, j] / 255))
        turned = abs(float(hue[i, j]) - h * 180)
        assert min(turned, 180 - turned) <= 0.501
        assert float(saturation[i, j]) == pytest.approx(s * 255, abs=0.501)
        assert float(value[i, j]) == pixels[:, i, j].max()
        expected = colorsys.hsv_to_rgb(float(hue[i, j]) / 180, float(saturation[i, j]) / 255, v)
        assert back[:, i, j] == pytest.approx(np.array(expected) * 255, abs=0.501)
    assert hue.max() < 180


class _Chosen:
    """Which of brightness, contrast, saturation, hue are changed, by how much, and whether contrast comes last."""

    def __init__(self, which: str, shift: float = 0, factor: float = 1, colourful: float = 1, turn: int = 0, last: bool = False):
        self.which, self.turn, self.last = which, turn, last
        self.uniforms = [shift, factor, colourful]

    def random(self, count: int | None = None) -> Any:
        return np.where([name in self.which for name in "bcsh"], 0.1, 0.9) if count else (0.1 if self.last else 0.9)

    def uniform(self, low: float, high: float) -> float:
        number = self.uniforms.pop(0)
        assert low <= number <= high
        return number

    def integers(self, low: int, high: int) -> int:
        assert low <= self.turn < high
        return self.turn


def test_every_step_of_the_distortion() -> None:
    image = torch.tensor([200, 100, 50], dtype=torch.uint8).view(3, 1, 1)

    def distorted(*args: Any, **options: Any) -> list[int]:
        found = photometric_distortion(image, _Chosen(*args, **options))  # type: ignore[arg-type]
        assert found.dtype == torch.uint8
        return found.flatten().tolist()

    assert distorted("") == [200, 100, 50]
    assert distorted("b", shift=30.9) == [230, 130, 80]  # truncated, not rounded
    assert distorted("b", shift=-31.5) == [168, 68, 18]
    assert distorted("c", factor=1.5) == [255, 150, 75]
    assert distorted("bc", shift=20, factor=1.3) == [255, 156, 91]
    assert distorted("bc", shift=20, factor=1.3, last=True) == [255, 156, 91]
    assert distorted("cs", factor=1.5, colourful=0.5) == [255, 201, 165]  # hue 12, saturation 180 -> 90
    assert distorted("cs", factor=1.5, colourful=0.5, last=True) == [255, 225, 187]
    assert distorted("s", colourful=0.5) == [200, 150, 125]
    assert distorted("h", turn=-10) == [200, 50, 50]  # hue 10 of 180
    assert distorted("h", turn=-18) != distorted("h", turn=17)


def test_distortions_come_in_every_second_image() -> None:
    image = torch.full((3, 2, 2), 100, dtype=torch.uint8)  # grey: neither saturation nor hue shows
    changed = [not torch.equal(photometric_distortion(image, np.random.default_rng([0, k])), image) for k in range(1000)]
    assert 0.68 < np.mean(changed) < 0.79  # brightness or contrast


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    """Three images of several sizes; the first shows all, the second only normals, the third semseg and boundary."""
    rng = np.random.default_rng(0)
    samples = []
    for size in ((40, 64), (64, 50), (30, 30)):
        label_map = rng.integers(0, 460, size).astype(np.uint16)
        labels = {task: rng.integers(0, 2, size).astype(np.uint8) for task in TASKS if task != "normals"}
        labels["normals"] = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
        samples.append(Sample(rng.integers(0, 256, (*size, 3)).astype(np.uint8), labels, {"label_map": label_map}))
    mask = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 1, 0], [1, 0, 0, 0, 1]])
    path = tmp_path / "train.h5"
    packed = (pack(sample, CANVAS, "pad", PASCAL) for sample in samples)
    write_shard(path, packed, ["a", "b", "c"], PASCAL, {"onelabel": mask}, {}, np.array([True, False, True]))
    return Shard(path)


def test_evaluation_pads_and_does_no_more(shard: Shard) -> None:
    data = EvaluationSet(shard, 0, IMAGENET)
    for k in range(3):
        example = data[k]
        rows, columns = centred(CANVAS, shard.content_size(k))
        assert example.image.shape == (3, *CANVAS)
        assert torch.equal(
            example.image[:, rows, columns], normalise(torch.from_numpy(shard.image(k)).permute(2, 0, 1), IMAGENET)
        )
        assert torch.equal(example.labels["boundary"][0, rows, columns].byte(), torch.from_numpy(shard.label("boundary", k)))
        assert example.labels["saliency"].eq(255).sum() == 64 * 64 - np.prod(shard.content_size(k))
        assert (example.labels["normals"][:, rows, columns].abs() <= 1).all()
    assert shard.boundary_listed.tolist() == [True, False, True]
    assert shard.label_map(1).shape == (64, 50)


def test_a_hidden_class_map_chooses_a_crop_only_where_that_is_asked_for(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, int]] = []
    plain = Shard.label
    monkeypatch.setattr(Shard, "label", lambda self, task, k: read.append((task, k)) or plain(self, task, k))
    seen = []
    window = transforms.random_window
    monkeypatch.setattr(transforms, "random_window", lambda *args: seen.append(args[3]) or window(*args))
    for leak in (False, True):
        read.clear()
        seen.clear()
        data = TrainingSet(shard, "onelabel", TASKS, 0, _choice(crop_by_hidden_label=leak, flip=True, photometric=True), IMAGENET)
        labels = [set(data[0, k].labels) for k in range(3)]
        assert labels == [set(TASKS), {"normals"}, {"semseg", "boundary"}]  # never handed on
        assert (("semseg", 1) in read) is leak
        assert [x is not None for x in seen] == [True, leak, True]


def test_training_examples_fill_the_canvas(shard: Shard) -> None:
    data = TrainingSet(shard, "onelabel", TASKS, 0, _choice(flip=True, photometric=True), IMAGENET)
    for epoch in range(4):
        for k in range(3):
            example = data[epoch, k]
            assert example.image.shape == (3, *CANVAS)
            assert all(label.shape[1:] == CANVAS for label in example.labels.values())
            assert torch.equal(data[epoch, k].image, example.image)
    assert not torch.equal(data[0, 0].image, data[1, 0].image)
