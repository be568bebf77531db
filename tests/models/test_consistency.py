"""XTC and SS: the second view, the packing of pairs, the codecs and the losses, each against a plain loop."""

import copy

import pytest
import torch
import torch.nn.functional as F
from helpers.narrow_resnet import narrow_backbones
from helpers.networks import MASKS, NYUD, PASCAL, batch_of, lighten, network
from helpers.networks import fresh as narrow_network
from helpers.project import tiny_params
from torch import Tensor, nn

from dmtl.data.batch import Batch
from dmtl.losses import image_weights
from dmtl.models import build
from dmtl.models.consistency.codecs import encode_label, encode_prediction, resize_label
from dmtl.models.consistency.losses import cross_task_loss, self_consistency_loss
from dmtl.models.consistency.mapping import MappingNetwork
from dmtl.models.consistency.network import CONSISTENCY, ConsistencyNetwork
from dmtl.models.consistency.pairs import film_column, pack_pairs
from dmtl.models.consistency.view import View, draw_view
from dmtl.models.shared.random import uniform
from dmtl.tasks import IGNORE, kind_of
from dmtl.tasks.shared.pixels import upsample

ZOOMS = (1.0, 1.2, 1.5)
SIZE = (36, 60)


def fresh(
    method: str,
    outputs: dict[str, int] = NYUD,
    zooms: tuple[float, ...] = ZOOMS,
    resolution: str = "eighth",
    light: bool = False,
) -> ConsistencyNetwork:
    """A tiny network in double precision, evaluation mode, whose batch norms have statistics of their own.

    `light`: one convolution in place of each of the ResNet's stages, for the plain loops.
    """
    params = tiny_params()
    params["consistency"]["zooms"] = list(zooms)
    params["consistency"]["xtc"]["resolution"] = resolution
    torch.manual_seed(0)
    with narrow_backbones():
        model = build(network(method, outputs, params))
    if light:
        lighten(model)
    model = model.double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    for name, parameter in model.named_parameters():
        if name.endswith(("gamma", "beta")):
            parameter.data += 0.3 * torch.randn_like(parameter)
    if method == "xtc":  # codes are float32 whatever the network's precision
        for stem in model.mapping.stems.values():
            stem.register_forward_pre_hook(lambda _, args: args[0].double())
    assert isinstance(model, ConsistencyNetwork)
    return model


def doubled(batch: Batch) -> Batch:
    batch.images = batch.images.double()
    return batch


def pascal_batch(mask: list[list[int]], size: tuple[int, int] = (32, 64)) -> Batch:
    """Labels of all PASCAL tasks, a fifth of the pixels ignored."""
    g = torch.Generator().manual_seed(3)
    visible, n = torch.tensor(mask), len(mask)
    labels, image_index = {}, {}
    for t, (task, channels) in enumerate(PASCAL.items()):
        if not len(index := visible[:, t].nonzero()[:, 0]):
            continue
        label = torch.randint(0, max(channels, 2), (len(index), 1, *size), generator=g).float()
        if task == "normals":
            label = F.normalize(torch.randn(len(index), 3, *size, generator=g), dim=1)
        ignored = torch.rand(len(index), 1, *size, generator=g) < 0.2
        labels[task], image_index[task] = label.masked_fill(ignored, IGNORE), index
    images, keys = torch.randn(n, 3, *size, generator=g), torch.arange(40, 40 + n)
    return Batch(tuple("abcd"[:n]), images, keys, labels, image_index, image_weights(visible, "per_image"))


def crop_of(key: int, size: tuple[int, int], zooms: tuple[float, ...], flip: bool) -> tuple[float, int, int, int, int, bool]:
    """zoom, top, left, height, width and mirror of a key's view."""
    u = uniform(torch.tensor([key]), "second view", 0, (4,))[0].tolist()
    zoom = zooms[int(u[0] * len(zooms))]
    height, width = (int(side / zoom) for side in size)
    top, left = int(u[1] * (size[0] - height + 1)), int(u[2] * (size[1] - width + 1))
    return zoom, top, left, height, width, flip and u[3] < 0.5


