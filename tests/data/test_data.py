"""Shards, transforms and loading: equal bytes, hidden labels stay hidden, augmentation keeps image and labels together."""

import os
import pickle
import signal
import time
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from helpers.project import tiny_params, write_project

from dmtl.benchmarks import benchmark
from dmtl.benchmarks.shared.sample import Sample
from dmtl.config import IMAGENET, Project, ScaleCrop, for_shards
from dmtl.data.loading import Collate, EpochBatches, EvaluationSet, TrainingBatches, TrainingSet, evaluation_batches, noise_key
from dmtl.data.shards import Shard
from dmtl.data.transforms import augment, hide_invalid, horizontal_flip, normalise, random_scale_crop
from dmtl.errors import UserError
from dmtl.prepare.obtain import Raw
from dmtl.prepare.packing import pack, write_shard
from dmtl.prepare.shards import build_shards
from dmtl.tasks import kinds_of

TASKS = ("semseg", "depth", "normals")
KINDS = kinds_of(TASKS)
ZOOMS = (1.0, 1.2, 1.5)
AUGMENTATION = ScaleCrop(kind="scale_crop", zooms=ZOOMS, flip=True)


def _shard(tiny: Path, split: str = "train") -> Shard:
    return Shard(Project(tiny).paths.shard("nyud", split))


def test_rebuilt_shards_have_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    again = Project(write_project(tmp_path / "again", tiny_params()))
    (tmp_path / "again" / "data").mkdir()
    (tmp_path / "again" / "data" / "raw").symlink_to(tiny / "data" / "raw")
    raw = Raw("nyud", *for_shards(again, "nyud"), again.paths)
    build_shards(raw)
    for split in ("train", "val"):
        first, second = (project.paths.shard("nyud", split).read_bytes() for project in (Project(tiny), again))
        assert first == second


def test_a_shard_describes_itself(tiny: Path) -> None:
    train, val = _shard(tiny), _shard(tiny, "val")
    assert (len(train), len(val)) == (6, 3)
    assert train.outputs == {"semseg": 13, "depth": 1, "normals": 3}
    assert train.about == {"benchmark": "nyud", "split": "train", "source": "synthetic"}
    assert train.size == (32, 64)
    with h5py.File(train.path) as file:
        assert all(file[name].chunks[0] == 1 for name in ("image", *TASKS))
        assert all(file[name].compression == "gzip" for name in ("image", *TASKS))  # lzf packs equal content differently
        assert file["image"].dtype == file["semseg"].dtype == np.uint8
        assert file["depth"].dtype == np.float32


def test_a_shard_can_be_sent_to_another_process(tiny: Path) -> None:
    shard = _shard(tiny)
    before = shard.image(0)
    other = pickle.loads(pickle.dumps(shard))
    assert np.array_equal(other.image(0), before)
    data = TrainingSet(shard, "full", TASKS, 0, AUGMENTATION, IMAGENET)
    loaded, here = ([b.images for b in TrainingBatches(data, 3, n, "per_image").epoch(0)] for n in (2, 0))
    assert all(torch.equal(a, b) for a, b in zip(loaded, here, strict=True))


def test_damaged_shards_are_named(tiny: Path) -> None:
    path = _shard(tiny).path
    content = path.read_bytes()
    for damaged in (b"", content[:300], b"no HDF5" * 100):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"train\.h5 is damaged"):
            Shard(path)
    path.unlink()
    with pytest.raises(UserError, match=r"train\.h5 is missing: build it with 'dvc repro'"):
        Shard(path)


def test_a_failure_leaves_the_old_shard_and_nothing_else(tiny: Path) -> None:
    path = _shard(tiny).path
    before, tasks = path.read_bytes(), [benchmark("nyud").task("depth")]

    def samples() -> object:
        sample = Sample(np.zeros((32, 64, 3), np.uint8), {"depth": np.ones((32, 64), np.float32)})
        yield pack(sample, (32, 64), "resize", tasks)
        raise UserError("the second image is bad")

    with pytest.raises(UserError, match="second image"):
        write_shard(path, samples(), ["0", "1"], tasks, {}, {})  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["train.h5", "val.h5"]


@pytest.mark.parametrize("setting", ["onelabel", "randomlabels"])
def test_the_training_set_cannot_see_a_hidden_label(tiny: Path, setting: str) -> None:
    """Every hidden label is overwritten in the file; nothing that training sees changes."""
    shard = _shard(tiny)
    mask = shard.label_mask(setting)
    data = TrainingSet(shard, setting, TASKS, seed=0, augmentation=AUGMENTATION, normalisation=IMAGENET)
    before = [data[0, i] for i in range(len(data))]
    assert [sorted(e.labels) for e in before] == [sorted(t for t, m in zip(TASKS, row, strict=True) if m) for row in mask]
    shard._close()
    with h5py.File(shard.path, "r+") as file:
        for k, row in enumerate(mask):
            for task, visible in zip(TASKS, row, strict=True):
                if not visible:
                    file[task][k] = 7
    changed = TrainingSet(_shard(tiny), setting, TASKS, seed=0, augmentation=AUGMENTATION, normalisation=IMAGENET)
    for i, example in enumerate(before):
        again = changed[0, i]
        assert torch.equal(again.image, example.image)
        assert all(torch.equal(again.labels[task], label) for task, label in example.labels.items())
    assert len(list(changed.labels())) == len(mask)
    assert all(set(seen) == set(e.labels) for seen, e in zip(changed.labels(), before, strict=True))


