"""The evaluation: against a plain loop, over shares and processes, its statistics file, its predictions, what it refuses."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.evaluating import CANVAS, CONTENTS, DESCRIPTION, TASKS, PascalShard, small_model
from helpers.project import ROOT
from PIL import Image

import dmtl.evaluation.evaluate
from dmtl.config import IMAGENET
from dmtl.data.transforms import normalise
from dmtl.errors import UserError
from dmtl.evaluation.evaluate import Share, evaluate
from dmtl.evaluation.predictions import write_prediction
from dmtl.files import write_json
from dmtl.metrics.boundary import BoundaryCounts, boundary_counts, summarise
from dmtl.metrics.boundary_files import evaluate_folders
from dmtl.metrics.boundary_pool import processes_for
from dmtl.metrics.per_image import PerImage, load_per_image, merge
from dmtl.models.shared.method import Maps, Method, Stages
from dmtl.tasks import kind_of


@pytest.fixture(scope="module")
def whole() -> PerImage:
    return evaluate(small_model(), PascalShard(), DESCRIPTION)


def _same(a: PerImage, b: PerImage) -> None:
    assert (a.about, a.outputs, a.ids.tolist()) == (b.about, b.outputs, b.ids.tolist())
    assert np.array_equal(a.index, b.index)
    assert a.tables.keys() == b.tables.keys()
    for stage, tables in a.tables.items():
        assert list(tables) == list(b.tables[stage])
        for task, table in tables.items():
            assert table.dtype == b.tables[stage][task].dtype
            assert np.array_equal(table, b.tables[stage][task]), (stage, task)


# What is counted


def test_a_loop_over_images_gives_the_same(whole: PerImage) -> None:
    """Padded by hand; every task but boundary on the canvas, boundary on the image alone and only where it is listed."""
    from dmtl.data.loading import noise_key

    shard, model = PascalShard(), small_model()
    expected: dict[str, list[np.ndarray]] = {task: [] for task in TASKS}
    counts: list[BoundaryCounts] = []
    for k, (h, w) in enumerate(CONTENTS):
        top, left = (CANVAS[0] - h) // 2, (CANVAS[1] - w) // 2
        image = torch.zeros(1, 3, *CANVAS)
        image[0, :, top : top + h, left : left + w] = normalise(
            torch.from_numpy(shard.image(k)).permute(2, 0, 1).float(), IMAGENET
        )
        key = torch.tensor([noise_key(shard.ids[k], 3, epoch=-1)])
        final = model.predict(image, noise_keys=key)["final"]
        for task in set(TASKS) - {"boundary"}:
            label = torch.from_numpy(shard.label(task, k)).float().reshape(h, w, -1).permute(2, 0, 1)
            if task == "normals":
                label[:, (label == 0).all(0)] = 255
            padded = torch.full((len(label), *CANVAS), 255.0)
            padded[:, top : top + h, left : left + w] = label
            expected[task].append(kind_of(task).scorer(TASKS[task]).statistics(kind_of(task).decode(final[task][0]), padded))
        if k % 3 != 1:
            soft = (255 * final["boundary"][0, 0].sigmoid().numpy()).astype(np.uint8)[top : top + h, left : left + w]
            counts.append(boundary_counts(soft, shard.label_map(k)))
    scores = whole.scores()["final"]
    assert scores is not None
    for task in set(TASKS) - {"boundary"}:
        plain = kind_of(task).scorer(TASKS[task]).scores(np.sum(expected[task], axis=0))
        assert scores[task] == pytest.approx({name: float(value) for name, value in plain.items()}, rel=1e-3), task
    boundary = summarise(counts)
    assert len(counts) == 5
    assert list(scores["boundary"].values()) == pytest.approx([boundary[name] for name in ("ods", "ois", "ap")], rel=1e-2)
    assert not whole.tables["final"]["boundary"][1].any()


@pytest.mark.parametrize("method", ["mtl_baseline", "diffusion_prediction", "constant"])
def test_evaluation_does_not_depend_on_the_batch(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for a network's rounding: the noise is drawn for each image by its id."""
    model, tables = small_model(method), []
    for batch in (1, 8):
        monkeypatch.setattr(dmtl.evaluation.evaluate, "BATCH", batch)
        tables.append(evaluate(model, PascalShard(), DESCRIPTION).tables)
    assert ("initial" in tables[0]) == (method == "diffusion_prediction")
    for stage in tables[0]:
        for task, table in tables[0][stage].items():
            other, size = tables[1][stage][task], abs(table).sum()
            assert abs(table - other).sum() <= 0.01 * size, (stage, task)


