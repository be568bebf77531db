"""A tiny project that goes the whole way of the data in seconds."""

import copy
import functools
import os
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

AUGMENTATION = (  # of both kinds, whatever the demo chooses
    {"kind": "scale_crop", "zooms": [1.0], "flip": True},
    {
        "kind": "scale_pad_crop",
        "scales": [0.75, 1.33],
        "cat_max_ratio": 0.75,
        "crop_by_hidden_label": False,
        "flip": True,
        "photometric": True,
    },
)


def tiny_params() -> dict:
    """The project's own params.yaml, cut down: six synthetic scenes, one epoch of two steps, the narrowest network."""
    return copy.deepcopy(_tiny_params())


@functools.cache
def _tiny_params() -> dict:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    demo = params["scales"]["demo"]
    for benchmark in demo["data"]:
        size = [64, 64] if benchmark == "pascal" else [32, 64]
        demo["data"][benchmark] |= {"size": size, "train": 6, "val": 3}
        demo["train"][benchmark] |= {"width": 8, "epochs": 1, "batch": 3, "precision": "32-true", "poly_power": 0.9}
        demo["train"][benchmark] |= {"learning_rate": 1.5e-3, "augmentation": AUGMENTATION[benchmark == "pascal"]}
        demo["train"][benchmark]["task_weights"] = dict.fromkeys(demo["train"][benchmark]["task_weights"], 1.0)
    params["plain"]["decoder_blocks"] = 1
    params["diffusion"]["network"] |= {"decoder_blocks": 1, "blocks": 1}
    params["consistency"]["decoder_blocks"] = 1
    params["representation"]["decoder_blocks"] = 1
    params["representation"]["task_prototype"]["blocks"] = 1
    params["consistency"]["xtc"]["widths"] = [1.0, 1.0, 1.0, 1.0, 2.0]
    params["consistency"]["jtr"]["widths"] = [1.0, 1.0, 1.0, 1.0, 2.0]
    return params


def write_project(folder: Path, params: dict) -> Path:
    """params.yaml and grid.yaml in `folder`, which becomes a project's root."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    shutil.copy(ROOT / "grid.yaml", folder / "grid.yaml")
    return folder


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all processes of one run of the tests have in common; what is made there needs a lock."""
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    return factory.getbasetemp() if alone else factory.getbasetemp().parent
