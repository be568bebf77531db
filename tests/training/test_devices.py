"""Several processes compute what one does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.project import ROOT
from helpers.training import set_recipe
from safetensors.torch import load_file

from dmtl.config import IMAGENET, Project
from dmtl.data.loading import EpochBatches, TrainingBatches, TrainingSet
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.training.devices import launched

CELL = "nyud-onelabel-diffusion_feature"


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-8), pytest.param("float32", 1e-4, marks=pytest.mark.long)])
def test_two_processes_equal_one(tiny: Path, tmp_path: Path, dtype: str, tolerance: float) -> None:
    """Twenty steps of partial labels, so that often one process alone labels a task, or a batch has none of it."""
    # shares of two images and of one; batch norm over a few values and Adam blow float32 rounding up with every larger step
    set_recipe(tiny, epochs=10, batch=3, learning_rate=1e-4 if dtype == "float64" else 2e-6)
    folders = (tiny, shutil.copytree(tiny, tmp_path / "two", symlinks=True))
    command = [sys.executable, str(ROOT / "tests" / "helpers" / "two_processes.py"), *map(str, folders), CELL, dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    alone, shared = map(np.array, json.loads(done.stdout.splitlines()[-1]))
    assert alone.shape == shared.shape
    assert len(alone) == 20
    np.testing.assert_allclose(shared[:, :-1], alone[:, :-1], rtol=tolerance)  # the last is the gradient's norm
    weights, same = (load_file(Project(folder).paths.model(CELL) / "model.safetensors") for folder in folders)
    for name, weight in weights.items():
        torch.testing.assert_close(same[name], weight, rtol=10 * tolerance, atol=10 * tolerance)


def test_the_shares_are_the_batch(tiny: Path) -> None:
    whole = list(EpochBatches(11, 5, seed=3, epoch=2))
    shares = [list(EpochBatches(11, 5, seed=3, epoch=2, share=(k, 2))) for k in range(2)]
    assert [sorted(a + b) for a, b in zip(*shares, strict=True)] == [sorted(batch) for batch in whole]
    assert [len(batch) for batch in shares[1]] == [2, 2]


def test_the_pairs_of_all_shares_weigh_what_those_of_the_batch_do(tiny: Path) -> None:
    from dmtl.config import ScaleCrop

    shard = Shard(Project(tiny).paths.shard("nyud", "train"))
    flip = ScaleCrop(kind="scale_crop", zooms=(1.0,), flip=True)
    data = TrainingSet(shard, "randomlabels", tuple(shard.outputs), 0, flip, IMAGENET)
    (whole,) = TrainingBatches(data, 5, 0, "per_image").epoch(1)
    shares = [next(iter(TrainingBatches(data, 5, 0, "per_image", share=(k, 2)).epoch(1))) for k in range(2)]
    for share in shares:
        assert list(share.image_index) == list(whole.image_index), "both go back through the same layers"
    together = torch.cat([share.image_weights for share in shares]) / 2  # gradients are averaged over processes
    torch.testing.assert_close(together.sort().values, whole.image_weights.sort().values)


def test_devices_that_are_not_there_are_named_in_one_line(tiny: Path) -> None:
    from dmtl.config import for_training

    recipe = for_training(Project(tiny), CELL).recipe
    if torch.cuda.is_available():
        pytest.skip("this machine has GPUs")
    with pytest.raises(UserError, match="several devices must be GPUs"), launched(recipe.model_copy(update={"devices": 2})):
        pass
    with pytest.raises(UserError, match="a batch of 3 is too small for 4 devices"):
        launched(recipe.model_copy(update={"devices": 4})).__enter__()