def plain_view(key: int, x: Tensor, zooms: tuple[float, ...], flip: bool) -> Tensor:
    """Crop, bilinear zoom with corners aligned, mirror: one image `(C, H, W)`."""
    _, top, left, height, width, mirrored = crop_of(key, tuple(x.shape[-2:]), zooms, flip)
    crop = x[None, :, top : top + height, left : left + width]
    zoomed = F.interpolate(crop, size=x.shape[-2:], mode="bilinear", align_corners=True)[0]
    return zoomed.flip(-1) if mirrored else zoomed


# The second view


@pytest.mark.parametrize("flip", [False, True])
def test_a_view_is_the_crop_zoomed(flip: bool) -> None:
    keys = torch.arange(30)
    images = torch.randn(30, 3, *SIZE)
    moved = draw_view(keys, SIZE, ZOOMS, flip).image(images)
    for key in range(30):
        assert torch.allclose(moved[key], plain_view(key, images[key], ZOOMS, flip), atol=1e-3)


def test_labels_stay_where_the_image_is() -> None:
    """Image, classes and depth all hold the position; a label is at most half a pixel from what the image says."""
    index, keys = torch.arange(40), torch.arange(40)
    y, x = torch.meshgrid(torch.arange(float(SIZE[0])), torch.arange(float(SIZE[1])), indexing="ij")
    position = torch.stack([y, x, y])[None].expand(40, -1, -1, -1)
    view = draw_view(keys, SIZE, ZOOMS, flip=True)
    image = view.image(position)
    for channel in (0, 1):
        classes = view.label(kind_of("semseg"), position[:, channel : channel + 1], index)[:, 0]
        assert (classes - image[:, channel]).abs().max() <= 0.5 + 1e-3
        assert torch.equal(classes, classes.round())
    depth = view.label(kind_of("depth"), position[:, 1:2] + 1, index)[:, 0]
    assert (depth * view.zoom[:, None, None] - 1 - image[:, 1]).abs().max() <= 0.5 + 1e-3
    assert view.zoom.unique().tolist() == pytest.approx(ZOOMS)
    assert 5 < int(view.mirrored.sum()) < 35


def test_ignored_pixels_stay_exactly_ignored() -> None:
    """Every value of the view is one of the label's or, for normals, 255 in all channels or a mean of valid ones."""
    index, keys = torch.arange(24), torch.arange(24)
    hidden = torch.rand(24, 1, *SIZE) < 0.3
    view = draw_view(keys, SIZE, ZOOMS, flip=True)
    expected = F.grid_sample(hidden.float(), view.grid, mode="nearest", align_corners=True, padding_mode="border") > 0
    assert 0 < expected.sum() < expected.numel()
    for task, label in (
        ("semseg", torch.randint(0, 13, (24, 1, *SIZE)).float()),
        ("depth", 1 + torch.rand(24, 1, *SIZE)),
        ("normals", F.normalize(torch.randn(24, 3, *SIZE), dim=1)),
        ("boundary", torch.randint(0, 2, (24, 1, *SIZE)).float()),
    ):
        moved = view.label(kind_of(task), label.masked_fill(hidden, IGNORE), index)
        assert torch.equal(moved == IGNORE, expected.expand_as(moved)), task
        assert moved[moved != IGNORE].abs().max() <= label.abs().max() + 1e-5, task


def test_normals_are_interpolated_and_turn_with_the_mirror() -> None:
    keys = torch.arange(20)
    normals = F.normalize(torch.randn(20, 3, *SIZE), dim=1)
    view = draw_view(keys, SIZE, ZOOMS, flip=True)
    kind = kind_of("normals")
    moved, predicted = view.label(kind, normals, keys), view.prediction(kind, normals, keys)
    assert torch.equal(moved, predicted)
    for key in range(20):
        plain = plain_view(key, normals[key], ZOOMS, flip=True)
        plain[0] *= -1 if crop_of(key, SIZE, ZOOMS, flip=True)[-1] else 1
        assert torch.allclose(moved[key], plain, atol=1e-3)


