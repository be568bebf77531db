"""Metrics, one file each, to the letter of the papers' own evaluation code (datasets-and-metrics part 2)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmtl.metrics.metric import Metric


def metric_for(task: str, channels: int) -> "Metric":
    """An empty accumulator for a task with that many output channels."""
    # Imported here: the boundary metric serves users who need no torch, which takes seconds to import.
    from dmtl.metrics.depth import Depth
    from dmtl.metrics.normals import Normals
    from dmtl.metrics.segmentation import Segmentation

    if task in ("semseg", "human_parts"):
        return Segmentation(channels)
    return {"depth": Depth, "normals": Normals}[task]()
