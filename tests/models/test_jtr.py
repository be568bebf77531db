"""JTR: which gradients its terms have, what is put side by side, and the auto-encoder, each against a plain way to do it."""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.networks import MASKS, NYUD, PASCAL, batch_of, lighten, network
from helpers.project import tiny_params
from torch import Tensor, nn

from dmtl.config import NetworkConfig
from dmtl.data.batch import Batch
from dmtl.losses import image_weights
from dmtl.models import build
from dmtl.models.consistency.autoencoder import AutoEncoder
from dmtl.models.consistency.codecs import resize_label
from dmtl.models.consistency.joint import JointMaps
from dmtl.models.consistency.losses import reconstruction_loss
from dmtl.models.consistency.network import FurtherView
from dmtl.models.consistency.view import draw_view
from dmtl.models.jtr import JOINT, JointTaskRegularisation
from dmtl.tasks import IGNORE, kind, kind_names, kind_of
from dmtl.tasks.shared.kind import Kind

SIZE, EIGHTH = (32, 64), (4, 8)
CITYSCAPES = {"semseg": 7, "depth": 1}


def fresh(
    outputs: dict[str, int] = NYUD, width: int = 8, kinds: dict[str, dict] | None = None, **jtr: object
) -> JointTaskRegularisation:
    """A tiny network in training mode, on a light backbone, the same every time; `jtr` instead of some of its options."""
    params = tiny_params()
    params["consistency"]["jtr"] |= jtr
    torch.manual_seed(0)
    model = build(network("jtr", outputs, params, width=width, kinds=kinds)).train()
    assert isinstance(model, JointTaskRegularisation)
    lighten(model)
    return model


def leaves(outputs: dict[str, int] = NYUD, count: int = 4) -> dict[str, Tensor]:
    """Predictions of a view at 1/8 of the images."""
    g = torch.Generator().manual_seed(5)
    return {task: torch.randn(count, n, *EIGHTH, generator=g, requires_grad=True) for task, n in outputs.items()}


def seen(batch: Batch, predictions: dict[str, Tensor], zooms: tuple[float, ...] = (1.0, 1.5), flip: bool = False) -> FurtherView:
    view = draw_view(batch.noise_keys, batch.images.shape[-2:], zooms, flip, "second view")
    return FurtherView(view, predictions, torch.zeros(()))


def labelled(batch: Batch, task: str) -> list[bool]:
    return [i in batch.image_index.get(task, torch.empty(0)).tolist() for i in range(len(batch.images))]


def with_ignored(batch: Batch, share: float = 0.3) -> Batch:
    """The same batch, some blocks of 8x8 pixels of each label ignored, of each label others."""
    g = torch.Generator().manual_seed(9)
    labels = {}
    for task, label in batch.labels.items():
        blocks = torch.rand(len(label), 1, *EIGHTH, generator=g) < share
        labels[task] = label.masked_fill(F.interpolate(blocks.float(), scale_factor=8) > 0, IGNORE)
    return replace(batch, labels=labels)


# Which gradients the terms have


@pytest.mark.parametrize("setting", ["onelabel", "randomlabels"])
def test_the_first_distance_teaches_unlabelled_predictions_alone(setting: str) -> None:
    model, batch, predictions = fresh(), batch_of(setting), leaves()
    model.distance(model.codes(batch, seen(batch, predictions), (1, 0))).sum().backward()
    for task, prediction in predictions.items():
        assert prediction.grad is not None
        assert [bool(g.any()) for g in prediction.grad] == [not there for there in labelled(batch, task)], task
    assert [name for name, p in model.auto_encoder.named_parameters() if p.grad is not None] == []


def test_the_second_distance_and_the_reconstruction_teach_the_auto_encoder_alone() -> None:
    model, batch, predictions = fresh(), batch_of("randomlabels"), leaves()
    distance, lost = model.auto_encoder_losses(model.codes(batch, seen(batch, predictions), (3, None)))
    (distance + lost).sum().backward()
    assert all(prediction.grad is None for prediction in predictions.values())
    assert [name for name, p in model.auto_encoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_fully_labelled_images_train_the_network_as_the_supervised_loss_does() -> None:
    """Of the same forward pass of three views, bit for bit."""
    gradients = []
    for terms in (set(NYUD), {*NYUD, JOINT}):
        model = fresh()
        losses = model(with_ignored(batch_of("full")))
        torch.stack([losses[name] for name in sorted(terms)]).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if n.startswith(("trunk", "decoders"))})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_statistics_of_batch_norm_move_with_the_training_of_the_auto_encoder_alone() -> None:
    model, batch = fresh(), batch_of("onelabel")
    joint = model.codes(batch, seen(batch, leaves()), (1, 0))
    before = copy.deepcopy(dict(model.auto_encoder.named_buffers()))
    code = model.auto_encoder.frozen_code(joint.codes)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.auto_encoder.named_buffers())
    trained, _ = model.auto_encoder(joint.codes)
    assert torch.equal(code, trained)  # in training both normalise by the maps they see
    moved = [not torch.equal(b, before[name]) for name, b in model.auto_encoder.named_buffers()]
    assert all(moved)
    assert len(moved) == 3 * 26


