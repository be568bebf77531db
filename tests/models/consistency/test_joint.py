"""The maps of all tasks side by side, against plain loops; the values by which they are scaled; a code for every kind."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.joint import EIGHTH, SIZE, fresh, leaves, seen, with_ignored
from helpers.networks import MASKS, NYUD, PASCAL, batch_of
from torch import Tensor

from dmtl.config import NetworkConfig
from dmtl.data.batch import Batch
from dmtl.models.consistency.codecs import resize_label
from dmtl.models.consistency.joint import JointMaps
from dmtl.models.consistency.network import FurtherView
from dmtl.models.jtr import JOINT, JointTaskRegularisation
from dmtl.tasks import IGNORE, kind, kind_names, kind_of
from dmtl.tasks.shared.kind import Kind

# What is put side by side


def plain_code(task: str, label: Tensor, channels: int, statistics: Tensor) -> Tensor:
    """The code of one label `(1 or C, h, w)`, pixel by pixel; an ignored pixel is no class, or the value 0."""
    code = torch.zeros(channels, *label.shape[-2:])
    for y in range(label.shape[-2]):
        for x in range(label.shape[-1]):
            value = label[:, y, x]
            ignored = bool((value == IGNORE).any())
            if task == "normals":
                code[:, y, x] = 0.5 if ignored else (value + 1) / 2
            elif task == "depth":
                z = ((0.0 if ignored else float(value)) - float(statistics[0])) / float(statistics[1])
                code[0, y, x] = 0.5 * (1 + math.erf(z / math.sqrt(2)))
            elif not ignored:
                code[int(value), y, x] = 1
    return code


@pytest.mark.parametrize("setting", MASKS)
def test_maps_are_put_together_as_a_plain_loop_does(setting: str) -> None:
    """Labels by their own validity, predictions where all labels of their image are valid; the probabilities in Y_hat."""
    model, batch, predictions = fresh(depth=[2.0, 1.5]), with_ignored(batch_of(setting)), leaves()
    further = seen(batch, predictions)
    joint = model.codes(batch, further, (3, None))
    labels = {}
    for task, index in batch.image_index.items():
        moved = resize_label(kind_of(task), further.view.label(kind_of(task), batch.labels[task], index), EIGHTH)
        labels |= {(task, int(i)): label for i, label in zip(index, moved, strict=True)}
    statistics, offset = torch.tensor([2.0, 1.5]), 0
    for task, channels in NYUD.items():
        given, predicted = joint.codes[:, offset : offset + channels].chunk(2)
        offset += channels
        nothing = plain_code(task, torch.full((3 if task == "normals" else 1, 1, 1), 255.0), channels, statistics)
        for i in range(4):
            mask = torch.ones(EIGHTH, dtype=torch.bool)
            for name in NYUD:
                if (name, i) in labels:
                    mask &= (labels[name, i] != IGNORE).all(0)
            p = predictions[task][i]
            code = {
                "semseg": lambda p=p: p.softmax(0),
                "depth": lambda p=p: 0.5 * (1 + torch.erf((p - 2.0) / 1.5 / math.sqrt(2))),
                "normals": lambda p=p: (p / p.norm(dim=0) + 1) / 2,
            }[task]()
            expected = torch.where(mask, code, nothing)
            assert torch.allclose(predicted[i], expected, atol=1e-6), task
            valid_given, valid_predicted = joint.valid[task][i, 0], joint.valid[task][4 + i, 0]
            assert torch.equal(valid_predicted, mask)
            if (task, i) in labels:
                own = labels[task, i]
                assert torch.allclose(given[i], plain_code(task, own, channels, statistics), atol=1e-6), task
                assert torch.equal(valid_given, (own != IGNORE).all(0))
            else:
                assert torch.equal(valid_given, mask)
                assert torch.allclose(given[i][:, ~mask], nothing[..., 0], atol=1e-6)
                if task != "semseg":
                    assert torch.equal(given[i], predicted[i])
    assert 0 < joint.valid["semseg"].float().mean() < 1


def test_each_map_of_each_view_has_a_draw_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = fresh(), batch_of("full").only(("depth",))
    semseg = slice(0, 13)
    made: list[Tensor] = []
    forward = model.codes.forward

    def noted(*args: object, **kwargs: object) -> JointMaps:
        joint = forward(*args, **kwargs)  # type: ignore[arg-type]
        made.append(joint.codes[:, semseg].detach())
        return joint

    monkeypatch.setattr(model.codes, "forward", noted)
    model.options = model.options.model_copy(update={"zooms": (1.0,)})  # all views are the first
    model(batch)
    maps = [part.argmax(1) for joint in made for part in joint.chunk(2)][:3]  # the fourth is probabilities
    assert all((a != b).float().mean() > 0.5 for k, a in enumerate(maps) for b in maps[:k])
    hard = [part.detach() for part in (*made[0].chunk(2), made[1][:4])]
    assert all(torch.allclose(m.max(1).values, torch.ones(())) for m in hard)
    assert (made[1][4:].max(1).values < 0.99).any()


def perfect(batch: Batch, further: FurtherView) -> dict[str, Tensor]:
    """Predictions that say what the labels of a view do."""
    found = {}
    for task, index in batch.image_index.items():
        of = kind_of(task)
        label = resize_label(of, further.view.label(of, batch.labels[task], index), EIGHTH)
        found[task] = 1000 * F.one_hot(label[:, 0].long(), 13).movedim(-1, 1).float() if task == "semseg" else label
        found[task] = F.normalize(label, dim=1) if task == "normals" else found[task]
    return found


def test_predictions_that_equal_the_labels_are_at_no_distance() -> None:
    model, batch = fresh(width=32), batch_of("full")
    same = seen(batch, perfect(batch, seen(batch, {}, zooms=(1.0,))), zooms=(1.0,))
    assert model.distance(model.codes(batch, same, (1, 0))).abs().max() <= 1e-6
    other = replace(same, predictions={**same.predictions, "depth": same.predictions["depth"] + 1})
    assert model.distance(model.codes(batch, other, (1, 0))).min() > 1e-4


def test_a_masked_pixel_of_a_prediction_does_not_count() -> None:
    model, predictions = fresh(), leaves()
    batch = with_ignored(batch_of("onelabel"))
    further = seen(batch, predictions, zooms=(1.0,))
    valid = model.codes(batch, further, (1, 0)).valid["semseg"][4:]

    def distance(where: Tensor) -> Tensor:
        changed = {task: torch.where(where, -3 * p.detach(), p.detach()) for task, p in predictions.items()}
        return model.distance(model.codes(batch, replace(further, predictions=changed), (1, 0)))

    nowhere = torch.zeros_like(valid)
    assert 0 < valid.float().mean() < 1
    assert torch.equal(distance(~valid), distance(nowhere))
    assert not torch.equal(distance(valid), distance(nowhere))


# Values and kinds


def values_of(model: JointTaskRegularisation, task: str) -> Tensor:
    return model.codes.get_buffer(f"values_of_{task}")


def test_values_are_measured_over_visible_valid_pixels() -> None:
    model = fresh({**NYUD, "albedo": 2}, kinds={"albedo": {"name": "regression"}})
    depths = [torch.rand(1, 5, 7) * 5 + 1, torch.rand(1, 5, 7) * 2]
    depths[0][0, :2] = IGNORE
    albedo = torch.rand(2, 5, 7) * torch.tensor([1.0, 9.0]).view(2, 1, 1)
    model.prepare([{"depth": depths[0]}, {"normals": torch.ones(3, 5, 7)}, {"depth": depths[1], "albedo": albedo}])
    pixels = np.concatenate([d[d != IGNORE].numpy() for d in depths]).astype(np.float64)
    assert values_of(model, "depth")[:, 0].tolist() == pytest.approx([pixels.mean(), pixels.std()], rel=1e-5)
    assert values_of(model, "albedo")[0].tolist() == pytest.approx(albedo.mean((1, 2)).tolist(), rel=1e-5)
    assert values_of(model, "albedo")[1].tolist() == pytest.approx(albedo.flatten(1).std(1, correction=0).tolist(), rel=1e-5)
    assert "values_of_normals" not in dict(model.codes.named_buffers())


def test_values_that_cannot_be_measured_are_defined() -> None:
    for labels, expected in (
        ([], [0, 1]),
        ([{"depth": torch.full((1, 2, 2), 255.0)}], [0, 1]),
        ([{"depth": torch.full((1, 2, 2), 3.0)}], [3, 1]),
    ):
        model = fresh()
        model.prepare(labels)
        assert values_of(model, "depth")[:, 0].tolist() == expected


def test_stated_depths_are_not_measured() -> None:
    model = fresh({**NYUD, "albedo": 2}, kinds={"albedo": {"name": "regression"}}, depth=[2.3618, 1.5876])
    model.prepare([{"depth": torch.rand(1, 4, 4), "albedo": torch.rand(2, 4, 4)}])
    assert values_of(model, "depth")[:, 0].tolist() == pytest.approx([2.3618, 1.5876])
    assert values_of(model, "albedo")[0].tolist() != [0, 0]
    assert NetworkConfig.model_validate(json.loads(model.config.model_dump_json())) == model.config  # as model.json keeps it


def unread() -> object:
    raise AssertionError("labels are read though nothing is to be measured")
    yield  # type: ignore[unreachable]


@pytest.mark.parametrize("outputs", [NYUD, PASCAL])
def test_labels_are_read_only_to_measure(outputs: dict[str, int]) -> None:
    fresh(outputs, depth=[2.3618, 1.5876]).prepare(unread())  # type: ignore[arg-type]


class Odd(Kind):
    """A kind that nobody has thought of."""

    best_constant = decode = label_map = scorer = picture = legend = None  # type: ignore[assignment]

    def loss(self, prediction: Tensor, label: Tensor) -> Tensor:
        return prediction.flatten(1).mean(1)


class OddValues(Odd):
    continuous = True


KINDS = {**{name: kind(name) for name in kind_names()}, "odd": Odd(), "odd values": OddValues()}
CHANNELS = {"normals": (3,), "classes": (4,), "binary": (2,), "boundary": (1,), "depth": (1,)}  # any number, of other kinds


@pytest.mark.parametrize(("name", "channels"), [(name, n) for name in KINDS for n in CHANNELS.get(name, (1, 3))])
def test_every_kind_has_a_code(monkeypatch: pytest.MonkeyPatch, name: str, channels: int) -> None:
    """Within [0, 1], as prediction and as label, and what is unlabelled is learned from."""
    outputs, of = {"semseg": 13, "x": channels}, KINDS[name]
    monkeypatch.setattr("dmtl.models.shared.method.kinds_of", lambda *_: {"semseg": kind_of("semseg"), "x": of})
    model, predictions = fresh(outputs), leaves(outputs)
    label = torch.randint(0, max(channels, 2), (2, of.label_channels(channels), *SIZE)).float()
    label = F.normalize(label + 0.1, dim=1) if name == "normals" else label * (3 if of.continuous else 1)
    label[:, :, :8] = IGNORE
    batch = batch_of("full").only(("semseg",))
    batch = replace(batch, labels={**batch.labels, "x": label}, image_index={**batch.image_index, "x": torch.tensor([1, 3])})
    for draws in ((1, 0), (3, None)):
        joint = model.codes(batch, seen(batch, predictions), draws)
        assert joint.codes.shape == (8, 13 + channels, *EIGHTH)
        assert joint.codes.min() >= 0
        assert joint.codes.max() <= 1 + 1e-5
    model.distance(model.codes(batch, seen(batch, predictions), (1, 0))).sum().backward()
    assert predictions["x"].grad is not None
    assert [bool(g.any()) for g in predictions["x"].grad] == [True, False, True, False]
    assert model(batch)[JOINT].isfinite()
