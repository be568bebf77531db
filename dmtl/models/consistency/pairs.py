"""Which ordered pairs of tasks are compared on which image, packed (docs/methods.md, "xtc")."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from dmtl.models.shared.method import Maps


@dataclass(frozen=True)
class TaskPairs:
    """P (image, source, target) triples: the source's prediction is compared with the target's label.

    What they encode lies in one bank of maps, task by task: a task's predictions of the images `sources`, then its labels.

    Attributes:
        sources: task -> `(m_t,)` int64, the images whose prediction of the task is encoded.
        image: `(P,)` int64.
        film: `(P,)` int64, the column of (source, target) among the ordered pairs of different tasks, source by source.
        prediction, label: `(P,)` int64, where the source's prediction and the target's label lie in the bank.
    """

    sources: Maps
    image: Tensor
    film: Tensor
    prediction: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def to(self, device: torch.device) -> "TaskPairs":
        """The same pairs on `device`, copied without waiting."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        sources = {task: moved(index) for task, index in self.sources.items()}
        return TaskPairs(sources, *(moved(getattr(self, field.name)) for field in fields(self) if field.name != "sources"))


def pack_pairs(image_index: Maps, images: int, tasks: tuple[str, ...]) -> TaskPairs:
    """On each image every pair (unlabelled source, labelled target); where all tasks are labelled, every pair of two of them.

    Args:
        image_index: task -> `(n_t,)` int64, the images that carry its label; not empty. On the CPU, for how many pairs there are
            depends on it, and a GPU's answer would be waited for.
        images: size of the batch.
        tasks: all tasks, in order.
    """
    device = next(iter(image_index.values())).device
    labelled = torch.zeros(images, len(tasks), dtype=torch.bool, device=device)
    for t, task in enumerate(tasks):
        if task in image_index:
            labelled[image_index[task], t] = True
    wanted = (~labelled | labelled.all(1, keepdim=True))[:, :, None] & labelled[:, None, :]
    wanted &= ~torch.eye(len(tasks), dtype=torch.bool, device=device)
    sources = {task: wanted[:, t].any(1).nonzero()[:, 0] for t, task in enumerate(tasks)}
    predictions, labels = _places(sources, image_index, images, tasks)
    image, source, target = wanted.nonzero(as_tuple=True)
    column = film_column(source, target, len(tasks))
    return TaskPairs(sources, image, column, predictions[image, source], labels[image, target])


def film_column(source: Tensor, target: Tensor, tasks: int) -> Tensor:
    """Position of (source, target) in the matrix of all tasks read row by row without its diagonal."""
    return source * (tasks - 1) + target - (target > source).long()


def _places(sources: Maps, image_index: Maps, images: int, tasks: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """`(B, T)` twice: where the prediction and the label of each (image, task) lie in the bank."""
    places = [torch.zeros(images, len(tasks), dtype=torch.int64, device=sources[tasks[0]].device) for _ in range(2)]
    filled = 0
    for t, task in enumerate(tasks):
        for place, index in zip(places, (sources[task], image_index.get(task)), strict=True):
            if index is not None:
                place[index, t] = torch.arange(filled, filled + len(index), device=index.device)
                filled += len(index)
    return places[0], places[1]
