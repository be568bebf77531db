"""PASCAL-Context as ASTMT and ATRC published it for five tasks (datasets-and-metrics 1.1)."""

TASKS = {
    "semseg": 21,
    "human_parts": 7,
    "saliency": 2,
    "normals": 3,
    "boundary": 1,
}  # task -> output channels, as the masks
