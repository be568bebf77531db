"""Train one cell of the grid: -> models/<scale>/<cell>/{model.safetensors,model.json,history.json}."""

import _root  # noqa: F401

from dmtl.config import Project, for_training
from dmtl.stage import run_stage
from dmtl.training.loop import train


def train_cell(project: Project, cell: str) -> str:
    """Train, or go on with, a cell."""
    train(for_training(project, cell), project.paths)
    return f"{cell}: trained, {project.paths.model(cell)}"


if __name__ == "__main__":
    run_stage(__doc__, "cell", train_cell)