def test_an_unmoved_view_is_the_first() -> None:
    keys, image = torch.arange(3), torch.randn(3, 3, *SIZE)
    label = torch.randint(0, 13, (3, 1, *SIZE)).float()
    view = draw_view(keys, SIZE, (1.0,), flip=False)
    assert torch.allclose(view.image(image), image, atol=1e-4)
    assert torch.equal(view.label(kind_of("semseg"), label, keys), label)
    assert torch.equal(view.label(kind_of("depth"), label + 0.5, keys), label + 0.5)


def test_a_view_depends_on_its_key_alone() -> None:
    keys = torch.tensor([5, 6, 7, -(2**62)])
    together, alone = draw_view(keys, SIZE, ZOOMS, True), draw_view(keys[2:3], SIZE, ZOOMS, True)
    assert torch.equal(together.grid[2:3], alone.grid)
    label = torch.rand(2, 1, *SIZE)
    index = torch.tensor([3, 1])  # labels of some of the images, in any order
    moved = together.label(kind_of("depth"), label, index)
    assert torch.equal(moved[:1], draw_view(keys[3:], SIZE, ZOOMS, True).label(kind_of("depth"), label[:1], torch.tensor([0])))


def test_autocast_leaves_labels_alone() -> None:
    keys, depth = torch.arange(4), torch.rand(4, 1, *SIZE) * 5
    view = draw_view(keys, SIZE, ZOOMS, False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = draw_view(keys, SIZE, ZOOMS, False).label(kind_of("depth"), depth, keys)
    assert torch.equal(inside, view.label(kind_of("depth"), depth, keys))


def test_uniform_draws() -> None:
    draws = uniform(torch.arange(4), "anything", 0, (5, 10_001)).double()
    assert draws.min() > 0
    assert draws.max() < 1
    assert (draws.mean() - 0.5).abs() < 0.005
    assert (draws.var() - 1 / 12).abs() < 0.001
    assert torch.equal(draws[2:3], uniform(torch.tensor([2]), "anything", 0, (5, 10_001)).double())
    assert not torch.equal(draws, uniform(torch.arange(4), "another", 0, (5, 10_001)).double())


# Pairs


def test_pairs_are_read_row_by_row_without_the_diagonal() -> None:
    for tasks in (2, 3, 5):
        order = [(s, t) for s in range(tasks) for t in range(tasks) if s != t]
        source, target = torch.tensor(order).T
        assert film_column(source, target, tasks).tolist() == list(range(tasks * (tasks - 1)))


def plain_pairs(labelled: list[set[int]], tasks: int) -> list[tuple[int, int, int]]:
    """(image, source, target), as the released code picks them."""
    found = []
    for image, known in enumerate(labelled):
        sources = set(range(tasks)) - known or known
        found += [(image, s, t) for s in range(tasks) for t in range(tasks) if s in sources and t in known and s != t]
    return found


@pytest.mark.parametrize("setting", MASKS)
def test_which_pairs_are_compared(setting: str) -> None:
    names = list(NYUD)
    labelled = [{t for t, visible in enumerate(row) if visible} for row in MASKS[setting]]
    image_index = batch_of(setting).image_index
    pairs = pack_pairs(image_index, 4, tuple(names))
    expected = plain_pairs(labelled, 3)
    assert len(pairs) == len(expected) == {"onelabel": 8, "randomlabels": 8, "full": 24}[setting]
    bank: list[tuple[str, str, int]] = []
    for task in names:
        bank += [("prediction", task, i) for i in pairs.sources[task].tolist()]
        bank += [("label", task, i) for i in image_index[task].tolist()] if task in image_index else []
    for k, (image, s, t) in enumerate(expected):
        assert int(pairs.image[k]) == image
        assert bank[pairs.prediction[k]] == ("prediction", names[s], image)
        assert bank[pairs.label[k]] == ("label", names[t], image)
        assert int(pairs.film[k]) == s * 2 + t - (t > s)


def test_labels_may_come_in_any_order() -> None:
    image_index = {"semseg": torch.tensor([2, 0]), "depth": torch.tensor([1])}
    pairs = pack_pairs(image_index, 3, tuple(NYUD))
    first = len(pairs.sources["semseg"])  # where the labels of semseg begin
    assert pairs.label[pairs.image == 2].tolist() == [first, first]
    assert pairs.label[pairs.image == 0].tolist() == [first + 1, first + 1]


# Codecs


@pytest.mark.parametrize("task", PASCAL)
def test_codes_are_bounded_and_alike(task: str) -> None:
    """A perfect prediction and its label have the same code, of the same channels, within [0, 1]."""
    channels = PASCAL[task]
    label = torch.randint(0, max(channels, 2), (4, 1, 8, 8)).float()
    prediction = 1000 * (label if channels == 1 else F.one_hot(label[:, 0].long(), channels).movedim(-1, 1).float())
    if task == "boundary":
        prediction = prediction - 500
    if task == "normals":
        label = F.normalize(torch.randn(4, 3, 8, 8), dim=1)
        prediction = 7 * label
    code = encode_prediction(task, kind_of(task), prediction, torch.arange(4), tau=1.0)
    assert code.shape == (4, channels, 8, 8)
    assert torch.allclose(code, encode_label(kind_of(task), label, channels), atol=1e-5)
    assert code.min() >= 0
    assert code.max() <= 1 + 1e-5


def test_depth_is_divided_by_its_own_largest() -> None:
    depth = torch.tensor([[1.0, 2.0, 4.0], [0.5, 0.25, IGNORE]]).view(2, 1, 1, 3)
    kind = kind_of("depth")
    assert encode_label(kind, depth, 1).flatten().tolist() == [0.25, 0.5, 1.0, 1.0, 0.5, 0.0]
    predicted = encode_prediction("depth", kind, torch.tensor([-1.0, 2.0, -1e-9, 0.0]).view(2, 1, 1, 2), torch.arange(2), 1.0)
    assert predicted.flatten().tolist() == pytest.approx([-0.5, 1.0, -1.0, 0.0], abs=1e-2)
    assert encode_prediction("depth", kind, torch.zeros(1, 1, 2, 2), torch.arange(1), 1.0).isfinite().all()


def test_ignored_pixels_have_an_empty_code() -> None:
    assert not encode_label(kind_of("semseg"), torch.full((1, 1, 2, 2), 255.0), 21).any()
    assert not encode_label(kind_of("boundary"), torch.full((1, 1, 2, 2), 255.0), 1).any()
    assert (encode_label(kind_of("normals"), torch.full((1, 3, 2, 2), 255.0), 3) == 0.5).all()


def test_classes_are_sampled_straight_through() -> None:
    """One-hot forwards; as often as the softmax says; the softmax's gradient backwards; the image's key decides."""
    logits = torch.log(torch.tensor([0.6, 0.3, 0.1])).view(1, 3, 1, 1).expand(1, 3, 100, 100).clone().requires_grad_()
    kind = kind_of("semseg")
    code = encode_prediction("semseg", kind, logits, torch.tensor([1]), tau=1.0)
    assert torch.allclose(code.sum(1), torch.ones(1, 100, 100))
    assert torch.allclose(code.max(1).values, torch.ones(1, 100, 100))
    assert code.mean((0, 2, 3)).tolist() == pytest.approx([0.6, 0.3, 0.1], abs=0.02)
    code[:, 0].sum().backward()
    assert logits.grad is not None
    assert (logits.grad[:, 0] > 0).all()
    assert (logits.grad[:, 1:] < 0).all()
    again = encode_prediction("semseg", kind, logits.detach(), torch.tensor([1]), tau=1.0)
    assert torch.equal(code.detach(), again)
    assert not torch.equal(again, encode_prediction("semseg", kind, logits.detach(), torch.tensor([2]), tau=1.0))


def test_labels_are_resized_without_new_values() -> None:
    label = torch.randint(0, 13, (2, 1, 32, 48)).float()
    small = resize_label(kind_of("semseg"), label, (4, 6))
    assert torch.equal(small, label[:, :, 4::8, 4::8])
    thin = torch.zeros(1, 1, 32, 48)
    thin[..., 9, :] = 1
    thin[..., 20:, :] = IGNORE
    edges = resize_label(kind_of("boundary"), thin, (4, 6))
    assert edges[0, 0, :, 0].tolist() == [0, 1, 0, 0]


# The mapping network


@pytest.mark.parametrize(("pools", "size"), [(2, (36, 48)), (2, (16, 32)), (2, (6, 8)), (5, (288, 384))])
def test_the_joint_space_lies_at_a_thirty_second(pools: int, size: tuple[int, int]) -> None:
    mapping = MappingNetwork(NYUD, (2, 2, 2, 2, 3), pools)
    out = mapping(mapping.bank({"depth": torch.rand(2, 1, *size)}), torch.tensor([0, 3]))
    factor = 2**pools
    assert out.shape == (2, 3, -(-size[0] // factor), -(-size[1] // factor))
    assert len(mapping.layers) == 13


def test_gamma_and_beta_begin_as_nothing_and_are_a_pairs_own() -> None:
    torch.manual_seed(0)
    mapping = MappingNetwork(NYUD, (4, 4, 4, 4, 4), 2).eval()
    assert [p.shape for p in mapping.film_parameters()] == [(4, 6)] * 26
    x = mapping.bank({"depth": torch.rand(1, 1, 8, 8)}).expand(2, -1, -1, -1)
    same = mapping(x, torch.tensor([1, 4]))
    assert torch.equal(same[0], same[1])
    mapping.film_parameters()[0].data[:, 4] *= 2
    other = mapping(x, torch.tensor([1, 4]))
    assert torch.equal(other[0], same[0])
    assert not torch.equal(other[1], same[1])


# Losses against plain loops


def plain_cross_task(model: ConsistencyNetwork, batch: Batch, flip: bool = False) -> Tensor:
    """XTC's consistency image by image and pair by pair, one map through the network at a time."""
    tasks, count = list(model.outputs), len(batch.images)
    images = {task: index.tolist() for task, index in batch.image_index.items()}
    view = draw_view(batch.noise_keys, batch.images.shape[-2:], ZOOMS, flip)
    total = torch.zeros((), dtype=torch.float64)
    for i, s, t in plain_pairs(
        [{t for t, task in enumerate(tasks) if i in images.get(task, [])} for i in range(count)], len(tasks)
    ):
        image = view.image(batch.images[i : i + 1].expand(count, -1, -1, -1))[i : i + 1].double()
        pyramid = model.trunk.pyramid(image)
        predictions = model.decoders(model.trunk.fused(pyramid))[1]
        prediction, source, target = predictions[tasks[s]], tasks[s], tasks[t]
        kind = kind_of(target)
        if model.options.xtc.resolution == "full":
            prediction = upsample(prediction, image.shape[-2:])
        one = images[target].index(i)
        label = view.label(kind, batch.labels[target][one : one + 1], torch.tensor([i]))
        label = encode_label(kind, resize_label(kind, label, prediction.shape[-2:]), model.outputs[target])
        code = encode_prediction(source, kind_of(source), prediction, batch.noise_keys[i : i + 1], tau=1.0)
        pair = int(film_column(torch.tensor(s), torch.tensor(t), len(tasks)))
        a, b = (plain_mapping(model, task, x.double(), pair) for task, x in ((source, code), (target, label)))
        f = pyramid[-1].detach()
        if model.projection is not None:
            f = F.conv2d(f, model.projection)
        cosines = [(x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)).clamp(min=1e-12) for x, y in ((a, b), (a, f), (b, f))]
        labelled = sum(i in index for index in images.values())
        pair_loss = sum(w * (1 - cosine).mean() for w, cosine in zip((1.0, 0.5, 0.5), cosines, strict=True))
        total = total + len(tasks) / labelled * pair_loss
    return total / count


def plain_mapping(model: ConsistencyNetwork, task: str, x: Tensor, pair: int) -> Tensor:
    m = model.mapping
    x = m.stems[task](x)
    for number, layer in enumerate(m.layers):
        x = layer.norm(layer.conv(x)) * layer.gamma[:, pair].view(1, -1, 1, 1) + layer.beta[:, pair].view(1, -1, 1, 1)
        x = x.relu()
        pools = (1, 3, 6, 9, 12) if model.options.xtc.resolution == "full" else (1, 3)
        if number in pools:
            x = F.max_pool2d(x, 2, ceil_mode=True)
    return x


def assert_equal_with_gradients(model: nn.Module, packed: Tensor, plain: Tensor) -> None:
    assert packed.item() == pytest.approx(plain.item(), rel=1e-5)
    gradients = []
    for loss in (packed, plain):
        model.zero_grad()
        loss.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    moved = {name for name, gradient in gradients[0].items() if gradient.any()}
    assert moved == {name for name, gradient in gradients[1].items() if gradient.any()}
    for name in moved:
        a, b = gradients[0][name], gradients[1][name]
        assert (a - b).abs().max() <= 1e-4 * b.abs().max(), name


@pytest.mark.parametrize("setting", MASKS)
def test_packed_cross_task_consistency_equals_a_loop(setting: str) -> None:
    model, batch = fresh("xtc", light=True), doubled(batch_of(setting))
    packed = model(batch)[CONSISTENCY]
    assert_equal_with_gradients(model, packed, 2.0 * plain_cross_task(model, batch))


def test_packed_cross_task_consistency_equals_a_loop_at_full_resolution() -> None:
    model, batch = fresh("xtc", resolution="full", light=True), doubled(batch_of("onelabel"))
    assert_equal_with_gradients(model, model(batch)[CONSISTENCY], 2.0 * plain_cross_task(model, batch))


def test_packed_cross_task_consistency_equals_a_loop_on_pascals_tasks() -> None:
    mask = [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]]
    model, batch = fresh("xtc", PASCAL, light=True), doubled(pascal_batch(mask))
    assert_equal_with_gradients(model, model(batch)[CONSISTENCY], 2.0 * plain_cross_task(model, batch))


@pytest.mark.parametrize("method", ["xtc", "semi_supervised"])
def test_the_order_of_a_batch_changes_nothing(method: str) -> None:
    """In training mode too, where batch norm sees all maps of the batch at once."""
    model, batch = fresh(method, light=True).train(), doubled(batch_of("randomlabels"))
    order = torch.tensor([2, 0, 3, 1])
    place = order.argsort()  # where each image has gone
    image_index = {task: place[index] for task, index in batch.image_index.items()}
    ids = tuple(batch.ids[i] for i in order.tolist())
    moved = Batch(ids, batch.images[order], batch.noise_keys[order], batch.labels, image_index, batch.image_weights[order])
    expected = model(batch)
    for name, loss in model(moved).items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-5)


