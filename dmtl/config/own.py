"""benchmark.yaml of a project folder: a user's own data set, all that is said of it (docs/own-data.md)."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dmtl.config.blocks import LARGEST_VALUE, AboveZero, Block, Name, Once
from dmtl.config.recipe import Size
from dmtl.errors import nearest

Folder = Annotated[str, Field(pattern=r"^[^./\\][^/\\]{0,99}$")]  # one level: it cannot lead elsewhere
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Finite = Annotated[float, Field(ge=-LARGEST_VALUE, le=LARGEST_VALUE)]
Span = Annotated[tuple[Finite, Finite], Field(strict=False)]
MOST_CLASSES = 255  # 255 itself says that a pixel does not count
FOLDERS = "folders"  # the splits are the folders train/ and val/ of a collection


class OwnTask(Block):
    """`tasks.<task>`: what a network is to predict.

    Attributes:
        kind: a file of dmtl/tasks.
        title: for people.
        classes: of kind `classes`: the names in the order of their numbers, each with its colour.
        channels: of kind `regression`.
        unit: of the values.
        high, largest_error: the largest value and error that pictures tell apart.
    """

    kind: Name
    title: str
    classes: dict[str, Colour] = Field(default_factory=dict)
    channels: Annotated[int, Field(ge=1, le=64)] | None = None
    unit: Annotated[str, Field(max_length=20)] | None = None
    high: AboveZero | None = None
    largest_error: AboveZero | None = None

    @model_validator(mode="after")
    def _says_what_its_kind_needs(self) -> "OwnTask":
        if (self.kind == "classes") != bool(self.classes):
            raise ValueError("a task of kind classes lists its classes, and no other does")
        if not 2 <= len(self.classes) <= MOST_CLASSES and self.classes:
            raise ValueError(f"{len(self.classes)} classes: give 2 to {MOST_CLASSES}")
        if (self.kind == "regression") != (self.channels is not None):
            raise ValueError("a task of kind regression says its channels, and no other does")
        return self


class TaskFiles(Block):
    """`collections.<collection>.tasks.<task>`: how a collection stores the labels of a task.

    Attributes:
        folder: beside `image`.
        labels: number in the files -> class of the task (its name; 0 or 1 for a task of one thing); empty: numbers are classes.
        ignore: numbers that say that a pixel has no label.
        scale, offset: value = scale * stored + offset.
        invalid: stored values that say that a pixel has no value.
        range: values outside are none.
        signs: of the x, y and z of stored normals, to bring them to x right, y down, z away from the camera.
    """

    folder: Folder
    labels: dict[int, str | int] = Field(default_factory=dict)
    ignore: Annotated[tuple[int, ...], Field(strict=False), Once] = ()
    scale: Finite | None = None
    offset: Finite = 0.0
    invalid: Annotated[tuple[Finite, ...], Field(strict=False), Once] = ()
    range: Span | None = None
    signs: Annotated[tuple[Literal[-1, 1], Literal[-1, 1], Literal[-1, 1]], Field(strict=False)] = (1, 1, 1)

    @model_validator(mode="after")
    def _is_possible(self) -> "TaskFiles":
        if self.scale == 0:
            raise ValueError("scale is 0, which would make all values equal")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range {list(self.range)} is empty: give [lowest, highest]")
        both = sorted(set(self.labels) & set(self.ignore))
        if both:
            raise ValueError(f"{both[0]} stands in labels and in ignore")
        return self


class Lists(Block):
    """`splits` as two text files of a collection's folder, a name a line."""

    train: Folder
    val: Folder


class Drawn(Block):
    """`splits` as a share of the images, drawn by their names, that become test images."""

    val: Share


class Collection(Block):
    """`collections.<collection>`: one folder of images with the labels that it has.

    Attributes:
        splits: `folders` (train/ and val/ lie in it), `{train: FILE, val: FILE}` (lists of names), or `{val: SHARE}`.
        skip: names of images that are left out, such as broken ones.
        tasks: task -> how its labels are stored.
    """

    splits: Literal["folders"] | Lists | Drawn
    skip: Annotated[tuple[str, ...], Field(strict=False), Once] = ()
    tasks: dict[str, TaskFiles]


class Described(Block):
    """What pictures and predictions need to know of a user's own benchmark, wherever its files are.

    Attributes:
        name: of the benchmark, in cells and folders.
        title: for people.
        size: (height, width) of the images that a network sees.
        fit: `resize` them to that, or `pad` those that are smaller and scale down those that are larger.
        tasks: in the order of all tables.
    """

    name: Name
    title: str
    size: Size
    fit: Literal["resize", "pad"]
    tasks: Annotated[dict[Name, OwnTask], Field(min_length=1, max_length=64)]


class OwnBenchmark(Described):
    """The whole file: that, and `collections`, where the images come from."""

    collections: Annotated[dict[Name, Collection], Field(min_length=1)]

    @model_validator(mode="after")
    def _agrees(self) -> "OwnBenchmark":
        for name, collection in self.collections.items():
            for task, files in collection.tasks.items():
                where = f"collections.{name}.tasks.{task}"
                if task not in self.tasks:
                    raise ValueError(f"{where}: no such task; {nearest(task, self.tasks)}")
                _require_classes(where, self.tasks[task], files)
        used = {task for collection in self.collections.values() for task in collection.tasks}
        for task in self.tasks:
            if task not in used:
                raise ValueError(f"tasks.{task}: no collection has labels of it: add it to one, or delete it")
        return self

    def described(self) -> dict[str, Any]:
        """What pictures and predictions need to know of it, wherever its files are: the file without the collections."""
        return self.model_dump(mode="json", exclude={"collections"})


def _require_classes(where: str, task: OwnTask, files: TaskFiles) -> None:
    known: list[object] = list(task.classes) or [0, 1]
    for number, label in files.labels.items():
        if label not in known:
            raise ValueError(f"{where}.labels.{number}: no class '{label}'; {nearest(str(label), known)}")
