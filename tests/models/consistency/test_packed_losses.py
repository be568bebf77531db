"""The losses of XTC and SS, packed over images and pairs, against plain loops."""

import pytest
import torch
import torch.nn.functional as F
from helpers.consistency import ZOOMS, crop_of, doubled, fresh, plain_pairs, plain_view
from helpers.networks import MASKS, NYUD, PASCAL, batch_of
from torch import Tensor, nn

from dmtl.data.batch import Batch
from dmtl.losses import image_weights
from dmtl.models.consistency.codecs import encode_label, encode_prediction, resize_label
from dmtl.models.consistency.losses import cross_task_loss, self_consistency_loss
from dmtl.models.consistency.network import CONSISTENCY, ConsistencyNetwork
from dmtl.models.consistency.pairs import film_column
from dmtl.models.consistency.view import draw_view
from dmtl.tasks import IGNORE, kind_of
from dmtl.tasks.shared.pixels import upsample


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
