"""Metrics, one file each, to the letter of the papers' own evaluation code (datasets-and-metrics part 2)."""

from dmtl.metrics.metric import Metric


def metric_for(task: str, channels: int) -> Metric:
    """The metric of a task with that many output channels."""
    # Imported here: the boundary metric brings numba, and who wants that metric alone needs none of the others.
    if task == "boundary":
        from dmtl.metrics.boundary import Boundary

        return Boundary()
    from dmtl.metrics.depth import Depth
    from dmtl.metrics.normals import Normals
    from dmtl.metrics.saliency import Saliency
    from dmtl.metrics.segmentation import Segmentation

    if task in ("semseg", "human_parts"):
        return Segmentation(channels)
    others: dict[str, type[Depth | Normals | Saliency]] = {"depth": Depth, "normals": Normals, "saliency": Saliency}
    return others[task]()
