"""Predictions on own images: pictures of their sizes out, files written by other processes, and every fault told in one line."""

import multiprocessing
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.models import random_model
from PIL import Image

from dmtl.__main__ import main
from dmtl.benchmarks import benchmark as benchmark_of
from dmtl.config import IMAGENET, Project, for_training
from dmtl.data.loading import EvaluationSet
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.files import read_json, write_json
from dmtl.inference import prediction
from dmtl.inference.predict import predict_files
from dmtl.inference.predictor import Predictor, _decoded
from dmtl.pictures.read import distinct_names, find_images
from dmtl.tasks import kind_of
from dmtl.tasks.shared.pixels import upsample

pytestmark = pytest.mark.usefixtures("narrow")
SIZES = {"nyud": (32, 64), "pascal": (64, 64), "cityscapes": (32, 64)}
METHODS = {
    "diffusion": "nyud-onelabel-diffusion_prediction",
    "plain": "nyud-onelabel-mtl_baseline",
    "constant": "nyud-full-constant",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `<benchmark>-<method>` of tiny networks with random weights."""
    folder = tmp_path_factory.mktemp("models")
    for benchmark, size in SIZES.items():
        for method, cell in METHODS.items():
            random_model(folder / f"{benchmark}-{method}", cell, size, benchmark, seed=3)
    return folder


def _photo(path: Path, size: tuple[int, int] = (40, 30), **options: object) -> Path:
    """A small smooth picture; `size` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[: size[1], : size[0]]
    pixels = np.stack([5 * x, 7 * y, 3 * (x + y)], -1).astype(np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.long
def test_real_photos_give_pictures_of_their_sizes(models: Path, shared_data: Path, tmp_path: Path) -> None:
    photos = sorted((shared_data / "pascal_samples" / "voc" / "JPEGImages").glob("*.jpg"))
    by_size = {Image.open(photo).size: photo for photo in photos}
    chosen = list(by_size.values())[:10]
    assert len(chosen) == 10
    assert predict_files([str(photo) for photo in chosen], Predictor(models / "pascal-diffusion"), tmp_path).failed == 0
    for photo in chosen:
        width, height = Image.open(photo).size
        folder = tmp_path / photo.stem
        arrays = np.load(folder / "predictions.npz")
        assert set(arrays.files) == {f"{s}/{t}" for s in ("final", "initial") for t in benchmark_of("pascal").outputs}
        for name in arrays.files:
            picture = Image.open(folder / f"{name}.png")
            assert picture.size == (width, height)
            assert arrays[name].shape[:2] == (height, width)
            if name.endswith(("semseg", "human_parts")):
                np.testing.assert_array_equal(np.asarray(picture), arrays[name])  # the indices are the classes
        assert Image.open(folder / "sheet.png").width > 6 * 200
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("benchmark", SIZES)
def test_every_benchmark_and_method(models: Path, tmp_path: Path, benchmark: str, method: str) -> None:
    """Also images much smaller than the network's and of one pixel's width."""
    sizes = [(50, 40), (1, 1), (3, 200)]
    for size in sizes:
        _photo(tmp_path / "in" / f"{size[0]}.png", size)
    assert predict_files([str(tmp_path / "in")], Predictor(models / f"{benchmark}-{method}"), tmp_path / "out").failed == 0
    stages = ("final", "initial") if method == "diffusion" else ("final",)
    for size in sizes:
        made = {p.relative_to(tmp_path / "out" / str(size[0])).as_posix() for p in (tmp_path / "out" / str(size[0])).rglob("*.*")}
        pictures = {f"{stage}/{task}.png" for stage in stages for task in benchmark_of(benchmark).outputs}
        assert made == pictures | {"sheet.png", "predictions.npz"}
        assert {Image.open(tmp_path / "out" / str(size[0]) / name).size for name in pictures} == {size}


def test_a_test_image_gets_the_predictions_that_are_scored(models: Path, tiny: Path) -> None:
    predictor = Predictor(models / "nyud-diffusion")
    shard = Shard(Project(tiny).paths.shard("nyud", "val"))
    example = EvaluationSet(shard, 3, IMAGENET)[1]
    scored = predictor.model.predict(example.image[None], noise_keys=torch.tensor([example.noise_key]))
    (found,) = predictor.maps([shard.image(1)], [shard.ids[1]])
    for stage, of_tasks in scored.items():
        for task, logits in of_tasks.items():
            expected = kind_of(task).to_map(kind_of(task).decode(logits[0]).numpy())
            np.testing.assert_array_equal(found[stage][task], expected)
    (other,) = predictor.maps([shard.image(1)], ["another"])
    assert not np.array_equal(found["final"]["normals"], other["final"]["normals"])  # other noise
    np.testing.assert_array_equal(found["initial"]["depth"], other["initial"]["depth"])


def test_classes_of_a_large_image_need_no_large_memory() -> None:
    logits = torch.randn(21, 9, 7)
    expected = upsample(logits[None], (50, 61))[0].argmax(0).numpy()
    np.testing.assert_array_equal(_decoded(kind_of("semseg"), logits, (50, 61)), expected)


def test_an_image_for_a_padded_benchmark_is_never_enlarged(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(models / "pascal-plain")
    seen: list[torch.Tensor] = []
    predict = predictor.model.predict
    monkeypatch.setattr(predictor.model, "predict", lambda x, **more: seen.append(x) or predict(x, **more))  # type: ignore[func-returns-value]
    for size in ((20, 30), (320, 64)):
        predictor(np.full((*size, 3), 200, np.uint8))
    rows, columns = (seen[0][0, 0] != 0).nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (22, 41, 17, 46)  # 20 x 30 in the middle of 64 x 64
    rows, columns = (seen[1][0, 0] != 0).nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 63, 25, 37)  # 320 x 64 scaled down to 64 x 13


def test_damaged_images_end_in_a_line_each(models: Path, tmp_path: Path) -> None:
    """80 files with bytes changed, cut off or put in: each gives a picture or one line that names it."""
    rng = random.Random(0)
    whole = [_photo(tmp_path / f"whole.{kind}", (24, 18)).read_bytes() for kind in ("jpg", "png")]
    for number in range(80):
        kind = number % 2
        content = bytearray(whole[kind])
        for _ in range(rng.choice((1, 3, 20))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        if number % 5 == 0:
            del content[rng.randrange(len(content)) :]
        if number % 7 == 0:
            content[rng.randrange(len(content)) : 0] = rng.randbytes(9)
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{number:03}.{('jpg', 'png')[kind]}").write_bytes(content)
    told: list[str] = []
    failed = predict_files(
        [str(tmp_path / "in")], Predictor(models / "cityscapes-constant"), tmp_path / "out", told.append
    ).failed
    made = {path.parent.name for path in (tmp_path / "out").glob("*/sheet.png")}
    assert failed == len(told)
    assert failed + len(made) == 80
    assert 8 < failed < 72
    for line in told:
        assert "\n" not in line
        assert sum(f"{number:03}." in line for number in range(80)) == 1


# The command


def test_the_others_go_on_and_the_status_tells(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = _photo(tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 no photo")
    command = ["predict", str(tmp_path / "bad.jpg"), str(tmp_path / "no*.png"), str(good)]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--model", str(models / "nyud-plain"), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 2
    assert "no*.png" in lines[0]
    assert "bad.jpg is damaged" in lines[1]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]
    main(["predict", str(good), "--model", str(models / "nyud-plain"), "--out", str(tmp_path / "out")])  # status 0


def test_files_folders_and_patterns_name_each_image_once(tmp_path: Path) -> None:
    for name in ("a/x.jpg", "a/deep/y.PNG", "b/x.jpg", "b/z[1].png"):
        _photo(tmp_path / name)
    (tmp_path / "a" / "notes.txt").touch()
    wanted = [str(tmp_path / name) for name in ("b/z[1].png", "a", "**/x.jpg", "b/x.jpg")]
    files, problems = find_images(wanted)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == ["b/z[1].png", "a/deep/y.PNG", "a/x.jpg", "b/x.jpg"]
    assert problems == []
    assert len(find_images([str(tmp_path / "none"), str(tmp_path / "b" / "*.gif")])[1]) == 2


def test_names_are_distinct_and_stay_in_the_folder() -> None:
    paths = [
        "a/x.jpg",
        "b/x.jpg",
        "b/X.png",
        "x-2.jpg",
        "...jpg",
        ".hidden.png",
        "a b.png",
        "é.png",
        "..\\up.png",
        "n" * 300 + ".png",
    ]
    names = distinct_names(map(Path, paths))
    assert names == ["x", "x-2", "X-3", "x-2-2", "image", "hidden", "a_b", "é", "_up", "n" * 100]
    assert len({name.casefold() for name in names}) == len(names)


def test_images_of_one_name_do_not_overwrite_each_other(models: Path, tmp_path: Path) -> None:
    _photo(tmp_path / "in" / "a" / "x.png", (20, 10))
    _photo(tmp_path / "in" / "b" / "x.png", (10, 20))
    assert predict_files([str(tmp_path / "in")], Predictor(models / "nyud-constant"), tmp_path / "out").failed == 0
    sizes = {path.parent.parent.name: Image.open(path).size for path in (tmp_path / "out").rglob("semseg.png")}
    assert sizes == {"x": (20, 10), "x-2": (10, 20)}


@pytest.mark.long
def test_other_processes_write_the_same_bytes(models: Path, tmp_path: Path) -> None:
    for number in range(3):
        _photo(tmp_path / "in" / f"{number}.png", (20 + number, 30))
    (tmp_path / "in" / "1.jpg").write_bytes(b"no photo")
    made = []
    for processes in (0, 2):
        told: list[str] = []
        out = tmp_path / f"out{processes}"
        assert (
            predict_files(
                [str(tmp_path / "in")], Predictor(models / "nyud-diffusion"), out, told.append, processes=processes
            ).failed
            == 1
        )
        made.append(({p.relative_to(out): p.read_bytes() for p in out.rglob("*.*")}, told))
    assert made[0] == made[1]
    assert len(made[0][0]) == 3 * 8


@pytest.mark.parametrize("victim", [1, 9])
def test_a_killed_process_ends_in_one_line(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], victim: int
) -> None:
    """At any image; nothing that is half written stays where a reader would take it for whole."""
    for number in range(12):
        _photo(tmp_path / "in" / f"{number:02}.png")
    predict, calls = Predictor.maps, iter(range(1, 99))

    def killing(self: Predictor, images: list[np.ndarray], names: list[str]) -> list[dict]:
        if next(calls) == victim:
            for process in multiprocessing.active_children():
                process.kill()
        return predict(self, images, names)

    monkeypatch.setattr(Predictor, "maps", killing)
    command = ["predict", str(tmp_path / "in"), "--model", str(models / "nyud-constant"), "--processes", "1"]
    start = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert time.monotonic() - start < 30
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("error", "Traceback"))]
    assert errors == ["error: a working process was killed: is the memory full? Predict with --processes 0"]
    for sheet in (tmp_path / "out").rglob("sheet.png"):
        Image.open(sheet).load()


def test_a_picture_is_what_it_was_whatever_its_compression(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = _photo(tmp_path / "x.png", (60, 50))
    for level in (6, prediction.PNG_LEVEL):
        monkeypatch.setattr(prediction, "PNG_LEVEL", level)
        predict_files([str(photo)], Predictor(models / "nyud-diffusion"), tmp_path / str(level))
    for picture in (tmp_path / "6").rglob("*.png"):
        other = Image.open(tmp_path / str(level) / picture.relative_to(tmp_path / "6"))
        assert Image.open(picture).tobytes() == other.tobytes()


def test_an_older_model_folder_is_refused_in_one_line(models: Path, tmp_path: Path) -> None:
    about = read_json(models / "nyud-plain" / "model.json")
    for lacking in ({"benchmark"}, {"size"}, {"benchmark", "size"}):
        write_json(tmp_path / "model.json", {name: value for name, value in about.items() if name not in lacking})
        with pytest.raises(UserError, match="does not say 'benchmark' and 'size'") as caught:
            Predictor(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_training_says_what_predict_needs(tiny: Path) -> None:
    from dmtl.training.loop import train

    project = Project(tiny)
    train(for_training(project, "nyud-full-constant"), project.paths)
    predictor = Predictor(project.paths.model("nyud-full-constant"))
    assert (predictor.tasks, predictor.fit) == (benchmark_of("nyud").tasks, benchmark_of("nyud").fit)
    assert (predictor.size, predictor.seed) == ((32, 64), 0)


def test_what_was_written_is_said(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _photo(tmp_path / "a.png")
    out = tmp_path / "out"
    call = ["predict", str(tmp_path / "a.png"), "--model", str(models / "nyud-plain"), "--out", str(out)]
    main([*call, "--task", "depth", "--alpha", "0.5", "--device", "cpu"])
    assert capsys.readouterr().out == f"wrote {out / 'a' / 'sheet.png'}\n"
    assert {path.relative_to(out / "a").as_posix() for path in out.rglob("*.png")} == {
        "sheet.png", "final/depth.png", "overlay/depth.png",
    }  # fmt: skip
    for option, value in (("--batch", "0"), ("--alpha", "2"), ("--task", "dpth"), ("--device", "cuda:77")):
        with pytest.raises(SystemExit):
            main([*call, option, value])
        assert capsys.readouterr().err.startswith("error: ")


def test_batches_change_nothing_but_rounding(models: Path, tmp_path: Path) -> None:
    for number in range(5):
        _photo(tmp_path / "in" / f"{number}.png", (20 + number, 30))
    predictor = Predictor(models / "nyud-diffusion")
    for batch in (1, 2):
        assert len(predict_files([str(tmp_path / "in")], predictor, tmp_path / str(batch), batch=batch).folders) == 5
    for number in range(5):
        one, two = (np.load(tmp_path / str(batch) / str(number) / "predictions.npz") for batch in (1, 2))
        np.testing.assert_allclose(one["final/depth"], two["final/depth"], atol=1e-4)


def test_a_name_that_is_not_utf8_is_one_like_others(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such as of a share or an old archive: its photo is predicted, and so are those after it; a damaged one gets its line."""
    photos = tmp_path / "photos"
    for name in (b"a.jpg", b"caf\xe9.jpg", b"caf\xe8.jpg", b"z.jpg"):
        _photo(photos / "new.jpg").rename(photos / os.fsdecode(name))
    (photos / os.fsdecode(b"\xff.jpg")).write_bytes(b"no image")
    arguments = [
        "predict",
        str(photos),
        "--model",
        str(models / "nyud-plain"),
        "--out",
        str(tmp_path / "out"),
        "--processes",
        "0",
    ]
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "caf_", "caf_-2", "z"]
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "?.jpg is damaged" in line