@pytest.mark.parametrize("outputs", [CITYSCAPES, PASCAL])
def test_the_number_of_passes_depends_on_neither_tasks_nor_images(outputs: dict[str, int]) -> None:
    model, passes = fresh(outputs), {"encoder": 0, "decoder": 0, "trunk": 0}
    for name, module in (*model.auto_encoder.named_children(), ("trunk", model.trunk.backbone.conv1)):
        module.register_forward_hook(lambda *_, name=name: passes.update({name: passes[name] + 1}))
    model(batch_of("onelabel").only(("depth",) if outputs is CITYSCAPES else ("semseg", "normals")))
    assert passes == {"encoder": 2, "decoder": 1, "trunk": 1}


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


# The auto-encoder


@pytest.mark.parametrize(("channels", "millions", "encoder"), [(34, 25.000, 14.741), (17, 24.989, 14.731), (8, 24.984, 14.726)])
def test_the_auto_encoder_has_the_released_size(channels: int, millions: float, encoder: float) -> None:
    with torch.device("meta"):
        auto_encoder = AutoEncoder(channels, (64, 128, 256, 512, 512), pools=2)
    for module, expected in ((auto_encoder, millions), (auto_encoder.encoder, encoder)):
        assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("pools", "size", "code"), [(2, (6, 8), (1, 2)), (2, (7, 9), (1, 2)), (2, (36, 48), (9, 12)), (5, (48, 70), (1, 2))]
)
def test_any_size_comes_back(pools: int, size: tuple[int, int], code: tuple[int, int]) -> None:
    auto_encoder = AutoEncoder(5, (2, 3, 4, 5, 6), pools)
    joint, outputs = auto_encoder(torch.rand(2, 5, *size))
    assert (joint.shape, outputs.shape) == ((2, 6, *code), (2, 5, *size))


