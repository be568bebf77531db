"""Two cells compared on the images that both were tested on: paired bootstrap intervals of every metric and of Delta_m."""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

from dmtl.config import Cell, Grid, Paths
from dmtl.errors import UserError, nearest
from dmtl.metrics.delta import delta_m
from dmtl.metrics.metric import unit_and_arrow
from dmtl.metrics.per_image import PerImage, load_per_image
from dmtl.report.bootstrap import draw_images, draw_seeds, interval
from dmtl.report.columns import DELTA_M, Key
from dmtl.tasks import Kind, kinds_of

Scores = dict[Key, np.ndarray]  # (task, metric) -> value, or a value per draw
Differences = dict[Key, "Difference"]
DELTA = DELTA_M.key
Value = TypeVar("Value")
FEWEST_DRAWS = 100
MOST_DRAWN = 40_000_000  # draws times images, or times the statistics of one: 0.8 GB
ENOUGH_IMAGES = 200  # with fewer, percentile intervals cover one or two per cent less than they say


@dataclass(frozen=True)
class Group:
    """A cell with all its seeds that were evaluated, and the statistics of each.

    Groups with the same `paired` are of the same trainings: a draw takes the same seeds of them.
    """

    name: str
    seeds: tuple[int, ...]
    cells: tuple[PerImage, ...]
    paired: str = ""


@dataclass(frozen=True)
class Pair:
    """Two groups of the same test images and the single-task references of their Delta_m, None where not evaluated."""

    a: Group
    b: Group
    reference_a: Group | None
    reference_b: Group | None

    def groups(self) -> dict[str, Group]:
        """All there are, by name."""
        return {group.name: group for group in (self.a, self.b, self.reference_a, self.reference_b) if group is not None}

    @property
    def images(self) -> int:
        """How many images the test set has."""
        return len(self.a.cells[0].ids)

    @property
    def kinds(self) -> dict[str, Kind]:
        """Task -> its kind."""
        statistics = self.a.cells[0]
        return kinds_of(statistics.outputs, statistics.kinds)


@dataclass(frozen=True)
class Difference:
    """One metric of both, the difference a - b and the ends of its interval."""

    a: float
    b: float
    difference: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def load_pair(grid: Grid, paths: Paths, a: str, b: str) -> Pair:
    """The groups of two cells of the grid, with what results there are.

    Raises:
        UserError: a cell is not in the grid or was not evaluated, the two differ in nothing but their seed or are of different
            benchmarks, or the test images are not the same.
    """
    for key in (a, b):
        if key not in grid.cells:
            raise UserError(f"grid.yaml has no cell '{key}'; {nearest(key, grid.cells, most=3)}")
        if not paths.statistics(key).exists():
            raise UserError(f"{paths.statistics(key)} is missing: run 'dvc repro evaluate@{key}'")
    first, second = (_seedless(grid.cells[key]) for key in (a, b))
    if first == second:
        raise UserError(f"{a} and {b} differ in nothing but the seed: name two cells that differ in more")
    if first.benchmark != second.benchmark:
        raise UserError(f"{a} and {b} are of different benchmarks: there are no common images to compare them on")
    group_a, group_b = load_group(grid, paths, first), load_group(grid, paths, second)
    assert group_a is not None
    assert group_b is not None
    pair = Pair(group_a, group_b, *(reference_of(grid, paths, cell) for cell in (first, second)))
    require_same_images(pair, paths)
    return pair


def _seedless(cell: Cell) -> Cell:
    return cell.model_copy(update={"seed": 0})


def reference_of(grid: Grid, paths: Paths, cell: Cell) -> Group | None:
    """The single-task cell of the same benchmark, setting and backbone; None where it was not evaluated."""
    wanted = (cell.benchmark, cell.setting, cell.backbone, cell.scratch, "single_task")
    single = [c for c in grid.cells.values() if (c.benchmark, c.setting, c.backbone, c.scratch, c.method) == wanted]
    return load_group(grid, paths, single[0]) if single else None


def load_group(grid: Grid, paths: Paths, cell: Cell) -> Group | None:
    """A cell with all its seeds that have statistics; None where there is none."""
    cell = _seedless(cell)
    keys = [key for key, other in grid.cells.items() if _seedless(other) == cell and paths.statistics(key).exists()]
    if not keys:
        return None
    seeds = tuple(grid.cells[key].seed for key in keys)
    return Group(cell.name(), seeds, tuple(load_per_image(paths.statistics(key)) for key in keys))


