"""PASCAL-Context as ASTMT and ATRC published it for five tasks (datasets-and-metrics 1.1)."""

from dmtl.benchmarks.sample import Fit

TASKS = {
    "semseg": 21,
    "human_parts": 7,
    "saliency": 2,
    "normals": 3,
    "boundary": 1,
}  # task -> output channels, as the masks
CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
PARTS = ("background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")
FIT: Fit = "pad"
