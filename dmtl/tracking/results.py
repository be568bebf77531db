"""What a report knows, added to the runs of MLflow: scores, pictures and data of each cell, and the report itself.

`python -m dmtl.tracking.results` does it; the report stage starts it and goes on. It finds a cell's run by the fingerprint of the
training, so results whose training was not tracked here are left out, and what a run has already is not written again.
"""

import argparse
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dmtl.benchmarks import benchmark, read_own
from dmtl.config import Cell, Grid, Paths, Project, for_report
from dmtl.evaluation.gallery import REFERENCE, Gallery, load_gallery
from dmtl.files import file_sha256, read_json
from dmtl.pictures.contact_sheet import contact_sheet
from dmtl.report.results import Results, headline, load_results, load_runs, relative_gains, row_of
from dmtl.tasks import Task
from dmtl.tracking.store import (
    NICE,
    OWN,
    enter_home,
    experiment_id,
    guard,
    is_off,
    quiet_mlflow,
    reason,
    start_for,
    tracking_uri,
)

GIVE_UP = 180.0  # seconds, after which a server that does not answer is left alone
PICTURES = 2  # of each cell's gallery
DONE = "results.sha256"  # tag of a run that has its results


def start(project: Project) -> None:
    """Add what a report found to MLflow, in a process of its own that nobody waits for; nothing with `DMTL_TRACKING=off`."""
    if not is_off():
        start_for(project.paths.root.resolve(), "dmtl.tracking.results")


def add_results(project: Project) -> int:
    """Add to every run what it lacks; returns how many were added to.

    Raises:
        Exception: whatever MLflow raises.
    """
    from mlflow import MlflowClient

    grid, paths = for_report(project), project.paths
    results, home, uri = load_results(grid, paths), enter_home(paths.root), tracking_uri()
    if uri == OWN and not (home / "mlflow.db").exists():
        return 0  # nothing was ever tracked here
    client = MlflowClient(uri)
    added = 0
    for trained in load_runs(grid, paths):
        file = paths.result(trained.key)
        version = file_sha256(file)
        with guard(uri, home):
            run = run_of(client, trained.cell.benchmark, trained.fingerprint)
        if run is None or run.data.tags.get(DONE) == version:
            continue
        scores = scores_of(trained.cell, read_json(file)["metrics"], results)
        with tempfile.TemporaryDirectory() as folder:
            pictures = list(_pictures(grid, paths, trained.key, trained.cell, Path(folder)))
            with guard(uri, home):
                _add(client, run, trained.cell, scores, {"results": [file], "pictures": pictures}, paths)
                client.set_tag(run.info.run_id, DONE, version)
        added += 1
    if added:
        with guard(uri, home):
            _add_report(client, paths, experiment_id(client, "report", uri, home))
    return added


def run_of(client: Any, experiment: str, fingerprint: str) -> Any:
    """The newest run of a training; None where there is none."""
    known = client.get_experiment_by_name(experiment)
    if known is None or not fingerprint:
        return None
    newest = client.search_runs(
        [known.experiment_id], f"tags.fingerprint = '{fingerprint}'", order_by=["attributes.start_time DESC"], max_results=1
    )
    return newest[0] if newest else None


def _add(client: Any, run: Any, cell: Cell, scores: dict[str, float], files: dict[str, list[Path]], paths: Paths) -> None:
    """Scores, the data set with its digest, and files by folder."""
    from mlflow.entities import Dataset, DatasetInput

    id_ = run.info.run_id
    log_scores(client, run, scores)
    name, digest = f"{cell.benchmark}-{cell.setting}", run.data.tags.get("data.sha256", "")[:36]
    source = str(paths.shard(cell.benchmark, "train").relative_to(paths.root))
    client.log_inputs(id_, datasets=[DatasetInput(Dataset(name=name, digest=digest, source_type="local", source=source))])
    for folder, several in files.items():
        for file in several:
            client.log_artifact(id_, str(file), folder)