def plain_self_consistency(model: ConsistencyNetwork, batch: Batch) -> Tensor:
    """SS image by image and task by task, pixel masks by hand."""
    count, size = len(batch.images), tuple(batch.images.shape[-2:])
    o = model.options.semi_supervised
    total = torch.zeros((), dtype=torch.float64)
    for i in range(count):
        key = int(batch.noise_keys[i])
        labelled = sum(i in index.tolist() for index in batch.image_index.values())
        factor = len(model.outputs) / labelled  # as the supervised losses
        zooms = model.options.zooms
        zoom = crop_of(key, size, zooms, flip=False)[0]
        first = batch.images[i]
        second = draw_view(batch.noise_keys, size, zooms, False).image(batch.images)[i].double()
        before, after = (model.decoders(model.trunk(x[None]))[1] for x in (first, second))
        for task in model.outputs:
            if i in batch.image_index.get(task, torch.tensor([])).tolist():
                continue
            p = plain_view(key, upsample(before[task], size)[0].detach(), zooms, flip=False)
            q = upsample(after[task], size)[0]
            if task == "depth":
                difference = (p / zoom - q).abs()
                total = total + factor * difference[difference < o.largest_difference].sum() / difference.numel()
            elif task == "normals":
                difference = 1 - F.normalize(p, dim=0) * F.normalize(q, dim=0)
                total = total + factor * difference[difference < o.largest_difference].sum() / difference.numel()
            elif task == "boundary":
                y = p.sigmoid()
                sure = torch.maximum(y, 1 - y) > o.confidence
                bce = -(y * F.logsigmoid(q) + (1 - y) * F.logsigmoid(-q))
                total = total + factor * (bce[sure].mean() if sure.any() else 0)
            else:
                probability, label = p.softmax(0).max(0)
                label = label.masked_fill(probability <= o.confidence, IGNORE)
                if (label != IGNORE).any():
                    total = total + factor * F.cross_entropy(q[None], label[None], ignore_index=IGNORE)
    return o.weight * total / count


