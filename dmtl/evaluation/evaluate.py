"""One pass over a test shard: every image's statistics for every metric of every task, of initial and final predictions.

Where a method learns something else in the place of labels, also of what that leaves of the labels themselves: the ceiling.

What an image adds is counted from that image alone, in float64 or whole numbers, and added up in the images' order, so the number
of processes changes no digit. A network's own last digits may depend on how many images it sees at a time (libraries choose their
algorithms by shape), so the batches are always the same: `BATCH` images in the shard's order; a share is every n-th of them.
"""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dmtl.data.loading import EvaluationSet, evaluation_batches
from dmtl.data.shards import Shard
from dmtl.data.transforms import centred
from dmtl.errors import UserError
from dmtl.evaluation.predictions import write_prediction
from dmtl.metrics.per_image import PerImage, Tables
from dmtl.models.shared.method import Method
from dmtl.tasks.boundary import Boundary

if TYPE_CHECKING:
    from dmtl.metrics.boundary_pool import BoundaryPool

BATCH = 8

Row = np.ndarray | Future[np.ndarray]


class Share(NamedTuple):
    """The part of a test set that one of several processes evaluates: of every `of` batches the `number`-th, from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Share":
        """From `I/N`; UserError for anything else."""
        parts = text.split("/")
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            raise UserError(f"share '{text}' is not of the form I/N, such as 1/2")
        return cls(int(parts[0]), int(parts[1]))


WHOLE = Share(1, 1)


def evaluate(
    model: Method,
    shard: Shard,
    description: dict[str, Any],
    share: Share = WHOLE,
    predictions: Path | None = None,
    processes: int | None = None,
) -> PerImage:
    """Evaluate a network on a test shard, with memory for one batch and the statistics.

    Args:
        model: in evaluation mode; it is moved to the GPU if there is one.
        shard: the test shard; its tasks must be the model's.
        description: the model's model.json. Inference noise is drawn from its `seed` (0 where it has none) and each image's id.
        share: which part of the shard; `dmtl.metrics.per_image.merge` puts the parts together.
        predictions: the folder that every prediction is written to (`dmtl.evaluation.predictions`), if any.
        processes: that count boundaries; None: as many as pay, 0: this one.

    Raises:
        UserError: the shard is of another benchmark; a prediction is not finite (the message names image and task).
    """
    if model.outputs != shard.outputs:
        raise UserError(f"{shard.path} holds {shard.outputs}, but the model predicts {model.outputs}: not the same benchmark")
    batches = _batches(len(shard), share)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    loader = evaluation_batches(
        EvaluationSet(shard, description.get("seed") or 0, model.config.normalisation), model.tasks, batches
    )
    described = {name: description.get(name) for name in ("cell", "scale", "seed", "fingerprint", "training")}
    with ExitStack() as stack:
        scoring = _Scoring(shard, predictions, _boundary_pool(shard, batches, processes, stack))
        for images, batch in zip(tqdm(batches, "evaluating", unit="batch", disable=None, leave=False), loader, strict=True):
            one = batch.to(device)
            stages = model.predict(one.images, noise_keys=one.noise_keys) | {"ceiling": model.ceiling(one.labels)}
            for stage, maps in stages.items():
                for task, prediction in maps.items():
                    scoring.add(stage, task, images, prediction, one.labels[task])
        index = np.array([k for images in batches for k in images], np.int64)
        labelled = None if shard.labelled is None else shard.labelled[index]
        ids, kinds = np.array(shard.ids), shard.described_kinds
        return PerImage(described, dict(model.outputs), kinds, ids, index, scoring.tables(), labelled)


def _batches(count: int, share: Share) -> list[list[int]]:
    if not 1 <= share.number <= share.of:
        raise UserError(f"share {share.number}/{share.of} is none: give I/N with I from 1 to N")
    batches = [list(range(first, min(first + BATCH, count))) for first in range(0, count, BATCH)]
    if share.of > len(batches):
        raise UserError(f"{count} images are {len(batches)} batches, too few for {share.of} shares: give at most {len(batches)}")
    return batches[share.number - 1 :: share.of]


def _scores_boundaries(shard: Shard) -> bool:
    return any(isinstance(kind, Boundary) for kind in shard.kinds.values())


def require_finite(prediction: Tensor) -> None:
    """UserError where a prediction holds NaN or infinity."""
    if not prediction.sum().isfinite():
        raise UserError("the prediction holds NaN or infinite values: this training has failed, try a lower learning_rate")


def _boundary_pool(shard: Shard, batches: list[list[int]], processes: int | None, stack: ExitStack) -> "BoundaryPool | None":
    if not _scores_boundaries(shard):
        return None
    from dmtl.metrics.boundary_pool import BoundaryPool, processes_for  # numba: only where it is needed

    listed = shard.boundary_listed
    maps = 2 * sum(int(listed[images].sum()) for images in batches)  # of two stages
    needed = processes_for(maps, shard.size[0] * shard.size[1]) if processes is None else processes
    return stack.enter_context(BoundaryPool(needed))


class _Scoring:
    """The rows of statistics of one pass."""

    def __init__(self, shard: Shard, predictions: Path | None, pool: "BoundaryPool | None") -> None:
        self.shard, self.predictions, self.pool = shard, predictions, pool
        self.metrics = {task: kind.scorer(shard.outputs[task]) for task, kind in shard.kinds.items()}
        self.rows: dict[tuple[str, str], list[Row]] = defaultdict(list)

    def add(self, stage: str, task: str, images: list[int], predictions: Tensor, labels: Tensor) -> None:
        """Count a batch: `(B, C, H, W)` predictions of one task against its `(B, 1 or C, H, W)` labels."""
        for k, prediction, label in zip(images, predictions, labels, strict=True):
            with self._named(stage, task, k):
                require_finite(prediction)
                kind = self.shard.kinds[task]
                decoded = kind.decode(prediction)
                if self.predictions is not None:
                    write_prediction(self.predictions / stage, task, kind, self.shard.ids[k], self._content(k, decoded))
                by_regions = isinstance(kind, Boundary)
                row = self._boundary(k, decoded) if by_regions else self.metrics[task].statistics(decoded, label)
            self.rows[stage, task].append(row)

    def tables(self) -> Tables:
        """The rows of each stage and task; waits for those that are still being counted."""
        tables: Tables = defaultdict(dict)
        for (stage, task), rows in self.rows.items():
            tables[stage][task] = np.stack([row.result() if isinstance(row, Future) else row for row in rows])
        return dict(tables)

    def _boundary(self, k: int, decoded: Tensor) -> Row:
        """Counted against the label map, not the training label, and on the images of the odsF list only."""
        from dmtl.metrics.boundary import UNCOUNTED
        from dmtl.tasks.shared.arrays import eight_bits

        if self.pool is None or not self.shard.boundary_listed[k]:
            return UNCOUNTED
        return self.pool.count(eight_bits(self._content(k, decoded)), self.shard.label_map(k))

    def _content(self, k: int, decoded: Tensor) -> np.ndarray:
        """Without the padding around the image."""
        rows, columns = centred(self.shard.size, self.shard.content_size(k))
        return decoded[..., rows, columns].cpu().numpy()

    @contextmanager
    def _named(self, stage: str, task: str, k: int) -> Iterator[None]:
        try:
            yield
        except UserError as error:
            raise UserError(f"{stage} {task} of image '{self.shard.ids[k]}': {error}") from None