def test_the_seed_draws_the_noise(whole: PerImage) -> None:
    other = evaluate(small_model(), PascalShard(), DESCRIPTION | {"seed": 4}).tables
    for task, table in whole.tables["initial"].items():
        assert np.array_equal(table, other["initial"][task])
    assert not np.array_equal(whole.tables["final"]["normals"], other["final"]["normals"])


# Shares and processes


@pytest.mark.parametrize("shares", [2, 3])
def test_merged_shares_are_the_whole_to_the_last_digit(shares: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dmtl.evaluation.evaluate, "BATCH", 2)
    model, shard = small_model(), PascalShard()
    one = evaluate(model, shard, DESCRIPTION)
    parts = [evaluate(model, shard, DESCRIPTION, Share(i, shares)) for i in range(shares, 0, -1)]
    for i, part in enumerate(parts):
        part.save(tmp_path / f"{i}.npz")
    merged = merge([load_per_image(tmp_path / f"{i}.npz") for i in range(shares)])
    _same(merged, one)
    assert merged.result() == one.result()
    for name, images in (("one", one), ("merged", merged)):
        images.save(tmp_path / f"{name}.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "merged.npz").read_bytes()


def test_boundaries_counted_in_other_processes_are_the_same(whole: PerImage) -> None:
    _same(evaluate(small_model(), PascalShard(), DESCRIPTION, processes=2), whole)


def _die(*_: object) -> None:
    os._exit(1)


def test_a_killed_process_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmtl.metrics.boundary_pool.map_statistics", _die)
    with pytest.raises(UserError, match="was killed: is the memory full"):
        evaluate(small_model("constant"), PascalShard(), DESCRIPTION, processes=1)


def test_processes_are_started_where_they_pay() -> None:
    assert processes_for(64, 64 * 64) == 0
    assert processes_for(2 * 2498, 512 * 512) >= 1


def test_shares_that_do_not_fit_are_refused(whole: PerImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dmtl.evaluation.evaluate, "BATCH", 4)
    parts = [evaluate(small_model("constant"), PascalShard(), DESCRIPTION, Share(i, 2)) for i in (1, 2)]
    with pytest.raises(UserError, match="of 7 images 3 are missing and 0 there twice"):
        merge(parts[:1])
    with pytest.raises(UserError, match="of 7 images 0 are missing and 3 there twice"):
        merge([*parts, parts[1]])
    with pytest.raises(UserError, match="different evaluations"):
        merge([parts[0], evaluate(small_model("constant"), PascalShard(), DESCRIPTION | {"seed": 9}, Share(2, 2))])
    with pytest.raises(UserError, match="7 images are 2 batches, too few for 3 shares"):
        evaluate(small_model("constant"), PascalShard(), DESCRIPTION, Share(1, 3))


@pytest.mark.parametrize("text", ["", "1", "1/2/3", "a/b", "-1/2", "1.0/2", "0/2", "3/2", "1/0"])
def test_shares_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="share"):
        evaluate(small_model("constant"), PascalShard(), DESCRIPTION, Share.parse(text))


# The statistics file


def test_the_file_gives_every_printed_number_again(whole: PerImage, tmp_path: Path) -> None:
    whole.save(tmp_path / "cell.npz")
    write_json(tmp_path / "cell.json", whole.result())
    read = load_per_image(tmp_path / "cell.npz")
    _same(read, whole)
    printed = json.loads((tmp_path / "cell.json").read_text())
    assert read.result() == printed
    assert printed["images"] == 7
    assert {name: printed[name] for name in DESCRIPTION} == DESCRIPTION
    assert set(printed["metrics"]["final"]["boundary"]) == {"odsf", "ois", "ap"}


