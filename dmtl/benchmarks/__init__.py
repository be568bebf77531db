"""Benchmarks, one file each: tasks, classes, splits, and raw files -> samples."""
