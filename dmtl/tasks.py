"""The six dense tasks: what each predicts, how it is scored and in which direction better lies (the paper's Section 4.1)."""

from dataclasses import dataclass

IGNORE = 255  # in every label that a network is trained or scored on: this pixel does not count


@dataclass(frozen=True)
class Task:
    """One dense prediction task; the number of output channels is the benchmark's own (`TASKS` in `dmtl/benchmarks/*.py`)."""

    title: str
    metric: str
    metric_title: str
    unit: str
    lower_is_better: bool = False
    label_channels: int = 1
    continuous: bool = False  # regressed values rather than classes


TASKS = {
    "semseg": Task("Semantic segmentation", "miou", "mIoU", "%"),
    "human_parts": Task("Human parsing", "miou", "mIoU", "%"),
    "saliency": Task("Saliency", "maxf", "maxF", "%"),
    "normals": Task("Surface normals", "mean_error", "mErr", "degrees", lower_is_better=True, label_channels=3, continuous=True),
    "boundary": Task("Boundary", "odsf", "odsF", "%"),
    "depth": Task("Depth", "abs_error", "absErr", "as stored", lower_is_better=True, continuous=True),
}