@pytest.mark.parametrize("benchmark", ["nyud", "pascal"])
def test_packed_self_consistency_equals_a_loop(benchmark: str) -> None:
    outputs = NYUD if benchmark == "nyud" else PASCAL
    batch = batch_of("onelabel") if benchmark == "nyud" else pascal_batch([[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]])
    zooms = (1.2, 1.5)  # without a zoom both views agree but for rounding, and the sign of their difference is noise
    model, batch = fresh("semi_supervised", outputs, zooms, light=True), doubled(batch)
    for task, head in model.decoders.heads.items():  # so that some pixels are sure and some are not
        head.weight.data *= 1 if task == "depth" else 12
    assert_equal_with_gradients(model, model(batch)[CONSISTENCY], plain_self_consistency(model, batch))


def test_what_self_consistency_leaves_out() -> None:
    """Depths too far apart, unsure classes; and the teacher never learns."""
    near, far = torch.full((1, 1, 2, 2), 1.05), torch.full((1, 1, 2, 2), 1.2)
    one = torch.ones(1, 1, 2, 2, requires_grad=True)
    assert self_consistency_loss(kind_of("depth"), one, near, 0.95, 0.1).item() == pytest.approx(0.05)
    assert self_consistency_loss(kind_of("depth"), one, far, 0.95, 0.1).item() == 0
    unsure = torch.log(torch.tensor([0.9, 0.1])).view(1, 2, 1, 1)
    sure = torch.log(torch.tensor([0.99, 0.01])).view(1, 2, 1, 1).requires_grad_()
    student = torch.zeros(1, 2, 1, 1, requires_grad=True)
    assert self_consistency_loss(kind_of("saliency"), unsure, student, 0.95, 0.1).item() == 0
    loss = self_consistency_loss(kind_of("saliency"), sure, student, 0.95, 0.1)
    assert loss.item() == pytest.approx(0.6931, abs=1e-4)
    loss.sum().backward()
    assert sure.grad is None
    assert student.grad is not None


