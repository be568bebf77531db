"""The pictures of test images: the file that evaluation leaves."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.galleries import made_up
from helpers.narrow_resnet import narrow_backbones
from helpers.project import tiny_params, write_project

from dmtl.benchmarks import benchmark
from dmtl.config import IMAGENET, Project, for_training
from dmtl.data.loading import EvaluationSet
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.evaluation.gallery import LONGEST, chosen_images, load_gallery, make_gallery
from dmtl.models import build
from dmtl.tasks import kind_of, kinds_of


def test_the_same_images_are_chosen_for_every_method() -> None:
    assert chosen_images(32) == [2, 6, 10, 14, 18, 22, 26, 30]
    assert chosen_images(654) == [40, 122, 204, 286, 367, 449, 531, 613]
    assert chosen_images(3) == [0, 1, 2]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Tiny networks with random weights, and the description of each."""
    project = Project(write_project(tmp_path_factory.mktemp("project"), tiny_params()))
    torch.manual_seed(0)
    made = {}
    for method in ("mtl_baseline", "diffusion_prediction", "diffusion_feature"):
        cell = f"nyud-onelabel-{method}"
        network = for_training(project, cell).network(benchmark("nyud").outputs)
        with narrow_backbones():
            made[method] = build(network).eval(), {"cell": cell, "seed": 5, "network": {"method": method}}
    return made


def test_a_gallery_holds_what_is_predicted(networks: dict, tiny: Path) -> None:
    shard = Shard(Project(tiny).paths.shard("nyud", "val"))
    model, description = networks["diffusion_prediction"]
    gallery = make_gallery(model, shard, description)
    assert gallery.stages() == ("initial", "noisy", "final")
    assert gallery.tasks() == ("semseg", "depth", "normals")
    assert gallery.ids == shard.ids
    examples = [EvaluationSet(shard, 5, IMAGENET)[k] for k in range(len(shard))]
    keys = torch.tensor([example.noise_key for example in examples])
    images = torch.stack([example.image for example in examples])
    for stage, maps in model.predict(images, noise_keys=keys, noisy=True).items():
        for task, logits in maps.items():
            kind = kind_of(task)
            expected = kind.to_bytes(kind.to_map(kind.decode(logits[1]).numpy()), gallery.about["spans"][task])
            np.testing.assert_array_equal(gallery.arrays[f"{stage}/{task}"][1], expected)
    # What is denoised first is the initial prediction with noise: like it, but not it.
    stages = model.predict(images, noise_keys=keys, noisy=True)
    assert 0 < (stages["initial"]["depth"] - stages["noisy"]["depth"]).abs().mean() < 1


def test_only_the_reference_holds_images_and_labels(networks: dict, tiny: Path) -> None:
    shard = Shard(Project(tiny).paths.shard("nyud", "val"))
    gallery = make_gallery(networks["mtl_baseline"][0], shard, networks["mtl_baseline"][1])
    assert gallery.stages() == ("label", "final")
    np.testing.assert_array_equal(gallery.image(2), shard.image(2))
    example = EvaluationSet(shard, 5, IMAGENET)[2]
    for task in gallery.tasks():
        kind = kind_of(task)
        expected = kind.label_map(example.labels[task].numpy())
        step = {"classes": 0, "depth": gallery.about["spans"][task][1] / 500, "normals": 0.008}[kind.name]
        np.testing.assert_allclose(gallery.map("label", task, 2), expected, rtol=0, atol=step)
    features = make_gallery(networks["diffusion_feature"][0], shard, networks["diffusion_feature"][1])
    assert features.stages() == ("initial", "final")  # its noise is on features, which have no picture


def test_equal_maps_give_equal_bytes_and_come_back(networks: dict, tiny: Path, tmp_path: Path) -> None:
    shard = Shard(Project(tiny).paths.shard("nyud", "val"))
    for name in ("a", "b"):
        make_gallery(*networks["mtl_baseline"][:1], shard, networks["mtl_baseline"][1]).save(tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = load_gallery(tmp_path / "a.npz")
    assert {name: again.about[name] for name in ("cell", "benchmark", "method", "ids", "kinds")} == {
        "cell": "nyud-onelabel-mtl_baseline",
        "benchmark": "nyud",
        "method": "mtl_baseline",
        "ids": shard.ids,
        "kinds": {},
    }
    assert again.stages() == ("label", "final")


def test_a_damaged_file_is_told_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "x.gallery.npz"
    with pytest.raises(UserError, match="is missing"):
        load_gallery(file)
    made_up("nyud", "xtc", 2).save(file)
    content = file.read_bytes()
    for end in (0, 10, len(content) // 2, len(content) - 5):
        file.write_bytes(content[:end])
        with pytest.raises(UserError, match="holds no pictures"):
            load_gallery(file)


class _LargeShard:
    """A test set of two large images that do not fill the canvas."""

    size, ids, outputs, about = (400, 600), ["a", "b"], {"saliency": 2, "semseg": 21}, {"benchmark": "pascal"}
    kinds, described_kinds = kinds_of(["saliency", "semseg"]), {}

    def __len__(self) -> int:
        return 2

    def content_size(self, k: int) -> tuple[int, int]:
        return ((400, 600), (100, 300))[k]

    def image(self, k: int) -> np.ndarray:
        return np.full((*self.content_size(k), 3), 40 * k, np.uint8)


def test_large_images_are_made_small_and_lines_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding is cut off; a line one pixel wide is still seen at less than half the size."""
    image = torch.zeros(3, 400, 600)
    line = torch.full((2, 400, 600), -20.0)
    line[1, :, 301] = line[1, 151:153] = 20.0

    class Data:
        def __init__(self, *_: object) -> None: ...

        def __getitem__(self, k: int) -> SimpleNamespace:
            labels = {"saliency": (line[1:] > 0).float(), "semseg": torch.full((1, 400, 600), 3.0)}
            return SimpleNamespace(image=image, noise_key=k, labels=labels)

    class Model:
        tasks, config = ("saliency", "semseg"), SimpleNamespace(normalisation=IMAGENET)
        to = eval = lambda self, *_: self

        def predict(self, images: torch.Tensor, noise_keys: torch.Tensor, noisy: bool) -> dict:
            return {"final": {"saliency": line.expand(2, -1, -1, -1), "semseg": torch.ones(2, 21, 400, 600)}, "initial": {}}

    monkeypatch.setattr("dmtl.data.loading.EvaluationSet", Data)
    gallery = make_gallery(Model(), _LargeShard(), {"network": {"method": "mtl_baseline"}})  # type: ignore[arg-type]
    assert gallery.content.tolist() == [[171, LONGEST], [85, LONGEST]]
    for stage in ("label", "final"):
        assert [gallery.map(stage, "saliency", k).shape for k in (0, 1)] == [(171, 256), (85, 256)]
        assert gallery.map(stage, "saliency", 0)[:, 128].min() > 0.3  # the upright line
        # The lower image lies in the middle of the canvas, from row 150 on: the flat line is near its top.
        assert gallery.map(stage, "saliency", 1)[:4].max() > 0.5
    assert (gallery.map("label", "semseg", 1) == 3).all()
    assert gallery.image(1).shape == (85, 256, 3)
