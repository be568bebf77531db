"""A tiny project that goes the whole way of the data in seconds."""

import shutil
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def tiny_params() -> dict:
    """The project's own params.yaml, cut down: six synthetic scenes, one epoch of two steps, the narrowest network."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    demo = params["scales"]["demo"]
    for benchmark in demo["data"]:
        size = [64, 64] if benchmark == "pascal" else [32, 64]
        demo["data"][benchmark] |= {"size": size, "train": 6, "val": 3}
        demo["train"][benchmark] |= {"width": 8, "epochs": 1, "batch": 3, "precision": "32-true"}
    params["plain"]["decoder_blocks"] = 1
    params["diffusion"]["network"] |= {"decoder_blocks": 1, "blocks": 1}
    params["consistency"]["decoder_blocks"] = 1
    params["consistency"]["xtc"]["widths"] = [1.0, 1.0, 1.0, 1.0, 2.0]
    return params


def write_project(folder: Path, params: dict) -> Path:
    """params.yaml and grid.yaml in `folder`, which becomes a project's root."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    shutil.copy(ROOT / "grid.yaml", folder / "grid.yaml")
    return folder