def test_the_feature_anchors_and_does_not_learn() -> None:
    a, b, f = (torch.randn(2, 4, 3, 3, requires_grad=True) for _ in range(3))
    cross_task_loss(a, b, f).sum().backward()
    assert f.grad is None
    assert a.grad is not None
    assert b.grad is not None
    assert cross_task_loss(a, a, a).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert cross_task_loss(a, -a, a).tolist() == pytest.approx([2 + 0 + 1, 2 + 0 + 1], abs=1e-5)


@pytest.mark.parametrize("method", ["xtc", "semi_supervised"])
def test_consistency_teaches_the_tasks_without_a_label(method: str) -> None:
    model = fresh(method)
    model.decoders.heads["normals"].bias.data[2] = 5  # so that normals of both views are near each other
    model(doubled(batch_of("full").only(("semseg",))))[CONSISTENCY].backward()
    for task in ("depth", "normals"):
        assert model.decoders.heads[task].weight.grad.any()
    assert model.trunk.backbone.conv1.weight.grad.any()
    if method == "semi_supervised":
        assert model.decoders.heads["semseg"].weight.grad is None


@pytest.mark.parametrize("method", ["xtc", "semi_supervised"])
def test_where_there_is_nothing_to_compare_there_is_no_term(method: str) -> None:
    model = fresh(method, {"semseg": 13} if method == "xtc" else NYUD)
    batch = doubled(batch_of("full"))
    losses = model(batch.only(("semseg",)) if method == "xtc" else batch)
    assert CONSISTENCY not in losses
    assert losses