@pytest.mark.parametrize("pools", [2, 5])
def test_it_is_a_segnet(pools: int) -> None:
    """Against the layers written out: as many in every group, pooling and unpooling with the same pixels in mirrored places."""
    torch.manual_seed(0)
    auto_encoder, x = AutoEncoder(5, (2, 3, 4, 5, 6), pools).eval(), torch.rand(1, 5, 32, 64)
    for p in auto_encoder.parameters():
        p.data += 0.2 * torch.randn_like(p)
    layers = [m for m in auto_encoder.modules() if isinstance(m, nn.Sequential) and isinstance(m[0], nn.Conv2d) and len(m) == 3]
    assert len(layers) == 26
    y, kept, number = x, [], 0
    for group, count in enumerate((2, 2, 3, 3, 3)):
        for layer in layers[number : (number := number + count)]:
            y = F.relu(layer[1](F.conv2d(y, layer[0].weight, layer[0].bias, padding=1)))
        if group < pools:
            y, indices = nn.MaxPool2d(2, return_indices=True)(y)
            kept.append(indices)
    joint = y
    for group, count in enumerate((3, 3, 3, 2, 2)):
        if group >= 5 - pools:
            y = nn.MaxUnpool2d(2)(y, kept.pop())
        for layer in layers[number : (number := number + count)]:
            y = F.relu(layer[1](F.conv2d(y, layer[0].weight, layer[0].bias, padding=1)))
    outputs = auto_encoder.decoder.head[1](auto_encoder.decoder.head[0](y))
    for ours, plain in zip(auto_encoder(x), (joint, outputs), strict=True):
        assert torch.allclose(ours, plain, atol=1e-5)
    convolutions = [m for m in AutoEncoder(5, (2, 3, 4, 5, 6), pools).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 28
    assert not any(m.bias.any() for m in convolutions)


def test_it_is_no_part_of_the_predictions() -> None:
    model, images = fresh().eval(), torch.randn(2, 3, *SIZE)
    expected = model.predict(images)["final"]
    for parameter in (*model.auto_encoder.parameters(), *model.codes.buffers()):
        parameter.data.fill_(float("nan"))
    assert all(torch.equal(maps, expected[task]) for task, maps in model.predict(images)["final"].items())


# What is lost in it


def test_what_is_lost_of_a_code() -> None:
    """Each by hand: the target is what went in, a normal counts once, and the mean is over the valid pixels."""
    valid = torch.tensor([True, False]).view(1, 1, 1, 2)
    logits, code = (
        torch.tensor([[2.0, 9.0], [-1.0, 9.0]]).view(1, 2, 1, 2),
        torch.tensor([[0.7, 0.0], [0.3, 0.0]]).view(1, 2, 1, 2),
    )
    expected = sum(
        -t * math.log(s) - (1 - t) * math.log(1 - s) for t, s in ((0.7, 1 / (1 + math.exp(-2))), (0.3, 1 / (1 + math.e)))
    )
    assert reconstruction_loss(kind_of("semseg"), logits, code, valid).item() == pytest.approx(expected, rel=1e-5)
    depth = reconstruction_loss(
        kind_of("depth"), torch.tensor([0.0, 5.0]).view(1, 1, 1, 2), torch.tensor([0.9, 0.0]).view(1, 1, 1, 2), valid
    )
    assert depth.item() == pytest.approx(0.4)
    n = torch.tensor([0.0, 0.6, 0.8])
    along, across = (torch.stack([v, torch.ones(3)], dim=1).view(1, 3, 1, 2) for v in (5 * n, torch.tensor([3.0, 0.0, 0.0])))
    target = torch.stack([(n + 1) / 2, torch.zeros(3)], dim=1).view(1, 3, 1, 2)
    assert reconstruction_loss(kind_of("normals"), along, target, valid).item() == pytest.approx(0, abs=1e-6)
    assert reconstruction_loss(kind_of("normals"), across, target, valid).item() == pytest.approx(1)
    for task, channels in PASCAL.items():
        maps = torch.rand(2, channels, 1, 2)
        assert reconstruction_loss(kind_of(task), maps, maps, torch.zeros(2, 1, 1, 2, dtype=torch.bool)).tolist() == [0, 0]


def test_the_term_is_the_weighted_mean_over_images() -> None:
    """4 (d1 + 2 d2) + 2 R, without the weights that images have by their labels."""
    model, batch = fresh(), batch_of("randomlabels")
    views = model.views(batch)
    teaching, training = views.further
    d1 = model.distance(model.codes(batch, teaching, (1, 0)))
    d2, lost = model.auto_encoder_losses(model.codes(batch, training, (3, None)))
    assert d1.shape == d2.shape == lost.shape == (4,)
    expected = sum(4 * (d1[i] + 2 * d2[i]) + 2 * lost[i] for i in range(4)) / 4
    assert model.consistency(views).item() == pytest.approx(expected.item(), rel=1e-5)
    model.jtr = model.jtr.model_copy(update={"encoder_distance": 0.0, "reconstruction": 0.0})
    assert model.consistency(views).item() == pytest.approx(4 * d1.mean().item(), rel=1e-5)
    first, second = (draw_view(batch.noise_keys, SIZE, (1.0, 1.2, 1.5), False, f"{name} view") for name in ("second", "third"))
    assert torch.equal(teaching.view.grid, first.grid)
    assert torch.equal(training.view.grid, second.grid)
    assert not torch.equal(first.grid, second.grid)


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


# Batches that are unlike most


def one_step(model: JointTaskRegularisation, batch: Batch) -> dict[str, Tensor]:
    losses = model(batch)
    torch.stack(list(losses.values())).sum().backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    return losses


@pytest.mark.parametrize("setting", MASKS)
def test_two_tasks(setting: str) -> None:
    assert one_step(fresh(CITYSCAPES), batch_of(setting).only(("depth",)))[JOINT] > 0


@pytest.mark.parametrize("resolution", ["eighth", "full"])
def test_an_image_by_itself(resolution: str) -> None:
    batch = batch_of("full", size=(32, 32))
    labels = {"semseg": batch.labels["semseg"][:1]}
    alone = Batch(
        ("a",),
        batch.images[:1],
        batch.noise_keys[:1],
        labels,
        {"semseg": torch.tensor([0])},
        image_weights(torch.tensor([[1, 0, 0]]), "per_image"),
    )
    assert one_step(fresh(resolution=resolution), alone)[JOINT] > 0


def test_an_image_whose_labels_are_all_ignored() -> None:
    """Its maps are those of ignored labels on both sides, so it has no distance and loses nothing."""
    model, batch = fresh(), batch_of("full")
    for label in batch.labels.values():
        label[2] = IGNORE
    joint = model.codes(batch, seen(batch, leaves()), (1, 0))
    assert not any(valid[[2, 6]].any() for valid in joint.valid.values())
    assert torch.equal(joint.codes[2], joint.codes[6])
    distance, lost = model.auto_encoder_losses(joint)
    assert distance[2].item() == pytest.approx(0, abs=1e-6)
    assert lost[2].item() == 0
    assert lost[1].item() > 0
    one_step(model, batch)


def test_an_image_without_any_label() -> None:
    """Everything of it is predicted; only the two draws of its classes differ."""
    model, batch = fresh(), batch_of("onelabel")
    none = batch.only(("semseg", "depth"))  # of the third image there is none
    joint = model.codes(none, seen(none, leaves()), (1, 0))
    assert torch.equal(joint.codes[2, 13:], joint.codes[6, 13:])
    assert not torch.equal(joint.codes[2, :13], joint.codes[6, :13])
    assert joint.valid["depth"][[2, 6]].all()
    one_step(model, none)


def test_named_tasks_without_labels_change_nothing() -> None:
    """As several processes name them (`Batch.naming`)."""
    batch = batch_of("onelabel").only(("semseg",))
    channels = {task: kind_of(task).label_channels(n) for task, n in NYUD.items()}
    with torch.no_grad():
        plain, named = fresh()(batch), fresh()(batch.naming(channels))
    assert torch.equal(plain[JOINT], named[JOINT])


def test_half_precision() -> None:
    model = fresh()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(batch_of("randomlabels"))
    assert losses[JOINT].dtype == torch.float32
    assert losses[JOINT].isfinite()
