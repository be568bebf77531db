"""The second view of a batch: image, labels and predictions move together, each as its kind does."""

import pytest
import torch
import torch.nn.functional as F
from helpers.consistency import SIZE, ZOOMS, crop_of, plain_view

from dmtl.models.consistency.view import draw_view
from dmtl.tasks import IGNORE, kind_of


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