def require_same_images(pair: Pair, paths: Paths) -> None:
    """UserError where a group is of other test images than the first."""
    ids = pair.a.cells[0].ids
    for group in pair.groups().values():
        for cell in group.cells:
            if not np.array_equal(cell.ids, ids) or len(cell.index) != len(ids):
                raise UserError(f"{paths.statistics(group.name)} is of other test images than {pair.a.name}: evaluate both again")


def compare(pair: Pair, draws: int, level: float, seed: int, nested: bool = True) -> Differences:
    """The paired bootstrap, nested over seeds: (task, metric) -> the difference and its interval, ("", "delta_m") last.

    Every draw takes the same images for both groups, all their seeds and their references, from which Delta_m is computed anew;
    of each group it takes as many seeds as there are, with replacement, and the mean of their scores. Delta_m is left out where
    a reference is None.

    Args:
        pair: what is compared.
        draws: number of draws.
        level: per cent that an interval is to cover.
        seed: of the draws.
        nested: over seeds too; else every draw takes each seed once and intervals cover the choice of images alone.

    Raises:
        UserError: `draws` or `level` is out of range.
    """
    if draws < FEWEST_DRAWS or not 0 < level < 100:
        raise UserError(f"{draws} draws at level {level:g}: give at least {FEWEST_DRAWS} draws and a level between 0 and 100")
    widest = max(table.shape[1] for cell in pair.a.cells for table in cell.tables["final"].values())
    if draws * max(pair.images, widest) > MOST_DRAWN:
        most = MOST_DRAWN // max(pair.images, widest)
        raise UserError(f"{draws} draws of {pair.images} images do not fit into memory: give at most {most} draws")
    counts = draw_images(pair.images, draws, np.random.default_rng(seed))
    drawn = _with_delta({name: _drawn(group, counts, seed, nested) for name, group in pair.groups().items()}, pair)
    whole = _with_delta({name: _whole(group) for name, group in pair.groups().items()}, pair)
    differences = {}
    for key, a in whole[pair.a.name].items():
        b = whole[pair.b.name][key]
        ends = interval(drawn[pair.a.name][key] - drawn[pair.b.name][key], level)
        if np.isfinite(a - b):  # else no test image has a valid label of the task
            differences[key] = Difference(a.item(), b.item(), (a - b).item(), *ends)
    return differences


def score_intervals(group: Group, reference: Group | None, draws: int, level: float, seed: int) -> dict[Key, tuple[float, float]]:
    """The same of one group alone: (task, metric) -> the ends of its interval, Delta_m's where there is a reference."""
    pair = Pair(group, group, reference, reference)
    counts = draw_images(pair.images, draws, np.random.default_rng(seed))
    drawn = _with_delta({name: _drawn(one, counts, seed, nested=True) for name, one in pair.groups().items()}, pair)
    return {key: interval(values, level) for key, values in drawn[group.name].items()}


def _whole(group: Group) -> Scores:
    """The mean over seeds of the scores on the whole test set, as the tables give it: `(1,)` values."""
    scores = [cell.scores()["final"] or {} for cell in group.cells]
    keys = [(task, name) for task, values in scores[0].items() for name in values]
    return {(task, name): np.mean([[s[task][name]] for s in scores], axis=0) for task, name in keys}


def _drawn(group: Group, counts: np.ndarray, seed: int, nested: bool) -> Scores:
    """The same in each draw: `(draws,)` values."""
    rng = np.random.default_rng([seed, zlib.crc32((group.paired or group.name).encode())])
    taken = draw_seeds(len(group.cells), len(counts), rng) if nested else _each_once(len(group.cells), len(counts))
    scores: Scores = {}
    for task, metric in group.cells[0].metrics().items():
        values = [metric.scores(counts @ cell.tables["final"][task].astype(np.float64)) for cell in group.cells]
        for name in values[0]:
            scores[task, name] = np.take_along_axis(np.stack([v[name] for v in values]), taken, axis=0).mean(axis=0)
    return scores


def _each_once(seeds: int, draws: int) -> np.ndarray:
    return np.broadcast_to(np.arange(seeds)[:, None], (seeds, draws))


def _with_delta(scores: dict[str, Scores], pair: Pair) -> dict[str, Scores]:
    """With Delta_m of both groups, where both have a reference."""
    if pair.reference_a is None or pair.reference_b is None:
        return scores
    kinds = pair.kinds
    errors = [task for task, kind in kinds.items() if kind.lower_is_better]
    gains = {
        group.name: delta_m(_headline(scores[group.name], kinds), _headline(scores[reference.name], kinds), errors)
        for group, reference in ((pair.a, pair.reference_a), (pair.b, pair.reference_b))
    }
    return {name: values | ({DELTA: gains[name]} if name in gains else {}) for name, values in scores.items()}


