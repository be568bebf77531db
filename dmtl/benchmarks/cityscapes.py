"""Cityscapes as MTAN published it: 128x256, 7 classes, disparity as depth (datasets-and-metrics 1.3)."""

from dmtl.benchmarks.sample import Fit

TASKS = {"semseg": 7, "depth": 1}  # task -> output channels, in the masks' order
CLASSES = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
FIT: Fit = "resize"
