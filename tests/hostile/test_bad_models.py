"""Model folders, histories, measurements and checkpoints, each with one thing changed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.hostile import CELL, MODEL, NOT_JSON, Edit, copied, refused, with_bytes, with_value, without
from safetensors.torch import load, save

JSON, WEIGHTS, HISTORY = f"{MODEL}/model.json", f"{MODEL}/model.safetensors", f"{MODEL}/history.json"
RESULT = f"results/demo/{CELL}.json"
STATISTICS, GALLERY = f"results/demo/{CELL}.npz", f"results/demo/{CELL}.gallery.npz"
EVALUATE = ("evaluate", MODEL, "--benchmark", "pascal")


def _weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Edit:
    def edit(folder: Path) -> None:
        tensors = load((folder / WEIGHTS).read_bytes())
        change(tensors)
        (folder / WEIGHTS).write_bytes(save(tensors))

    return edit


def _first(tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name, value in tensors.items() if value.ndim == 4)


NETWORK: dict[str, tuple[str, object]] = {
    "decoder_blocks 1e8": ("options.decoder_blocks", 100_000_000),
    "decoder_blocks 2": ("options.decoder_blocks", 2),
    "decoder_blocks 0": ("options.decoder_blocks", 0),
    "decoder_blocks true": ("options.decoder_blocks", True),
    "decoder_blocks a text": ("options.decoder_blocks", "1"),
    "options of nothing": ("options", None),
    "options of another family": ("options", {"initial_weight": 1.0, "heads": 2}),
    "a threshold of 2": ("options.teacher_control.threshold", 2),
    "width 1e9": ("width", 1_000_000_000),
    "width 8192": ("width", 8192),
    "width 9": ("width", 9),
    "width -1": ("width", -1),
    "an unknown method": ("method", "mtl_basline"),
    "a method that is a path": ("method", "../../x"),
    "a method that is a package": ("method", "shared"),
    "another method": ("method", "isolation"),
    "an unknown family": ("family", "plane"),
    "an unknown backbone": ("backbone", "resnet19"),
    "a backbone of the hub": ("backbone", "hf-hub:someone/evil"),
    "another backbone": ("backbone", "resnet50"),
    "no outputs": ("outputs", {}),
    "a million channels": ("outputs.semseg", 1_000_000),
    "one class more": ("outputs.semseg", 22),
    "a task of another name": ("outputs", {"semsek": 21}),
    "a task that is a path": ("outputs", {"../x": 21}),
    "hundred tasks": ("outputs", {f"t{k}": 1 for k in range(100)}),
    "an unknown kind": ("kinds", {"semseg": {"name": "clases"}}),
    "a kind without a name": ("kinds", {"semseg": {}}),
    "a deviation of 0": ("normalisation.std", [0, 1, 1]),
    "two deviations": ("normalisation.std", [1, 1]),
}
DESCRIPTION: dict[str, tuple[str, object]] = {
    "a further key": ("steps", 3),
    "no network": ("network", None),
    "a cell that is a path": ("cell", "/etc/passwd"),
    "a scale that is a path": ("scale", "../x"),
    "seed -1": ("seed", -1),
    "seed 0.5": ("seed", 0.5),
    "another seed": ("seed", 7),
    "another benchmark": ("benchmark", "nyud"),
    "size 0": ("size", [0, 64]),
    "a size of three": ("size", [64, 64, 3]),
    "a size of 1e9": ("size", [10**9, 64]),
    "another precision": ("precision", "bf16-mixed"),
    "a fingerprint of letters": ("fingerprint", "xyz"),
    "a training of nothing": ("training", {}),
    "described by a text": ("described", "pascal"),
    "described without tasks": ("described", {"name": "x", "title": "x", "size": [64, 64], "fit": "pad", "tasks": {}}),
}
MODELS: dict[str, Edit] = {
    **{f"model.json: {name}": with_bytes(JSON, content) for name, content in NOT_JSON.items()},
    **{f"network: {name}": with_value(JSON, f"network.{key}", value) for name, (key, value) in NETWORK.items()},
    **{name: with_value(JSON, key, value) for name, (key, value) in DESCRIPTION.items()},
    **{f"no network.{key}": without(JSON, f"network.{key}") for key in ("method", "outputs", "options", "width")},
    "no model.json": lambda folder: (folder / JSON).unlink(),
    "no weights": lambda folder: (folder / WEIGHTS).unlink(),
    "weights empty": with_bytes(WEIGHTS, b""),
    "weights cut": with_bytes(WEIGHTS, lambda content: content[:-1000]),
    "weights with a long header": with_bytes(WEIGHTS, b"\xff" * 8 + b"{}"),
    "weights a pickle": with_bytes(WEIGHTS, b"\x80\x02cos\nsystem\nq\x00."),
    "weights of nothing": _weights(dict.clear),
    "a weight less": _weights(lambda w: w.pop(_first(w))),
    "a weight more": _weights(lambda w: w.update(further=torch.zeros(3))),
    "a weight of NaN": _weights(lambda w: w[_first(w)].fill_(torch.nan)),
    "a weight of infinity": _weights(lambda w: w[_first(w)].view(-1)[0].fill_(torch.inf)),
    "a weight of another shape": _weights(lambda w: w.update({_first(w): w[_first(w)][:1].clone()})),
    "a weight of 64 bits": _weights(lambda w: w.update({_first(w): w[_first(w)].double()})),
}


@pytest.mark.parametrize("edit", MODELS.values(), ids=MODELS)
def test_models(whole: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(whole, tmp_path / "project")
    edit(folder)
    refused(folder, *EVALUATE)


@pytest.mark.parametrize("benchmark", [["pascal"], {"a": 1}, 3, True, "", "../x", "pascl", None], ids=str)
def test_the_benchmark_that_a_model_names(whole: Path, tmp_path: Path, benchmark: object) -> None:
    folder = copied(whole, tmp_path / "project")
    with_value(JSON, "benchmark", benchmark)(folder)
    refused(folder, "evaluate", MODEL)


MEASURED: dict[str, object] = {
    "device": {"name": "x", "type": "cuda"}, "scale": "paper", "peaks": {"32-true": 1.0}, "loading": {"pascal": {"0": 1.0}},
    "steps": {"a/b/c": {"parts": {"x": 1.0}, "batch": 1}}, "images": {"a/b/c": {"ms": 1.0}},
}  # fmt: skip
HARDWARE: dict[str, bytes] = {
    **{f"{name}": NOT_JSON[name] for name in ("empty", "cut", "a list", "deep")},
    **{f"no {key}": json.dumps({k: v for k, v in MEASURED.items() if k != key}).encode() for key in MEASURED},
    **{
        f"{key}: {value}"[:50]: json.dumps(MEASURED | {key: value}).encode()
        for key, value in (
            ("device", "x"), ("device", {}), ("scale", 3), ("scale", "../x"), ("steps", [1]), ("steps", {"a": "x"}),
            ("steps", {"a": {"parts": {"x": float("nan")}, "batch": 1}}), ("steps", {"a": {"parts": {"x": "1"}, "batch": 1}}),
            ("loading", {"pascal": 3}), ("loading", {"pascal": {"a": 1.0}}), ("peaks", {"32-true": -1.0}), ("images", {"a": {}}),
            ("x", 1),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("content", HARDWARE.values(), ids=HARDWARE)
def test_measurements(whole: Path, tmp_path: Path, content: bytes) -> None:
    folder = copied(whole, tmp_path / "project")
    with_bytes("reports/hardware/x.json", content)(folder)
    assert "reports/hardware/x.json" in refused(folder, "stages/report.py")


def test_a_network_that_was_changed_after_its_training_is_not_scored(whole: Path, tmp_path: Path) -> None:
    """`steps` of a denoiser has no weights of its own, so that another number would go unseen."""
    folder = copied(whole, tmp_path / "project")
    with_value(JSON, "network.options.teacher_control.threshold", 0.5)(folder)
    assert "teacher_control.threshold is 0.5, but the training was of 0.9" in refused(folder, *EVALUATE)


HISTORIES: dict[str, Edit] = {
    "missing": lambda folder: (folder / HISTORY).unlink(),
    "an object": with_bytes(HISTORY, b"{}"),
    "of numbers": with_bytes(HISTORY, b"[1, 2]"),
    "an epoch that is missing": with_value(HISTORY, "0.epoch", 2),
    "epoch 0": with_value(HISTORY, "0.epoch", 0),
    "epoch true": with_value(HISTORY, "0.epoch", True),
    "a loss of NaN": with_value(HISTORY, "0.losses.total", float("nan")),
    "a loss of text": with_value(HISTORY, "0.losses.total", "1"),
    "no losses": with_value(HISTORY, "0.losses", {}),
    "a further key": with_value(HISTORY, "0.x", 1),
}


@pytest.mark.parametrize("edit", HISTORIES.values(), ids=HISTORIES)
def test_histories(whole: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(whole, tmp_path / "project")
    edit(folder)
    refused(folder, "stages/evaluate.py", CELL)


CHECKPOINTS: dict[str, object] = {
    "a list": [1],
    "no model": {"model": None},
    "no position": {"position": {}},
    "a position below 0": {"position": {"network": 0, "epoch": -1, "batch": 0, "losses": {}}},
    "a position of text": {"position": {"network": 0, "epoch": "1", "batch": 0, "losses": {}}},
    "a weight of NaN": {"model": {"x": torch.tensor([torch.nan])}},
    "a history of text": {"history": "x"},
    "no optimiser": {"optimiser": None},
}


@pytest.mark.parametrize("made_of", [None, [1], {1: 2}, {"a": None}], ids=str)
def test_a_checkpoint_of_another_configuration(tmp_path: Path, made_of: object) -> None:
    from dmtl.errors import UserError
    from dmtl.training.checkpoint import ResumeState
    from dmtl.training.fingerprint import Fingerprint

    with ResumeState(tmp_path, "demo/x", Fingerprint({}, "a", "b")) as resume:
        torch.save({"fingerprint": "another", "made_of": made_of}, resume.folder / "checkpoint.pt")
        with pytest.raises(UserError, match=r"is of another configuration.*: delete"):
            resume.load()


@pytest.mark.parametrize("change", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_checkpoints(tmp_path: Path, change: object) -> None:
    from dmtl.errors import UserError
    from dmtl.training.checkpoint import ResumeState
    from dmtl.training.fingerprint import Fingerprint

    fingerprint = Fingerprint({}, "a", "b")
    good = {"model": {}, "optimiser": {}, "balance": {}, "history": [], "fingerprint": fingerprint.value, "made_of": {}}
    good["position"] = {"network": 0, "epoch": 0, "batch": 0, "losses": {}}
    with ResumeState(tmp_path, "demo/x", fingerprint) as resume:
        torch.save(good, resume.folder / "checkpoint.pt")
        assert resume.load() is not None
        torch.save(good | change if isinstance(change, dict) else change, resume.folder / "checkpoint.pt")
        with pytest.raises(UserError, match=r"is damaged \(.+\): delete"):
            resume.load()