def _headline(scores: Mapping[Key, Value], kinds: Mapping[str, Kind]) -> dict[str, Value]:
    """Task -> what is found of its headline metric."""
    return {task: value for (task, name), value in scores.items() if task and name == kinds[task].metric}


def as_json(pair: Pair, differences: Differences, draws: int, level: float) -> dict[str, Any]:
    """Both cells, every difference, and what they say."""
    metrics: dict[str, dict[str, Any]] = {}
    for (task, name), difference in differences.items():
        metrics.setdefault(task, {})[name] = asdict(difference) | {"significant": difference.significant}
    return {
        "a": pair.a.name,
        "b": pair.b.name,
        "images": pair.images,
        "draws": draws,
        "level": level,
        "seeds": {name: list(group.seeds) for name, group in pair.groups().items()},
        "metrics": {task: values for task, values in metrics.items() if task},
        "delta_m": metrics.get("", {}).get("delta_m"),
        "says": says(pair, differences, level),
    }


def as_text(pair: Pair, differences: Differences, level: float) -> str:
    """A table and what it says."""
    lines = [f"a  {_described(pair.a)}", f"b  {_described(pair.b)}", ""]
    measures = pair.a.cells[0].measures() | {DELTA: ("%", False)}
    lines += [f"{'task':<12} {'metric':<14} {'unit':<12} {'a':>10} {'b':>10} {'a - b':>10}   {level:g} % interval"]
    for (task, name), d in differences.items():
        remark = "" if d.significant else "   not told apart"
        numbers = f"{d.a:>10.4f} {d.b:>10.4f} {d.difference:>+10.4f}   [{d.low:+.4f}, {d.high:+.4f}]"
        lines.append(f"{task:<12} {name:<14} {unit_and_arrow(*measures[task, name]):<12} {numbers}{remark}")
    return "\n".join([*lines, "", says(pair, differences, level)])


def _described(group: Group) -> str:
    return f"{group.name}, {'seed' if len(group.seeds) == 1 else 'seeds'} {', '.join(map(str, group.seeds))}"


def says(pair: Pair, differences: Differences, level: float) -> str:
    """What can and what cannot be told, in words."""
    few = [] if pair.images >= ENOUGH_IMAGES else [f"With only {pair.images} images they are a little too narrow."]
    sentences = *_about_delta(differences, level), *_about_tasks(differences, pair.kinds), _about_seeds(pair), *few
    return " ".join(sentences)


def _about_delta(differences: Differences, level: float) -> Iterable[str]:
    if DELTA not in differences:
        yield "There is no Delta_m, since the single-task cells that it is taken against were not evaluated or have no score."
        return
    d = differences[DELTA]
    yield f"Delta_m of a is {d.difference:+.2f} points from b's, {level:g} % interval {d.low:+.2f} to {d.high:+.2f}:"
    better, worse = ("a", "b") if d.difference > 0 else ("b", "a")
    yield f"{better} is better than {worse} overall." if d.significant else "which of the two is better overall cannot be told."


def _about_tasks(differences: Differences, kinds: Mapping[str, Kind]) -> Iterable[str]:
    headline = _headline(differences, kinds)
    significant = {task: d for task, d in headline.items() if d.significant}
    better = {task: "a" if (d.difference < 0) == kinds[task].lower_is_better else "b" for task, d in significant.items()}
    for cell in ("a", "b"):
        tasks = [task for task, best in better.items() if best == cell]
        if tasks:
            yield f"On {', '.join(tasks)} {cell} is better."
    open_ones = [task for task in headline if task not in better]
    if open_ones:
        yield f"On {', '.join(open_ones)} it cannot be told."


def _about_seeds(pair: Pair) -> str:
    images = f"the choice of these {pair.images} test images"
    counts = {name: len(group.seeds) for name, group in pair.groups().items()}
    if max(counts.values()) == 1:
        return f"Each was trained once, so the intervals cover {images} and not what another seed would give."
    numbers = ", ".join(f"{count} of {name}" for name, count in counts.items())
    return (
        f"The intervals cover {images} and the spread over seeds ({numbers}); where there are few seeds it is understated, "
        "and where there is one it is not covered."
    )
