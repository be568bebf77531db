"""Whether a trained cell's denoising steps and tasks pull together: -> results/<scale>/<cell>.gradients.json."""

import _root  # noqa: F401

from dmtl.config import Project, for_training
from dmtl.evaluation.step_gradients import BATCHES, measure
from dmtl.files import write_json
from dmtl.stage import run_stage


def compare_gradients(project: Project, cell: str) -> str:
    """Measure the cosines of a cell of the diffusion family, which the report draws."""
    path = project.paths.step_gradients(cell)
    write_json(path, measure(for_training(project, cell), project.paths, BATCHES))
    return f"{cell}: cosines of gradients, {path}"


if __name__ == "__main__":
    run_stage(__doc__, "cell", compare_gradients)