def test_a_task_of_its_own_sees_only_images_that_carry_it(tiny: Path) -> None:
    shard = _shard(tiny)
    column = shard.label_mask("onelabel")[:, 1]
    data = TrainingSet(shard, "onelabel", ("depth",), seed=0, augmentation=AUGMENTATION, normalisation=IMAGENET)
    assert data.images.tolist() == np.flatnonzero(column).tolist()
    assert all(set(data[0, i].labels) == {"depth"} for i in range(len(data)))


def test_a_setting_without_labels_is_named(tiny: Path) -> None:
    shard = _shard(tiny)
    shard._close()
    with h5py.File(shard.path, "r+") as file:
        file["label_mask/onelabel"][:, 1] = 0
    with pytest.raises(UserError, match="setting 'onelabel' shows no label of depth"):
        TrainingSet(_shard(tiny), "onelabel", ("depth",), seed=0, augmentation=AUGMENTATION, normalisation=IMAGENET)


def test_a_batch_holds_the_labels_that_exist(tiny: Path) -> None:
    data = TrainingSet(_shard(tiny), "randomlabels", TASKS, seed=0, augmentation=AUGMENTATION, normalisation=IMAGENET)
    examples = [data[0, i] for i in range(6)]
    batch = Collate(TASKS, "per_image")(examples)
    assert batch.ids == tuple(example.id for example in examples)
    assert batch.noise_keys.tolist() == [example.noise_key for example in examples]
    for task in TASKS:
        carrying = [i for i, e in enumerate(examples) if task in e.labels]
        assert batch.image_index[task].tolist() == carrying
        assert torch.equal(batch.labels[task], torch.stack([examples[i].labels[task] for i in carrying]))
    assert batch.image_weights.tolist() == pytest.approx([3 / len(example.labels) / 6 for example in examples])
    assert Collate(TASKS, "none")(examples).image_weights.tolist() == pytest.approx([1 / 6] * 6)


def test_batches_are_a_function_of_seed_and_epoch() -> None:
    def epoch(number: int, seed: int = 0, start: int = 0) -> list[list[tuple[int, int]]]:
        return list(EpochBatches(11, 4, seed, number, start))

    assert epoch(3) == epoch(3)
    assert epoch(3) != epoch(4)
    assert epoch(3) != epoch(3, seed=1)
    assert epoch(3, start=1) == epoch(3)[1:]
    indices = Counter(index for batch in epoch(3) for _, index in batch)
    assert len(epoch(3)) == 2
    assert len(indices) == 8
    assert max(indices.values()) == 1
    assert len(list(EpochBatches(2, 4, 0, 0))) == 1  # fewer images than a batch are one batch


def test_augmentation_is_a_function_of_seed_epoch_and_image(tiny: Path) -> None:
    data = TrainingSet(_shard(tiny), "full", TASKS, seed=0, augmentation=AUGMENTATION, normalisation=IMAGENET)
    assert torch.equal(data[2, 4].image, data[2, 4].image)
    assert data[2, 4].noise_key == data[2, 4].noise_key
    assert len({data[epoch, 4].noise_key for epoch in range(10)}) == 10
    assert any(not torch.equal(data[0, 4].image, data[epoch, 4].image) for epoch in range(1, 6))


def test_noise_keys_are_spread() -> None:
    keys = {noise_key(str(i), seed, epoch) for i in range(50) for seed in range(2) for epoch in (-1, 0, 1)}
    assert len(keys) == 300
    assert all(-(2**63) <= key < 2**63 for key in keys)


def test_evaluation_sees_every_label_unaugmented(tiny: Path) -> None:
    shard = _shard(tiny, "val")
    (batch,) = evaluation_batches(EvaluationSet(shard, 0, IMAGENET), TASKS, [list(range(len(shard)))])
    assert all(batch.image_index[task].tolist() == [0, 1, 2] for task in TASKS)
    pixels = torch.from_numpy(shard.image(1)).permute(2, 0, 1).float()
    assert torch.equal(batch.images[1], normalise(pixels, IMAGENET))
    depth = torch.from_numpy(shard.label("depth", 1))
    assert torch.equal(batch.labels["depth"][1, 0], torch.where(depth == 0, 255, depth))