# Beside the mapping network it is the baseline


@pytest.mark.parametrize("method", ["xtc", "semi_supervised"])
def test_inference_is_the_baselines(method: str) -> None:
    """Same weights, same predictions; the mapping network does not run."""
    model, baseline = fresh(method), narrow_network("mtl_baseline").double().eval()
    state = {name: value for name, value in model.state_dict().items() if name.startswith(("trunk", "decoders"))}
    baseline.load_state_dict(state)
    broken = copy.deepcopy(model)
    for name, parameter in broken.named_parameters():
        if name.startswith("mapping"):
            parameter.data.fill_(float("nan"))
    images = torch.randn(2, 3, 32, 64).double()
    expected = baseline.predict(images)["final"]
    for task, maps in broken.predict(images)["final"].items():
        assert torch.equal(maps, expected[task])


@pytest.mark.parametrize("method", ["xtc", "semi_supervised"])
def test_the_supervised_loss_is_of_the_first_view(method: str) -> None:
    model, baseline = fresh(method), narrow_network("mtl_baseline").double().eval()
    state = {name: value for name, value in model.state_dict().items() if name.startswith(("trunk", "decoders"))}
    baseline.load_state_dict(state)
    batch = doubled(batch_of("randomlabels"))
    losses = model(batch)
    for task, loss in baseline(batch).items():
        assert losses[task].item() == pytest.approx(loss.item(), rel=1e-6)


