"""params.yaml, grid.yaml and command lines, each with one thing that nobody can mean."""

from pathlib import Path

import pytest
from helpers.hostile import CELL, MODEL, NOT_YAML, Edit, copied, refused, with_bytes, with_value

PARAMS, GRID = "params.yaml", "grid.yaml"
RECIPE = "scales.demo.train.pascal"
CELLS = f"cells.{CELL}"
NAN, INFINITY = float("nan"), float("inf")


VALUES: dict[str, tuple[str, object]] = {
    "scale a path": ("scale", "/tmp/x"),
    "scale upwards": ("scale", "../demo"),
    "scale with a command": ("scale", "demo; touch x"),
    "scale unknown": ("scale", "dmo"),
    "scale a number": ("scale", 1),
    "scale of nothing": ("scale", None),
    "scale of 41 letters": ("scale", "a" * 41),
    "seed -1": ("seed", -1),
    "seed true": ("seed", True),
    "seed 0.5": ("seed", 0.5),
    "seed 1e20": ("seed", 10**20),
    "seed of text": ("seed", "0"),
    "seed NaN": ("seed", NAN),
    "scales a list": ("scales", []),
    "plain a list": ("plain", []),
    "plain of nothing": ("plain", None),
    "thresholds a list": ("plain.teacher_control.thresholds", [1]),
    "a threshold of a path": ("plain.teacher_control.thresholds.pascal", {"../semseg": 0.5}),
    "a threshold of 2": ("plain.teacher_control.threshold", 2.0),
    "decoder_blocks 1e8": ("plain.decoder_blocks", 10**8),
    "decoder_blocks 1.0": ("plain.decoder_blocks", 1.0),
    "images unknown": ("plain.single_task.images.demo", "al"),
    "optim a text": ("optim", "fixed"),
    "balance unknown": ("optim.balance", "fixd"),
    "cagrad NaN": ("optim.cagrad.c", NAN),
    "dibs 1e9": ("optim.dibs.iterations", 10**9),
    "a further key of optim": ("optim.blance", "fixed"),
}
RECIPES: dict[str, object] = {
    "width 0": 0, "width -8": -8, "width 1e7": 10**7, "width true": True, "width 8.0": 8.0, "width NaN": NAN,
    "epochs 0": 0, "epochs 1e9": 10**9, "epochs of text": "1",
    "batch 0": 0, "batch 1e6": 10**6,
    "learning_rate NaN": NAN, "learning_rate inf": INFINITY, "learning_rate -1": -1.0, "learning_rate 0": 0.0,
    "learning_rate true": True, "learning_rate 1e30": 1e30, "learning_rate of text": "fast", "learning_rate 10**400": 10**99,
    "weight_decay NaN": NAN, "weight_decay -1": -1.0, "clip 0": 0.0, "clip inf": INFINITY, "poly_power NaN": NAN,
    "precision 16": "16-true", "workers -1": -1, "workers 1e6": 10**6, "threads 0": 0, "threads 1e6": 10**6,
    "devices 0": 0, "devices 1e4": 10**4, "strategy unknown": "dp", "compile 1": 1, "pretrained yes": "yes",
    "task_weights a list": [], "augmentation unknown": {"kind": "crop"},
    "augmentation without kind": {"flip": True},
    "task_weights NaN": {"semseg": NAN, "human_parts": 1.0, "saliency": 1.0, "normals": 1.0, "boundary": 1.0},
    "task_weights -1": {"semseg": -1.0, "human_parts": 1.0, "saliency": 1.0, "normals": 1.0, "boundary": 1.0},
    "task_weights of fewer": {"semseg": 1.0},
    "task_weights of a further": dict.fromkeys(("semseg", "human_parts", "saliency", "normals", "boundary", "depth"), 1.0),
    "task_weights of a path": {"../x": 1.0},
    "lerning_rate 1": 1.0,
}  # fmt: skip
AUGMENTATION: dict[str, tuple[str, object]] = {
    "scales NaN": ("scales", [NAN, 1.0]),
    "scales 0": ("scales", [0.0, 1.0]),
    "scales falling": ("scales", [2.0, 1.0]),
    "scales 1e6": ("scales", [1.0, 1e6]),
    "scales of one": ("scales", [1.0]),
    "cat_max_ratio 0": ("cat_max_ratio", 0.0),
    "cat_max_ratio 2": ("cat_max_ratio", 2.0),
    "flip 1": ("flip", 1),
}
CELL_FIELDS: dict[str, tuple[str, object]] = {
    "benchmark a path": ("benchmark", "../x"),
    "benchmark with a command": ("benchmark", "pascal; touch x"),
    "benchmark another": ("benchmark", "nyud"),
    "setting unknown": ("setting", "onelable"),
    "method a path": ("method", "../../evil"),
    "method with a command": ("method", "$(touch x)"),
    "family unknown": ("family", "plan"),
    "params_block another": ("params_block", "diffusion"),
    "backbone a path": ("backbone", "../resnet18"),
    "backbone of the hub": ("backbone", "hf_hub:x/y"),
    "steps 0": ("steps", 0),
    "steps 1e9": ("steps", 10**9),
    "steps true": ("steps", True),
    "seed -1": ("seed", -1),
    "seed 1": ("seed", 1),
    "scratch 1": ("scratch", 1),
    "a further key": ("stepps", 3),
}
TRAINED: dict[str, Edit] = {
    **{f"params.yaml {name}": with_bytes(PARAMS, content) for name, content in NOT_YAML.items()},
    **{f"grid.yaml {name}": with_bytes(GRID, content) for name, content in NOT_YAML.items()},
    **{name: with_value(PARAMS, key, value) for name, (key, value) in VALUES.items()},
    **{name: with_value(PARAMS, f"{RECIPE}.{name.split()[0]}", value) for name, value in RECIPES.items()},
    **{name: with_value(PARAMS, f"{RECIPE}.augmentation.{key}", value) for name, (key, value) in AUGMENTATION.items()},
    **{f"cell: {name}": with_value(GRID, f"{CELLS}.{key}", value) for name, (key, value) in CELL_FIELDS.items()},
    "no params.yaml": lambda folder: (folder / PARAMS).unlink(),
    "params.yaml a folder": lambda folder: (folder / PARAMS).unlink() or (folder / PARAMS).mkdir(),
    "cells a list": with_value(GRID, "cells", [CELL]),
    "a cell a text": with_value(GRID, CELLS, "x"),
}


