"""Evaluate one trained cell on the test shard: -> results/<scale>/<cell>.json, .scores.json, .npz (each image), .gallery.npz."""

import _root  # noqa: F401

from dmtl.config import Project
from dmtl.stage import run_stage


def evaluate_cell(project: Project, cell: str) -> str:
    """Score a cell's model folder."""
    # Imported here: the processes that count boundaries start from this file and need no torch.
    from dmtl.commands.shared.scores import headline, warn_of_unscored
    from dmtl.config.records import read_history
    from dmtl.data.shards import Shard
    from dmtl.evaluation.evaluate import evaluate
    from dmtl.evaluation.gallery import make_gallery
    from dmtl.files import together, write_json
    from dmtl.models import load_model, read_description
    from dmtl.tracking import scores

    folder = project.paths.model(cell)
    model, description = load_model(folder), read_description(folder)
    shard = Shard(project.paths.shard(description["benchmark"], "val"))
    history = read_history(folder / "history.json")  # before anything is written
    images = evaluate(model, shard, description)
    warn_of_unscored(images)
    gallery = make_gallery(model, shard, description)
    with together():
        gallery.save(project.paths.gallery(cell))
        images.save(project.paths.statistics(cell))
        write_json(project.paths.scores(cell), {cell: images.headline()})  # DVC's metrics: few numbers, the cell in their names
        write_json(project.paths.result(cell), images.result() | {"history": history})
    scores.start(project, cell)
    return f"{cell}: {headline(images)}"


if __name__ == "__main__":
    run_stage(__doc__, "cell", evaluate_cell)
