"""What every kind of task must hold to, whichever file of dmtl/tasks it is; and names that nobody knows."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.networks import fresh
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dmtl.errors import UserError
from dmtl.losses import task_loss
from dmtl.metrics.boundary import boundary_from_labels
from dmtl.tasks import IGNORE, NAMES, Kind, describe_kinds, kind, kind_names, kind_of, kinds_of, task

CHANNELS = {"classes": 5, "binary": 2, "normals": 3, "regression": 2}  # of a network's output; 1 of a kind that is not listed
CASES = [(name, CHANNELS.get(name, 1)) for name in kind_names()] + [("regression", 1), ("regression", 3)]
SIZE = (7, 10)

every_kind = pytest.mark.parametrize(("name", "outputs"), CASES)
seeds = given(seed=st.integers(0, 10**6), ignored=st.sampled_from([0.0, 0.3, 0.9]))
few = settings(max_examples=10, deadline=None)


def _labels(name: str, outputs: int, seed: int = 0, images: int = 3) -> Tensor:
    """`(N, 1 or C, H, W)` float labels of which every pixel is valid and every class is shown."""
    generator, of = torch.Generator().manual_seed(seed), kind(name)
    shape = (images, of.label_channels(outputs), *SIZE)
    if of.continuous:
        values = 0.1 + 5 * torch.rand(shape, generator=generator)
        return F.normalize(values - 2.5, dim=1) if name == "normals" else values
    classes = outputs if of.indexed else 2
    places = torch.stack([torch.randperm(SIZE[0] * SIZE[1], generator=generator) for _ in range(images)])
    return (places % classes).float().view(images, 1, *SIZE)


def _hidden(labels: Tensor, share: float, seed: int = 0) -> Tensor:
    """The same with a share of the pixels ignored, in all channels."""
    drawn = torch.rand(len(labels), 1, *SIZE, generator=torch.Generator().manual_seed(seed))
    return labels.masked_fill(drawn < share, IGNORE)


def _predictions(outputs: int, seed: int = 0, images: int = 3) -> Tensor:
    return torch.randn(images, outputs, *SIZE, generator=torch.Generator().manual_seed(seed + 1))


def _perfect(of: Kind, label: Tensor, outputs: int) -> Tensor:
    """Logits or values `(C, H, W)` that say exactly what a label without ignored pixels does."""
    if of.continuous:
        return label
    if outputs == 1:
        return 1000 * label - 500
    return 1000 * F.one_hot(label[0].long(), outputs).movedim(-1, 0).float()


# Learned


@every_kind
@seeds
@few
def test_each_image_has_a_loss_of_its_own(name: str, outputs: int, seed: int, ignored: float) -> None:
    """`(N,)`, finite; no image's loss depends on another's prediction or label."""
    of, labels = kind(name), _hidden(_labels(name, outputs, seed), ignored, seed)
    predictions = _predictions(outputs, seed).requires_grad_()
    losses = of.loss(predictions, labels)
    assert losses.shape == (3,)
    assert losses.dtype == torch.float32
    assert losses.isfinite().all()
    alone = torch.cat([of.loss(predictions[i : i + 1], labels[i : i + 1]) for i in range(3)])
    assert torch.allclose(losses, alone, rtol=1e-5)
    (gradient,) = torch.autograd.grad(losses[1], predictions)
    assert not gradient[[0, 2]].any()


@every_kind
def test_where_everything_is_ignored_nothing_is_learned(name: str, outputs: int) -> None:
    """The second of three images costs 0 and its gradient is 0; the others are learned from."""
    labels = _labels(name, outputs)
    labels[1] = IGNORE
    predictions = _predictions(outputs).requires_grad_()
    losses = kind(name).loss(predictions, labels)
    losses.sum().backward()
    assert losses[1] == 0
    assert (losses[[0, 2]] > 0).all()
    assert predictions.grad is not None
    assert predictions.grad.isfinite().all()
    assert [bool(gradient.any()) for gradient in predictions.grad] == [True, False, True]


@every_kind
@seeds
@few
def test_a_prediction_of_ignored_pixels_does_not_count(name: str, outputs: int, seed: int, ignored: float) -> None:
    labels, predictions = _hidden(_labels(name, outputs, seed), ignored, seed), _predictions(outputs, seed)
    changed = torch.where((labels == IGNORE).all(1, keepdim=True), predictions + 5, predictions)
    assert torch.equal(kind(name).loss(changed, labels), kind(name).loss(predictions, labels))


@every_kind
def test_a_perfect_prediction_costs_nothing(name: str, outputs: int) -> None:
    of, labels = kind(name), _labels(name, outputs)
    perfect = torch.stack([_perfect(of, label, outputs) for label in labels])
    assert of.loss(perfect, labels).tolist() == pytest.approx([0, 0, 0], abs=1e-5)


@every_kind
def test_the_best_constant_is_one_value_a_channel(name: str, outputs: int) -> None:
    pixels = _labels(name, outputs).movedim(1, 0).flatten(1)
    best = kind(name).best_constant(pixels, outputs)
    assert best.shape == (outputs,)
    assert best.dtype == torch.float32
    assert best.isfinite().all()


def test_the_best_constant_of_values_is_the_median_of_each_channel() -> None:
    pixels = torch.tensor([[1.0, 2.0, 9.0], [-4.0, -3.0, 0.0]])
    assert kind("regression").best_constant(pixels, 2).tolist() == [2.0, -3.0]


# Moved


@every_kind
@seeds
@few
def test_mirrored_twice_is_not_mirrored(name: str, outputs: int, seed: int, ignored: float) -> None:
    of, labels = kind(name), _labels(name, outputs, seed)
    hidden = _hidden(labels, ignored, seed)
    for label in hidden if not of.continuous else hidden.masked_fill(hidden == IGNORE, 0):  # as shards hold them
        mirrored = of.mirrored(label)
        assert torch.equal(mirrored.abs(), label.abs().flip(-1))
        assert torch.equal(of.mirrored(mirrored), label)


@every_kind
def test_a_view_moves_values_as_augmentation_does(name: str, outputs: int) -> None:
    """What a zoom and a mirror do to the values themselves, in one pass over a batch and image by image."""
    of, labels = kind(name), _labels(name, outputs)
    zooms, mirrored = torch.tensor([1.0, 2.0, 1.5]), torch.tensor([True, False, True])
    expected = []
    for label, zoom, flip in zip(labels, zooms.tolist(), mirrored.tolist(), strict=True):
        zoomed = of.zoomed(label, zoom)
        expected.append(of.mirrored(zoomed).flip(-1) if flip else zoomed)
    assert torch.allclose(of.seen_in_view(labels, zooms, mirrored), torch.stack(expected))


@every_kind
def test_pixels_without_a_label_are_hidden(name: str, outputs: int) -> None:
    of, label = kind(name), _labels(name, outputs)[0]
    label[:, 2] = of.fill
    hidden = of.hide_invalid(label)
    assert (hidden[:, 2] == IGNORE).all()
    valid = torch.arange(SIZE[0]) != 2
    assert torch.equal(hidden[:, valid], label[:, valid])


def test_an_image_without_parts_has_no_label_where_that_is_asked_for() -> None:
    nothing = torch.tensor([[[0.0, 255.0, 0.0]]])
    assert (kind("classes", ignore_empty=True).hide_invalid(nothing) == IGNORE).all()
    assert torch.equal(kind("classes").hide_invalid(nothing), nothing)


# Stored


@every_kind
@pytest.mark.parametrize("canvas", [SIZE, (9, 16)])
def test_what_is_stored_is_read_again(name: str, outputs: int, canvas: tuple[int, int]) -> None:
    """At the top left of its canvas, which is filled with what does not count; normals to half precision."""
    of = kind(name)
    label = _labels(name, outputs)[0].movedim(0, -1).numpy().astype(np.float32 if of.continuous else np.uint8)
    label = label[..., 0] if label.shape[-1] == 1 else label
    stored = of.to_stored(label, canvas)
    back = of.from_stored(stored, SIZE)
    assert back.shape == label.shape
    assert np.allclose(back, label, atol=5e-4 if name == "normals" else 0, rtol=0)
    assert np.array_equal(of.resized(label, SIZE), label)
    beyond = of.from_stored(stored, canvas)[SIZE[0] :]
    assert np.array_equal(beyond, np.full_like(beyond, of.fill), equal_nan=of.continuous)


def test_normals_published_in_eight_bits_are_kept_as_they_are() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    codes[2] = 128
    stored = kind("normals").to_stored(codes, (9, 16))
    assert (stored.dtype, stored.shape) == (np.uint8, (3, 9, 16))
    back = kind("normals").from_stored(stored, SIZE)
    assert not back[2].any()
    valid = np.arange(SIZE[0]) != 2
    assert np.allclose(back[valid], codes[valid] / 127.5 - 1, atol=1e-6)


@every_kind
@seeds
@few
def test_bytes_tell_a_map_to_half_a_step(name: str, outputs: int, seed: int, ignored: float) -> None:
    """The label's map, where nothing is lost but what is ignored, and a prediction's, which may be of any sign."""
    of, label = kind(name), _hidden(_labels(name, outputs, seed), ignored, seed)[0]
    for values in (of.label_map(label.numpy()), of.to_map(of.decode(_predictions(outputs, seed)[0]).numpy())):
        low, high = span = of.span(values)
        assert low < high
        codes = of.to_bytes(values, span)
        assert codes.dtype == np.uint8
        assert codes.shape == values.shape
        back = of.from_bytes(codes, span)
        missing = values == IGNORE if of.indexed else np.isnan(values)
        assert np.array_equal(back == IGNORE if of.indexed else np.isnan(back), missing)
        half = 0 if of.indexed else 1 / 255 if name == "normals" else (high - low) / 254 / 2
        known = [array[~missing].astype(np.float64) for array in (back, values)]
        assert np.allclose(*known, atol=1.01 * half, rtol=0)


@pytest.mark.parametrize("values", [[], [0.0], [-3.0], [-3.0, -2.0], [2.0], [-1.0, 4.0]])
def test_the_span_of_values_holds_them_all(values: list[float]) -> None:
    low, high = kind("regression").span(np.array([*values, np.nan], np.float32))
    assert low < high
    assert all(low <= value <= high for value in values)


# Scored


@every_kind
def test_a_perfect_prediction_has_the_best_score(name: str, outputs: int) -> None:
    of, metric = kind(name), kind(name).scorer(outputs)
    labels = _labels(name, outputs)
    if name == "boundary":  # scored against the regions that its lines lie between
        regions = np.ones((30, 40), int)
        regions[8:20, 10:30] = 2
        line = torch.from_numpy(boundary_from_labels(regions)).float()
        rows = [metric.statistics(of.decode(_perfect(of, line[None], outputs)), torch.from_numpy(regions))]
    else:
        rows = [metric.statistics(of.decode(_perfect(of, label, outputs)), label) for label in labels]
    scores = metric.scores(np.sum(rows, axis=0))
    assert next(iter(scores)) == of.metric
    assert all(np.isfinite(value) for value in scores.values())
    assert scores[of.metric] == pytest.approx(0 if of.lower_is_better else 100, abs=1e-4)


@pytest.mark.parametrize(("name", "outputs"), [case for case in CASES if case[0] != "boundary"])
def test_an_image_without_a_label_adds_nothing_to_the_score(name: str, outputs: int) -> None:
    """A boundary is scored against a map of regions, in which nothing is ignored."""
    of, metric = kind(name), kind(name).scorer(outputs)
    label, prediction = _labels(name, outputs)[0], _predictions(outputs)[0]
    assert not metric.statistics(of.decode(prediction), torch.full_like(label, IGNORE)).any()


@every_kind
def test_errors_are_0_where_a_map_is_right_and_missing_where_there_is_no_label(name: str, outputs: int) -> None:
    of, label = kind(name), _labels(name, outputs)[0]
    prediction = of.to_map(of.decode(_perfect(of, label, outputs)).numpy())
    label[:, 2] = IGNORE
    error = of.error(prediction, of.label_map(label.numpy()))
    assert error.shape == SIZE
    assert (error[2] == IGNORE if of.indexed else np.isnan(error[2])).all()
    assert np.abs(error[np.arange(SIZE[0]) != 2]).max() <= 0.05  # degrees, of normals


# Shown


@every_kind
def test_a_map_and_its_errors_have_pictures_and_legends(name: str, outputs: int) -> None:
    one = task("new", outputs, kind=name, title="New", classes=tuple("abcde"[:outputs]))
    label = _hidden(_labels(name, outputs), 0.2)[0].numpy()
    values = one.kind.label_map(label)
    prediction = one.kind.to_map(one.kind.decode(_predictions(outputs)[0]).numpy())
    for picture in (one.kind.picture(one, values), one.kind.error_picture(one, one.kind.error(prediction, values))):
        assert (picture.shape, picture.dtype) == ((*SIZE, 3), np.uint8)
    for legend in (one.kind.legend(one), one.kind.error_legend(one)):
        assert legend.title
        assert bool(legend.entries) != bool(legend.stops)
    assert "New" in one.heading


# Names


def test_a_kind_has_the_name_of_its_file() -> None:
    assert [kind(name).name for name in kind_names()] == kind_names()
    assert {name for _, name, _ in NAMES.values()} <= set(kind_names())


def test_kinds_are_written_down_only_where_the_name_does_not_say_them() -> None:
    kinds = {name: kind_of(name) for name in NAMES}
    assert describe_kinds(kinds) == {}
    own = {"albedo": kind("regression"), "clothes": kind("classes", ignore_empty=True), "depth": kind("regression")}
    described = json.loads(json.dumps(describe_kinds(kinds | own)))
    assert described == {
        "albedo": {"name": "regression"},
        "clothes": {"name": "classes", "ignore_empty": True},
        "depth": {"name": "regression"},
    }
    read = kinds_of(kinds | own, described)
    assert list(read) == list(kinds | own)
    assert {name: (made.name, made.options()) for name, made in read.items()} == {
        name: (made.name, made.options()) for name, made in (kinds | own).items()
    }


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: kind_of("depht"), r"^'depht' is not a task that is known by its name; did you mean 'depth'\?$"),
        (lambda: kinds_of(["depth", "semsge"]), "'semsge' is not a task that is known by its name; did you mean 'semseg'"),
        (lambda: kinds_of(["albedo"], {"albdo": {"name": "regression"}}), "'albedo' is not a task that is known by its name"),
        (lambda: kinds_of(["albedo"], {"albedo": {"name": "regresion"}}), "no kind of task 'regresion' in dmtl/tasks; did you"),
        (lambda: kind("clases"), r"^no kind of task 'clases' in dmtl/tasks; did you mean 'classes'\?$"),
        (lambda: kind("shared"), "no kind of task 'shared' in dmtl/tasks"),
        (lambda: kind("classes", ignore_emtpy=True), "a task of kind 'classes' does not take ignore_emtpy"),
        (lambda: task("albedo", 3), "'albedo' is not a task that is known by its name"),
        (lambda: task("albedo", 3, kind="regresion"), "no kind of task 'regresion' in dmtl/tasks; did you mean 'regression'"),
        (lambda: task_loss("semsge", torch.zeros(2, 1, 1), torch.zeros(1, 1, 1)), "'semsge' is not a task .* 'semseg'"),
        (lambda: fresh("mtl_baseline", outputs={"semsge": 2}), "'semsge' is not a task that is known by its name"),
    ],
)
def test_what_nobody_knows_is_named_in_one_line(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)