def test_equal_work_gives_equal_bytes(whole: PerImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole.save(tmp_path / "a.npz")
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    load_per_image(tmp_path / "a.npz").save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        assert {entry.date_time for entry in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def _pickled() -> bytes:
    content = io.BytesIO()
    np.savez(content, header=np.array([{"a": 1}], dtype=object))
    return content.getvalue()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: b"no archive",
        lambda content: content[: len(content) // 2],
        lambda content: content[:200] + bytes(300) + content[500:],
        lambda content: _pickled(),
    ],
)
def test_damaged_files_are_refused(whole: PerImage, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "cell.npz"
    with pytest.raises(UserError, match=r"cell\.npz is missing"):
        load_per_image(path)
    whole.save(path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=r"cell\.npz holds no statistics") as error:
        load_per_image(path)
    assert "\n" not in str(error.value)


# Predictions


def test_written_predictions_score_as_the_evaluation_did(tmp_path: Path) -> None:
    shard = PascalShard()
    images = evaluate(small_model(), shard, DESCRIPTION, predictions=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["final", "initial"]
    for task in TASKS:
        names = sorted(path.name for path in (tmp_path / "out" / "final" / task).iterdir())
        assert names == [f"{name}.{'npy' if task == 'normals' else 'png'}" for name in shard.ids]
    for k, name in enumerate(shard.ids):
        assert np.load(tmp_path / f"out/final/normals/{name}.npy").shape == (3, *CONTENTS[k])
        classes = np.asarray(Image.open(tmp_path / f"out/final/semseg/{name}.png"))
        assert classes.shape == CONTENTS[k]
        assert classes.max() < 21
        for folder, content in (("soft", tmp_path / f"out/final/boundary/{name}.png"), ("labels", shard.label_map(k))):
            (tmp_path / folder).mkdir(exist_ok=True)
            if shard.boundary_listed[k]:
                target = tmp_path / folder / f"{name}.png"
                target.write_bytes(content.read_bytes()) if isinstance(content, Path) else Image.fromarray(content).save(target)
    odsf = evaluate_folders(tmp_path / "soft", tmp_path / "labels")
    scores = images.scores()["final"]
    assert scores is not None
    assert scores["boundary"] == {"odsf": odsf["ods"], "ois": odsf["ois"], "ap": odsf["ap"]}


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "", ".", "..", "a\0"])
def test_predictions_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is no file name"):
        write_prediction(tmp_path, "depth", kind_of("depth"), name, np.zeros((2, 2), np.float32))
    assert not list(tmp_path.rglob("*.npy"))


# What is refused


class Broken(Method):
    """A constant that is NaN for one task of one image."""

    def forward(self, batch: object) -> Maps:
        return {}

    def maps(self, images: torch.Tensor, noise: float, noise_keys: torch.Tensor) -> Stages:
        maps = {task: torch.zeros(len(images), channels, 4, 8) for task, channels in self.outputs.items()}
        maps["human_parts"][2, 0, 0, 0] = torch.nan
        return {"final": maps}


def test_a_prediction_that_is_not_finite_is_named() -> None:
    with pytest.raises(UserError, match="final human_parts of image '2008_000002': the prediction holds NaN"):
        evaluate(Broken(small_model("constant").config), PascalShard(), DESCRIPTION)


@pytest.mark.parametrize("processes", [0, 1])
def test_a_label_map_of_another_size_is_named(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PascalShard, "label_map", lambda self, k: np.zeros((5, 5), np.uint16))
    with pytest.raises(UserError, match=r"final boundary of image '2008_000000': .* its label map \(5, 5\)"):
        evaluate(small_model("constant"), PascalShard(), DESCRIPTION, processes=processes)


def test_a_model_of_another_benchmark_is_refused() -> None:
    model = small_model("constant")
    model.outputs = {"semseg": 7, "depth": 1}
    with pytest.raises(UserError, match="not the same benchmark"):
        evaluate(model, PascalShard(), DESCRIPTION)


def test_without_a_listed_image_boundary_has_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PascalShard, "boundary_listed", np.zeros(len(CONTENTS), bool))
    scores = evaluate(small_model("constant"), PascalShard(), DESCRIPTION).scores()["final"]
    assert scores is not None
    assert np.isnan(list(scores["boundary"].values())).all()


@pytest.mark.long
def test_evaluation_imports_only_what_it_needs() -> None:
    """No training library; numba and SciPy only for boundaries; comparing needs no torch at all."""
    heavy = "{m.partition('.')[0] for m in sys.modules} & {'lightning_fabric', 'mlflow', 'numba', 'scipy', 'skimage', 'torch'}"
    for module, allowed in (("dmtl.evaluation.evaluate, dmtl.models.diffusion_feature", ["torch"]), ("dmtl.report.compare", [])):
        made = "from dmtl.tasks import kind_of; [kind_of(t).scorer(3) for t in ('semseg', 'depth', 'normals', 'saliency')]"
        script = f"import sys, {module}; {made}; print(*sorted({heavy}))"
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.split() == allowed
