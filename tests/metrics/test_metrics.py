"""Metrics against plain definitions and scikit-learn, sums over any split, and bad input."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from dmtl.errors import UserError
from dmtl.evaluation.evaluate import require_finite
from dmtl.metrics.angles import EDGES, AngularErrors, angles
from dmtl.metrics.errors import AbsoluteError, DepthErrors
from dmtl.metrics.iou import MeanIou, confusion
from dmtl.metrics.max_f import ALL, RELEASED, MaxF
from dmtl.metrics.metric import Metric
from dmtl.tasks import IGNORE, kind_of
from dmtl.tasks.shared.arrays import eight_bits

CHANNELS = {"semseg": 5, "human_parts": 7, "saliency": 2, "depth": 1, "normals": 3, "boundary": 1}
MASKED = {task: n for task, n in CHANNELS.items() if task != "boundary"}  # those whose labels can be ignored by the pixel


def _images(task: str, count: int, seed: int = 0, size: tuple[int, int] = (8, 11)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randn(count, CHANNELS[task], *size, generator=generator)
    if task == "boundary":
        return prediction, torch.randint(0, 3, (count, *size), generator=generator)
    if kind_of(task).continuous:
        label = torch.randn(count, kind_of(task).label_channels(CHANNELS[task]), *size, generator=generator).abs()
    else:
        label = torch.randint(0, CHANNELS[task], (count, 1, *size), generator=generator).float()
    label = torch.where(torch.rand(count, 1, *size, generator=generator) < 0.3, IGNORE, label)
    return prediction, label


def _rows(task: str, prediction: torch.Tensor, label: torch.Tensor) -> np.ndarray:
    metric = kind_of(task).scorer(CHANNELS[task])
    return np.stack([metric.statistics(kind_of(task).decode(p), g) for p, g in zip(prediction, label, strict=True)])


def _scores(task: str, prediction: torch.Tensor, label: torch.Tensor) -> dict[str, float]:
    scores = kind_of(task).scorer(CHANNELS[task]).scores(_rows(task, prediction, label).sum(axis=0))
    return {name: float(value) for name, value in scores.items()}


def _plain(task: str, prediction: torch.Tensor, label: torch.Tensor) -> dict[str, float]:
    """The definitions in NumPy, without a shared line."""
    p, g = prediction.double().numpy(), label.double().numpy()
    if task == "depth":
        p, g = np.maximum(p, 1e-9)[g != 255], g[g != 255]
        errors = np.abs(p - g)
        return {"abs_error": errors.mean(), "rmse": np.sqrt((errors**2).mean()), "rel_error": (errors / g).mean()}
    if task == "normals":
        valid = (g != 255).all(1)
        p, g = (np.moveaxis(a, 1, -1)[valid] for a in (p, g))
        cosine = (p * g).sum(-1) / np.linalg.norm(p, axis=-1) / np.linalg.norm(g, axis=-1)
        degrees = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        return {"mean_error": degrees.mean(), **{f"within_{t}": 100 * (degrees < t).mean() for t in (11.25, 22.5, 30)}}
    chosen, truth = p.argmax(1), g[:, 0]
    ious = []
    for c in range(CHANNELS[task]):
        ours, theirs = (chosen == c) & (truth != 255), truth == c
        ious.append((ours & theirs).sum() / max((ours | theirs).sum(), 1))
    return {"miou": float(100 * np.mean(ious))}


@pytest.mark.parametrize("task", ["semseg", "human_parts", "depth", "normals"])
def test_a_plain_definition_agrees(task: str) -> None:
    prediction, label = _images(task, 6, size=(16, 21))
    scores, plain = _scores(task, prediction, label), _plain(task, prediction, label)
    assert next(iter(scores)) == kind_of(task).metric
    assert {name: scores[name] for name in plain} == pytest.approx(plain, rel=1e-9)


def test_scikit_learn_agrees() -> None:
    prediction, label = _images("semseg", 4)
    valid = label != IGNORE
    truth, chosen = label[valid].int().numpy(), prediction.argmax(1, keepdim=True)[valid].numpy()
    jaccard = sklearn_metrics.jaccard_score(truth, chosen, labels=range(5), average="macro", zero_division=0)
    assert _scores("semseg", prediction, label)["miou"] == pytest.approx(100 * jaccard, rel=1e-12)
    counts = sum(confusion(p.argmax(0), g, 5) for p, g in zip(prediction, label, strict=True))
    assert np.array_equal(counts, sklearn_metrics.confusion_matrix(truth, chosen, labels=range(5)))

    prediction, label = _images("depth", 4)
    truth, raised = label[label != IGNORE].double().numpy(), prediction[label != IGNORE].clamp(min=1e-9).double().numpy()
    assert _scores("depth", prediction, label) == pytest.approx(
        {
            "abs_error": sklearn_metrics.mean_absolute_error(truth, raised),
            "rmse": sklearn_metrics.root_mean_squared_error(truth, raised),
            "rel_error": sklearn_metrics.mean_absolute_percentage_error(truth, raised),
        },
        rel=1e-12,
    )


def _f_by_loop(probability: np.ndarray, truth: np.ndarray, threshold: float) -> float:
    """Pixel by pixel, with P and R written out."""
    hits = marked = salient = 0
    for p, g in zip(probability, truth, strict=True):
        hits += p >= threshold and g == 1
        marked += p >= threshold
        salient += g == 1
    if not hits:
        return 0.0
    precision, recall = hits / marked, hits / salient
    return 1.3 * precision * recall / (0.3 * precision + recall)


@given(seed=st.integers(0, 2**32), sharp=st.sampled_from([0.001, 0.1, 1, 5, 30]), quantised=st.booleans())
@settings(max_examples=40, deadline=None)
def test_maxf_against_a_loop(seed: int, sharp: float, quantised: bool) -> None:
    """Also where probabilities meet thresholds exactly (0.5 and, by the quantised logits, equal values)."""
    prediction, label = _images("saliency", 2, seed)
    prediction = (prediction * sharp).round() if quantised else prediction * sharp
    valid = label[:, 0] != IGNORE
    probability, truth = prediction.softmax(1)[:, 1][valid].numpy(), label[:, 0][valid].numpy()
    thresholds = torch.arange(0.05, 1, 0.05).numpy()
    twice = [float(torch.logit(torch.tensor(t, dtype=torch.float64))) for t in thresholds.astype(np.float64).round(2)]
    scores = _scores("saliency", prediction, label)
    assert scores["maxf"] == pytest.approx(100 * max(_f_by_loop(probability, truth, t) for t in thresholds))
    assert scores["maxf_released"] == pytest.approx(100 * max(_f_by_loop(probability, truth, np.float32(t)) for t in twice))


def test_probabilities_next_to_the_thresholds_fall_on_the_right_side() -> None:
    """One float32 below, at and above each of the 24."""
    metric = MaxF()
    for threshold in ALL:
        around = np.array([np.nextafter(threshold, np.float32(v), dtype=np.float32) for v in (0, threshold, 1)])
        decoded, label = torch.from_numpy(around)[None], torch.tensor([1.0, 0, 1])[None, None]
        expected = [(around[[0, 2]] >= t).sum() for t in ALL] + [(around >= t).sum() for t in ALL] + [2]
        assert metric.statistics(decoded, label).tolist() == expected


def test_the_released_tools_thresholds() -> None:
    """What a second sigmoid leaves of 0.05, 0.10, ..., 0.95, as the document has it."""
    assert RELEASED.tolist() == pytest.approx([0, 0.200671, 0.405465, 0.619039, 0.847298], abs=1e-6)
    p = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    marked = {int((p.sigmoid() >= t).sum()) for t in torch.arange(1, 20, dtype=torch.float64) / 20}
    assert marked == {int((p >= t).sum()) for t in torch.from_numpy(RELEASED).double()} | {0}


def test_the_median_is_that_of_a_fine_histogram() -> None:
    generator = torch.Generator().manual_seed(0)
    label = F.normalize(torch.randn(4, 3, 64, 64, generator=generator), dim=1)
    for spread in (0.05, 0.2, 0.5, 3):
        prediction = label + spread * torch.randn(label.shape, generator=generator)
        exact = angles(prediction.movedim(1, 0), label.movedim(1, 0)).median().item()
        width = 0.25 if exact < 45 else 2.5
        median = _scores("normals", prediction, label)["median_error"]
        assert median == pytest.approx(exact, abs=0.02 * width / 0.25)
    assert np.diff(EDGES).tolist() == [0.25] * 180 + [2.5] * 54
    # two distinct angles only: half of the pixels lie below the edge above the first
    turned = torch.tensor([[1.0, 0, 0], [np.cos(1), np.sin(1), 0]]).T[:, None]
    median = _scores("normals", turned[None], torch.tensor([1.0, 0, 0]).expand(2, 3).T[None, :, None])["median_error"]
    assert median == pytest.approx(0.25)


@pytest.mark.parametrize("task", CHANNELS)
@given(seed=st.integers(0, 2**32), parts=st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_pooled_is_merged_in_any_split(task: str, seed: int, parts: int) -> None:
    """Rows of one image each, put in their order, give the same sums; whole numbers add up exactly in any order too."""
    table = _rows(task, *_images(task, 6, seed % 1000))
    share = np.random.default_rng(seed).integers(0, parts, 6)
    pieces = [np.flatnonzero(share == part) for part in range(parts)]
    merged = np.concatenate([table[piece] for piece in pieces])[np.argsort(np.concatenate(pieces))]
    assert np.array_equal(merged.sum(axis=0), table.sum(axis=0))
    if table.dtype.kind == "i":
        assert np.array_equal(sum(table[piece].sum(axis=0) for piece in pieces), table.sum(axis=0))


@pytest.mark.parametrize("task", CHANNELS)
def test_scores_of_many_sums_are_those_of_each(task: str) -> None:
    """The bootstrap scores all draws in one call."""
    metric, table = kind_of(task).scorer(CHANNELS[task]), _rows(task, *_images(task, 4))
    totals = np.stack([table[:2].sum(0), table.sum(0), np.zeros_like(table[0])]).astype(np.float64)
    together = metric.scores(totals)
    for i, total in enumerate(totals):
        alone = {name: float(value) for name, value in metric.scores(total).items()}
        assert alone == pytest.approx({name: value[i] for name, value in together.items()}, nan_ok=True)
        assert all(np.isnan(value) for value in alone.values()) == (i == 2)


@pytest.mark.parametrize("task", CHANNELS)
def test_an_image_counts_alike_alone_and_among_others(task: str) -> None:
    prediction, label = _images(task, 3)
    assert np.array_equal(_rows(task, prediction, label)[1], _rows(task, prediction[1:2].clone(), label[1:2].clone())[0])


@pytest.mark.parametrize("task", MASKED)
def test_ignored_pixels_do_not_count(task: str) -> None:
    prediction, label = _images(task, 3)
    changed = torch.where((label == IGNORE).all(1, keepdim=True), -prediction, prediction)
    assert np.array_equal(_rows(task, prediction, label), _rows(task, changed, label))


def test_a_pixel_of_normals_is_out_when_any_channel_is_255() -> None:
    prediction, label = _images("normals", 1)
    label[0, 1, 0, :] = IGNORE
    out = label.clone()
    out[0, :, 0, :] = IGNORE
    assert np.array_equal(_rows("normals", prediction, label), _rows("normals", prediction, out))


# Bad and borderline input


@pytest.mark.parametrize("task", MASKED)
def test_all_ignored_adds_nothing_and_is_nan_alone(task: str) -> None:
    prediction, label = _images(task, 2)
    empty = torch.full_like(label, IGNORE)
    assert not _rows(task, prediction, empty).any()
    assert all(np.isnan(value) for value in _scores(task, prediction, empty).values())


@pytest.mark.parametrize("task", CHANNELS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_predictions_that_are_not_finite_are_refused(task: str, value: float) -> None:
    prediction, _ = _images(task, 1)
    prediction[0, -1, 3, 4] = value
    require_finite(prediction.new_zeros(prediction[0].shape))
    with pytest.raises(UserError, match="NaN or infinite"):
        require_finite(prediction[0])


@pytest.mark.parametrize("task", CHANNELS)
def test_sizes_that_differ_are_refused(task: str) -> None:
    prediction, label = _images(task, 1)
    with pytest.raises(UserError, match=r"size \(8, 10\), its label \(8, 11\)"):
        _rows(task, prediction[..., :-1], label)


@pytest.mark.parametrize("task", CHANNELS)
def test_images_of_one_pixel_count(task: str) -> None:
    prediction, label = _images(task, 40, size=(1, 1))
    scores = _scores(task, prediction, label)
    assert all(np.isfinite(value) for value in scores.values())
    if task in ("semseg", "human_parts", "depth"):
        assert {name: scores[name] for name in _plain(task, prediction, label)} == pytest.approx(_plain(task, prediction, label))


def test_a_class_that_never_occurs_counts_as_zero() -> None:
    label = torch.tensor([0, 1, 1, 0]).view(1, 1, 2, 2).float()
    prediction = F.one_hot(label[:, 0].long(), 5).movedim(-1, 1).float()
    assert _scores("semseg", prediction, label)["miou"] == pytest.approx(100 * 2 / 5)


def test_labels_that_are_no_class_do_not_count() -> None:
    prediction, label = _images("semseg", 2)
    odd = torch.where(
        label == IGNORE, torch.tensor([-1.0, 5.0, 77.0, 255.0]).repeat(44)[: label.numel()].view(label.shape), label
    )
    assert np.array_equal(_rows("semseg", prediction, label), _rows("semseg", prediction, odd))


@pytest.mark.parametrize("salient", [0, 1])
def test_saliency_of_one_class_is_defined(salient: int) -> None:
    """Nothing salient scores 0; everything salient and everything marked scores 100."""
    prediction, label = torch.zeros(1, 2, 4, 4), torch.full((1, 1, 4, 4), float(salient))
    assert _scores("saliency", prediction, label) == pytest.approx({"maxf": 100 * salient, "maxf_released": 100 * salient})


def test_an_unmarked_image_scores_zero_but_for_the_threshold_that_marks_all() -> None:
    prediction, label = torch.tensor([20.0, -20.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)
    label[..., 0] = 1
    assert _scores("saliency", prediction, label) == pytest.approx({"maxf": 0, "maxf_released": 130 * 4 / (0.3 * 4 + 16)})


def test_zero_vectors_are_at_ninety_degrees() -> None:
    zero, x = torch.zeros(3, 1), torch.tensor([[1.0], [0], [0]])
    assert angles(zero, x).item() == angles(x, zero).item() == angles(zero, zero).item() == 90


# Identities


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_confusion_identities(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    predicted, label = (torch.randint(0, 5, (9, 7), generator=generator) for _ in range(2))
    counts = confusion(predicted, label[None], 5)
    assert counts.sum() == 63
    assert counts.sum(1).tolist() == torch.bincount(label.flatten(), minlength=5).tolist()
    assert counts.sum(0).tolist() == torch.bincount(predicted.flatten(), minlength=5).tolist()
    assert np.trace(counts) == int((predicted == label).sum())
    assert np.array_equal(counts.T, confusion(label, predicted[None], 5))
    shuffle = torch.randperm(63, generator=generator)
    assert np.array_equal(counts, confusion(predicted.flatten()[shuffle][None], label.flatten()[shuffle][None, None], 5))


def test_a_perfect_prediction_is_perfect() -> None:
    for task in MASKED:
        _, label = _images(task, 2)
        if kind_of(task).continuous:
            prediction = label
        else:
            classes = label[:, 0].long().clamp(max=CHANNELS[task] - 1)
            prediction = 50 * F.one_hot(classes, CHANNELS[task]).permute(0, 3, 1, 2).float()
        expected = 0.0 if kind_of(task).lower_is_better else 100.0
        assert _scores(task, prediction, label)[kind_of(task).metric] == pytest.approx(expected, abs=1e-6)


def test_angles_are_exact_at_both_ends() -> None:
    x = torch.tensor([1.0, 0, 0])[:, None]
    turned = torch.tensor([np.cos(1e-5), np.sin(1e-5), 0])[:, None]
    assert angles(x, turned).item() == pytest.approx(np.degrees(1e-5), rel=1e-6)
    assert angles(x, -3 * x).item() == pytest.approx(180)
    assert angles(x, torch.tensor([0, 2.0, 0])[:, None]).item() == pytest.approx(90)


@given(seed=st.integers(0, 2**32), length=st.sampled_from([1e-15, 1, 1e15]))
@settings(max_examples=20, deadline=None)
def test_angles_are_those_of_the_released_formula(seed: int, length: float) -> None:
    """2 atan2(|p - g|, |p + g|) of unit vectors, within [0, 180], whatever the lengths."""
    generator = torch.Generator().manual_seed(seed)
    p, g = (torch.randn(3, 500, generator=generator, dtype=torch.float64) for _ in range(2))
    g[:, :100] = p[:, :100] * torch.rand(100, generator=generator) + 1e-4 * g[:, :100]  # nearly parallel
    found = angles(length * p, g)
    assert ((found >= 0) & (found <= 180)).all()
    p, g = F.normalize(p, dim=0), F.normalize(g, dim=0)
    released = torch.rad2deg(2 * torch.atan2((p - g).norm(dim=0), (p + g).norm(dim=0)))
    assert torch.allclose(found, released, rtol=1e-9, atol=1e-9)


def test_boundaries_are_quantised_by_truncation() -> None:
    probability = torch.tensor([[0.5, 0.999, 254.5 / 255, 1e-9]])
    quantised = eight_bits(kind_of("boundary").decode(torch.logit(probability.double())[None]).numpy())
    assert quantised.dtype == np.uint8
    assert quantised.tolist() == [[127, 254, 254, 0]]
    assert eight_bits(kind_of("boundary").decode(torch.full((1, 1, 1), 50.0)).numpy()).item() == 255


@pytest.mark.parametrize("metric", [AngularErrors, AbsoluteError, DepthErrors, MeanIou, MaxF], ids=lambda metric: metric.__name__)
def test_of_errors_less_is_better_and_of_all_else_more(metric: type[Metric]) -> None:
    lower = {name: is_lower for name, (_, is_lower) in metric.measures.items()}
    assert lower
    assert lower == {name: name.endswith("_error") or name == "rmse" for name in lower}
