"""Every method's pictures of the same test images."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.galleries import made_up
from helpers.page_structure import problems
from helpers.project import ROOT
from PIL import Image

from dmtl.benchmarks import benchmark
from dmtl.config import Project, for_report
from dmtl.report.frames import COUNT, GAP, frames_html, fully_labelled

B = "-tf_efficientnet_lite0"
METHODS = ("mtl_baseline", "xtc", "diffusion_feature")


@pytest.fixture
def study(tmp_path: Path) -> Project:
    """The study's files with pictures of three methods."""
    for name in ("params.yaml", "grid.yaml"):
        (tmp_path / name).write_text((ROOT / "study" / name).read_text())
    project = Project(tmp_path)
    for method in METHODS:
        made_up("nyud", method).save(project.paths.gallery(f"nyud-onelabel-{method}{B}"))
    return project


def test_each_method_shows_the_same_images_of_every_task(study: Project) -> None:
    html = frames_html(for_report(study), study.paths)
    assert problems(f'<html lang="en"><head></head><body><h1>x</h1>{html}</body></html>') == []
    captions = re.findall(r"<figcaption>([^<]+)</figcaption>", html)
    methods = ["labels", "MTL Baseline", "XTC*", "DiffusionMTL (Feature)"]
    assert captions == ["images", *methods * 3]
    pictures = [Image.open(io.BytesIO(base64.b64decode(x))) for x in re.findall(r"data:image/webp;base64,([^\"]+)", html)]
    assert {picture.size for picture in pictures} == {(COUNT * 64 + (COUNT - 1) * GAP, 48)}


def test_a_method_that_was_tested_on_other_images_is_left_out(study: Project) -> None:
    other = made_up("nyud", "xtc")
    replace(other, about=other.about | {"ids": [f"other{k}" for k in range(8)]}).save(
        study.paths.gallery(f"nyud-onelabel-xtc{B}")
    )
    assert "XTC*" not in frames_html(for_report(study), study.paths)


def test_without_the_reference_there_is_nothing_to_show(study: Project) -> None:
    study.paths.gallery(f"nyud-onelabel-mtl_baseline{B}").unlink()
    assert frames_html(for_report(study), study.paths) == ""


def test_images_with_all_labels_come_first() -> None:
    """The second and fifth of eight lack normals: the other six are shown."""
    gallery = made_up("nyud", "mtl_baseline")
    labels = gallery.arrays["label/normals"].copy()
    missing = np.full_like(labels[0], np.nan, dtype=float)
    kind = benchmark("nyud").task("normals").kind
    for k in (1, 4):
        labels[k] = kind.to_bytes(missing.astype(np.float32), tuple(gallery.about["spans"]["normals"]))
    gallery = replace(gallery, arrays=gallery.arrays | {"label/normals": labels})
    assert fully_labelled(gallery) == [0, 2, 3, 5, 6, 7]