def _scene(height: int = 60, width: int = 90) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """An image whose value is its position, labels that follow it, and some invalid pixels."""
    column = torch.arange(width).expand(1, height, width).float()
    semseg = (column // 10).clone()
    semseg[0, :5] = 255
    depth = 1 + column / 10
    depth[0, 10:15] = 0
    normals = torch.stack([column[0] / width, torch.zeros(height, width), -torch.ones(height, width)])
    normals = normals / normals.norm(dim=0)
    normals[:, 20:25] = 0
    return column.repeat(3, 1, 1), {"semseg": semseg, "depth": depth.clone(), "normals": normals}


@pytest.mark.parametrize("scale", ZOOMS)
def test_scale_crop_keeps_image_and_labels_together(scale: float) -> None:
    image, labels = _scene()
    zoomed, new = random_scale_crop(image, labels, KINDS, np.random.default_rng(0), (scale,))
    assert zoomed.shape == image.shape
    assert set(new["semseg"].unique().tolist()) <= set(labels["semseg"].unique().tolist())
    assert torch.isin(new["depth"] * scale, labels["depth"]).all() or torch.allclose(
        (new["depth"] * scale)[..., None].sub(labels["depth"].unique()).abs().amin(-1), torch.zeros(()), atol=1e-5
    )
    valid = (new["semseg"] != 255) & (new["depth"] > 0)
    column = zoomed[:1][valid]
    assert (new["semseg"][valid] - torch.floor(column / 10)).abs().max() <= 1
    assert (new["depth"][valid] * scale - (1 + column / 10)).abs().max() < 0.11
    assert (new["normals"].norm(dim=0) <= 1 + 1e-5).all()


def test_no_zoom_changes_nothing() -> None:
    image, labels = _scene()
    same, new = random_scale_crop(image, labels, KINDS, np.random.default_rng(0), (1.0,))
    assert torch.equal(same, image)
    assert all(torch.equal(new[task], label) for task, label in labels.items())


def test_zooms_are_drawn_evenly() -> None:
    rng = np.random.default_rng(0)
    image, labels = _scene(30, 30)
    labels = {"depth": torch.ones(1, 30, 30)}
    drawn = Counter(
        round(1 / float(random_scale_crop(image, labels, KINDS, rng, ZOOMS)[1]["depth"][0, 0, 0]), 1) for _ in range(300)
    )
    assert set(drawn) == set(ZOOMS)
    assert min(drawn.values()) > 70


def test_two_flips_are_none() -> None:
    image, labels = _scene()
    flipped, new = horizontal_flip(image, labels, KINDS)
    assert torch.equal(flipped, image.flip(-1))
    assert torch.equal(new["normals"][0], -labels["normals"][0].flip(-1))
    assert torch.equal(new["normals"][1:], labels["normals"][1:].flip(-1))
    back, same = horizontal_flip(flipped, new, KINDS)
    assert torch.equal(back, image)
    assert all(torch.equal(same[task], label) for task, label in labels.items())


def test_flips_are_a_choice() -> None:
    image, labels = _scene(30, 30)
    rngs = [(flip, np.random.default_rng(seed)) for flip in (True, False) for seed in range(40)]
    choices = {flip: ScaleCrop(kind="scale_crop", zooms=(1.0,), flip=flip) for flip in (True, False)}
    images = [augment(image, labels, KINDS, rng, choices[flip], (30, 30))[0] for flip, rng in rngs]
    mirrored = [bool(x[0, 0, 0] > x[0, 0, -1]) for x in images]
    assert 10 < sum(mirrored[:40]) < 30
    assert not any(mirrored[40:])


def test_invalid_pixels_become_ignore() -> None:
    _, labels = _scene()
    hidden = hide_invalid(labels, KINDS)
    assert torch.equal(hidden["depth"] == 255, labels["depth"] == 0)
    assert torch.equal((hidden["normals"] == 255).all(0), (labels["normals"] == 0).all(0))
    assert torch.equal(hidden["semseg"], labels["semseg"])
    assert (labels["depth"] == 0).any()  # the argument is not changed


def _kill_one_loading_process(batches: TrainingBatches, workers: list) -> None:
    """Load epochs until the training notices that the first loading process is dead."""
    for epoch in range(100_000):
        assert len(list(batches.epoch(epoch))) == 3
        workers[:] = batches._loader._iterator._workers  # type: ignore[union-attr]
        os.kill(workers[0].pid, signal.SIGKILL)
        time.sleep(0.1)


def test_a_killed_loading_process_ends_the_training_in_one_line(tiny: Path) -> None:
    """It hung: the other loading processes heed no signal but SIGKILL, with which they are ended now."""
    data = TrainingSet(_shard(tiny), "full", TASKS, 0, AUGMENTATION, IMAGENET)
    workers: list = []
    message = "a loading process has died or hangs .* Set fewer 'workers'"
    with pytest.raises(UserError, match=message), TrainingBatches(data, 2, 2, "per_image") as batches:
        _kill_one_loading_process(batches, workers)
    for worker in workers:
        worker.join(10)
    assert [worker.exitcode for worker in workers] == [-signal.SIGKILL] * 2