def log_scores(client: Any, run: Any, scores: dict[str, float]) -> None:
    """Write the scores that a run lacks, or has with another value."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    new = [Metric(name, value, now, 0) for name, value in scores.items() if run.data.metrics.get(name) != value]
    client.log_batch(run.info.run_id, metrics=new)


def scores_of(cell: Cell, metrics: dict[str, Any], results: Results) -> dict[str, float]:
    """`<stage>/<task>/<metric>_<unit>` of all stages, and the cell's own Delta_m where its reference was evaluated."""
    tasks = {task.name: task for task in benchmark(cell.benchmark).tasks}
    scores = {
        f"{stage}/{task}/{metric}{_unit(tasks[task], metric)}": value
        for stage, scored in metrics.items()
        for task, values in (scored or {}).items()
        for metric, value in values.items()
        if value is not None
    }
    gains = relative_gains(row_of(cell), [headline(cell.benchmark, metrics["final"])], results)
    return scores | ({"final/delta_m_percent": gains[0]} if gains else {})


def _unit(task: Task, metric: str) -> str:
    """`_percent`, `_degrees`, `_m`: what is added to a metric's name; nothing where the values have no unit."""
    if metric == "rel_error":
        return "_ratio"
    unit = "%" if metric.startswith("within_") else task.kind.unit
    words = {"%": "percent", "as stored": re.sub(r"\W+", "_", task.unit)}.get(unit, unit)
    return f"_{words}" if words else ""


def _pictures(grid: Grid, paths: Paths, key: str, cell: Cell, folder: Path) -> Iterator[Path]:
    """Contact sheets of some test images."""
    photos = _photos(grid, paths, cell.benchmark)
    if photos is None or not paths.gallery(key).exists():
        return
    gallery = load_gallery(paths.gallery(key))
    tasks = [task for task in benchmark(cell.benchmark).tasks if task.name in gallery.tasks()]
    for k in range(min(PICTURES, len(gallery.ids))):
        stages = [stage for stage in gallery.stages() if stage in ("initial", "final")]
        maps = {stage: {task: gallery.map(stage, task, k) for task in gallery.tasks()} for stage in stages}
        path = folder / f"{gallery.ids[k].replace('/', '_')}.png"
        contact_sheet(tasks, f"{key}, test image {gallery.ids[k]}", photos.image(k), maps).save(path)
        yield path


def _photos(grid: Grid, paths: Paths, name: str) -> Gallery | None:
    """A gallery that holds the images of the benchmark of that name."""
    keys = [key for key, cell in grid.cells.items() if (cell.benchmark, cell.method) == (name, REFERENCE)]
    there = [key for key in keys if paths.gallery(key).exists()]
    return load_gallery(paths.gallery(there[0])) if there else None


def _add_report(client: Any, paths: Paths, experiment: str) -> None:
    """The report as the artifacts of a run of its own, in the experiment `report`."""
    there = client.search_runs([experiment], f"tags.scale = '{paths.scale}'", max_results=1)
    name = f"report-{paths.scale}"
    run = there[0] if there else client.create_run(experiment, run_name=name, tags={"scale": paths.scale})
    client.log_artifacts(run.info.run_id, str(paths.reports()), "report")
    client.set_terminated(run.info.run_id)


def main() -> None:
    """Add the results of a project; a failure is one warning."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, metavar="FOLDER", help="of params.yaml and grid.yaml")
    arguments = parser.parse_args()
    os.nice(NICE)
    quiet_mlflow()
    project = Project(arguments.project)
    read_own(project.paths.root)
    watch = threading.Timer(GIVE_UP, _give_up)
    watch.daemon = True
    watch.start()
    try:
        add_results(project)
    except Exception as error:
        print(f"warning: MLflow did not get the results ({reason(error)})", file=sys.stderr)


def _give_up() -> None:
    print("warning: MLflow does not answer; the results are in the report", file=sys.stderr)
    os._exit(1)


if __name__ == "__main__":
    main()
