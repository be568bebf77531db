"""The canvas and the recipe that `dmtl init` plans for images and a machine."""

import pytest

from dmtl.init.recipe import Machine, canvas, plan

CPU, GPU = Machine(gpu=False, bfloat16=False, weights=True), Machine(gpu=True, bfloat16=True, weights=True)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(480, 640)] * 3, ((96, 128), "resize")),
        ([(480, 640), (640, 480)], ((96, 96), "pad")),
        ([(40, 56)], ((32, 64), "resize")),
        ([(1024, 2048)], ((64, 160), "resize")),
        ([(10, 10)], ((32, 32), "resize")),
    ],
)
def test_the_canvas_fits_the_images(sizes: list[tuple[int, int]], expected: tuple[tuple[int, int], str]) -> None:
    assert canvas(sizes, pixels=96 * 128) == expected


def test_the_recipe_fits_the_number_of_images_and_the_machine() -> None:
    few, many = (plan([(480, 640)], count, ["depth"], CPU).recipe for count in (6, 6000))
    assert (few["batch"], few["epochs"]) == (3, 60)
    assert (many["batch"], many["epochs"]) == (8, 4)
    assert (few["width"], few["precision"]) == (64, "32-true")
    large = plan([(480, 640)], 795, ["depth"], GPU)
    assert (large.size, large.backbone, large.recipe["epochs"]) == ((288, 384), "resnet18", 200)
    assert plan([(480, 640)], 6, ["depth"], CPU).token_stride == 1
    assert large.token_stride == 4
    assert plan([(480, 640)], 6, ["depth"], CPU._replace(weights=False)).recipe["pretrained"] is False