def test_a_second_view_is_no_copy() -> None:
    """Both views are in one batch of the trunk, the second after the first."""
    model, batch = fresh("xtc"), doubled(batch_of("onelabel"))
    seen: list[Tensor] = []
    model.trunk.backbone.conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(batch)
    (images,) = seen
    assert torch.equal(images[:4], batch.images)
    view: View = draw_view(batch.noise_keys, (32, 64), ZOOMS, flip=False)
    assert torch.equal(images[4:], view.image(batch.images).double())
    assert not torch.equal(images[4:], images[:4])


def test_resnet50s_feature_is_projected_by_fixed_weights() -> None:
    torch.manual_seed(0)
    options = network("xtc").model_copy(update={"backbone": "resnet50"})
    model = build(options)
    assert model.projection.shape == (16, 2048, 1, 1)
    rows = model.projection[:, :, 0, 0]
    assert torch.allclose(rows @ rows.T, torch.eye(16), atol=1e-4)
    assert "projection" not in dict(model.named_parameters())
    losses = model.train()(batch_of("onelabel"))
    assert losses[CONSISTENCY].isfinite()


def test_gamma_and_beta_have_their_own_learning_rate() -> None:
    model = fresh("xtc")
    rest, film = model.parameter_groups()
    assert "rate" not in rest
    assert [film["rate"](epoch) for epoch in (0, 29, 30, 60)] == pytest.approx([1e-3, 1e-3, 5e-4, 2.5e-4])
    ours = {id(p) for name, p in model.named_parameters() if name.endswith(("gamma", "beta"))}
    assert {id(p) for p in film["params"]} == ours
    assert len(rest["params"]) + len(film["params"]) == len(list(model.parameters()))
