"""Which pairs of tasks are compared, against the loop that picks them."""

import pytest
import torch
from helpers.consistency import plain_pairs
from helpers.networks import MASKS, NYUD, batch_of

from dmtl.models.consistency.pairs import film_column, pack_pairs


def test_pairs_are_read_row_by_row_without_the_diagonal() -> None:
    for tasks in (2, 3, 5):
        order = [(s, t) for s in range(tasks) for t in range(tasks) if s != t]
        source, target = torch.tensor(order).T
        assert film_column(source, target, tasks).tolist() == list(range(tasks * (tasks - 1)))


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