@pytest.mark.parametrize("edit", TRAINED.values(), ids=TRAINED)
def test_training(whole: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(whole, tmp_path / "project")
    edit(folder)
    refused(folder, "stages/train.py", CELL)


REPORTED: dict[str, Edit] = {
    "a benchmark twice": with_value(GRID, "benchmarks", ["pascal", "pascal"]),
    "no benchmarks": with_value(GRID, "benchmarks", []),
    "a benchmark a path": with_value(GRID, "benchmarks", ["pascal", "../x"]),
    "benchmarks a text": with_value(GRID, "benchmarks", "pascal"),
    "a method a path": with_value(GRID, "methods.a/b", {"title": "x", "cell": {}}),
    "a method of another name": with_value(GRID, "methods.xtc.cell.method", "xct"),
    "an extra cell that is none": with_value(GRID, "extra", {"pascal-full-mtl_baselin": "x"}),
    "a cell under another name": with_value(GRID, "cells", {"x; touch y": {}}),
    "a further key": with_value(GRID, "cels", {}),
    "steps of text": with_value(PARAMS, "diffusion.steps", "many"),
    "diffusion a list": with_value(PARAMS, "diffusion", []),
}


@pytest.mark.parametrize("edit", REPORTED.values(), ids=REPORTED)
def test_report(whole: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(whole, tmp_path / "project")
    edit(folder)
    refused(folder, "stages/report.py")


PREDICTS = (
    ("--task", "nothing"), ("--task", "../x"), ("--alpha", "nan"), ("--batch", "0"), ("--device", "junk"), ("--device", "meta"),
    ("--device", "cuda:99"),
)  # fmt: skip
COMMANDS: tuple[tuple[str, ...], ...] = (
    (),
    ("trian",),
    ("evaluate", MODEL, "--benchmark", "pascl"),
    ("evaluate", MODEL, "--benchmark", "../pascal"),
    ("evaluate", MODEL, "--benchmark", "pascal", "--share", "0/1"),
    ("evaluate", MODEL, "--benchmark", "pascal", "--share", "1/999999999"),
    ("evaluate", MODEL, "--benchmark", "pascal", "--share", "a/b"),
    ("evaluate", MODEL, "--benchmark", "pascal", "--processes", "-1"),
    ("evaluate", MODEL, "--benchmark", "pascal", "--processes", "1000000"),
    ("evaluate", MODEL, "--benchmark", "pascal", "--precision", "16"),
    ("evaluate", MODEL, "--benchmrk", "pascal"),
    ("evaluate", "nowhere", "--benchmark", "pascal"),
    ("compare", CELL, CELL, "--draws", "0"),
    ("compare", CELL, CELL, "--draws", "-5"),
    ("compare", CELL, CELL, "--draws", "1000000000"),
    ("compare", CELL, CELL, "--draws", "1e3"),
    ("compare", CELL, CELL, "--level", "nan"),
    ("compare", CELL, CELL, "--level", "100"),
    ("compare", CELL, CELL, "--level", "inf"),
    ("compare", CELL, CELL, "--seed", "-1"),
    ("compare", CELL, CELL, "--seed", "9" * 5000),
    ("compare", CELL, CELL),
    ("compare", CELL, "nowhere"),
    ("hardware", "--minutes", "nan"),
    ("hardware", "--seconds", "inf"),
    ("hardware", "--seconds", "0"),
    ("hardware", "--scale", "../x"),
    ("hardware", "--rows", "nothing"),
    ("page",),
    ("completion", "xsh"),
    ("data", "--get", "../x"),
    ("cost", "--throughput", "nan"),
    ("cost", "--throughput", "0"),
    ("cost", "--throughput", "-1e13"),
    ("cost", "--json", "--throughput", "1e13"),
    ("cells", "--table", "7"),
    ("cells", "--stage", "report"),
    ("cells", "--project", "nowhere"),
    ("data", "--get", "nyd"),
    ("launch", "--workers", "0"),
    ("launch", "--cells-per-gpu", "-1"),
    ("launch", "--gpus-per-cell", "nan"),
    ("launch", "--gpus-per-cell", "1"),
    ("launch", CELL, CELL),
    ("launch", "-S", "scale"),
    ("launch", "-S", "scale=../x"),
    ("launch", "-S", "optim.cagrad.c=nan"),
    ("launch", "-S", "optm.balance=fixed"),
    ("launch", "-S", f"optim.balance={'[' * 5000}"),
    ("odsf", "a", "b"),
    ("odsf", "a", "b", "--workers", "0"),
    ("odsf", "a", "b", "--max-dist", "nan"),
    ("odsf", "a", "b", "--max-dist", "0"),
    ("odsf", "a", "b", "--max-dist", "1e9"),
    ("predict", "params.yaml", "--model", "nowhere", "--out", "out"),
    ("predict", "x.png", "--model", MODEL),
    *(("predict", "x.png", "--model", MODEL, "--out", "out", *more) for more in PREDICTS),
    ("predict", "x.png", "--model", MODEL, "--out", "out", "--processes", "1.5"),
    ("scores",),
    ("scores", "nowhere.npz"),
    ("scores", MODEL),
    ("scores", f"results/demo/{CELL}.npz", f"results/demo/{CELL}.npz"),
    ("mapping", "nowhere.pth"),
    ("mapping", "params.yaml"),
    ("import-official", "nowhere.pth", "--out", "out"),
    ("import-official", "params.yaml", "--out", "out"),
    ("init", "a/b", "--data", "nowhere"),
    ("init", "mine", "--data"),
    ("init", "nowhere"),
    ("stages/train.py",),
    ("stages/train.py", "../../x"),
    ("stages/train.py", CELL, "further"),
    ("stages/train.py", CELL, "--projct", "x"),
    ("stages/train.py", "x" * 5000),
    ("stages/evaluate.py", "../x"),
    ("stages/evaluate.py", "nowhere"),
    ("stages/shards.py", "pascl"),
    ("stages/shards.py", "../pascal"),
    ("stages/download.py", "$(touch x)"),
    ("stages/report.py", "further"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command)[:60] for command in COMMANDS])
def test_commands(whole: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    refused(copied(whole, tmp_path / "project"), *(command or ("--unknown",)))
