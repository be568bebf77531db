"""The JSON files that the stages write for one another, each checked once, where it is read: names, types, counts, ranges.

A file that an earlier version wrote may lack what is None by default here; what no version wrote is refused.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dmtl.config.blocks import CELL_NAME, LARGEST_COUNT, Name, NonNegative, Positive, Seed, Sha256, validated
from dmtl.config.grid import Setting
from dmtl.config.methods import FAMILIES, NetworkConfig
from dmtl.config.own import Described
from dmtl.config.recipe import Size
from dmtl.errors import UserError
from dmtl.files import read_json

CellName = Annotated[str, Field(pattern=CELL_NAME)]
Short = Annotated[str, Field(min_length=1, max_length=300)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
MetricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]{0,39}$")]
Scores = dict[Name, dict[MetricName, float | None]]  # task -> metric -> value; None (earlier: NaN) where no pixel counted


class Record(BaseModel):
    """A file that a stage wrote: JSON's lists are tuples here, and numbers may be NaN where the field does not forbid it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Epoch(Record):
    """One epoch of history.json."""

    network: Short
    epoch: Positive
    learning_rate: Finite | None = None
    losses: Annotated[dict[Short, Finite], Field(min_length=1)]
    weights: dict[Short, Finite] = Field(default_factory=dict)  # of the losses, where a balance learns them
    figures: dict[Short, float] = Field(default_factory=dict)


class History(Record):
    """history.json: an entry an epoch, of each network that was trained."""

    epochs: Annotated[tuple[Epoch, ...], Field(strict=False, max_length=LARGEST_COUNT)]

    @model_validator(mode="after")
    def _in_order(self) -> "History":
        last: dict[str, int] = {}
        for entry in self.epochs:
            if entry.epoch != last.get(entry.network, 0) + 1:
                raise ValueError(f"epoch {entry.epoch} of '{entry.network}' does not follow {last.get(entry.network, 0)}")
            last[entry.network] = entry.epoch
        return self


class Metrics(Record):
    """The scores of a result: of the final predictions, and of others where a method makes them."""

    final: Annotated[Scores, Field(min_length=1)]
    initial: Scores | None
    ceiling: Scores | None = None

    @model_validator(mode="after")
    def _same_tasks(self) -> "Metrics":
        for stage in ("initial", "ceiling"):
            scores = getattr(self, stage)
            if scores and set(scores) != set(self.final):
                raise ValueError(f"{stage} has other tasks than final")
        return self


class Result(Record):
    """results/<scale>/<cell>.json: one training, evaluated."""

    cell: CellName | None
    scale: Name | None = None
    seed: Seed | None = None
    fingerprint: Sha256 | None = None
    training: dict[str, Any] | None = None
    images: Positive | None = None
    labels: dict[Name, NonNegative] = Field(default_factory=dict)
    metrics: Metrics
    history: Annotated[tuple[Epoch, ...], Field(strict=False)] = ()


class RawFile(Record):
    """What a manifest keeps of a raw file."""

    bytes: Annotated[int, Field(ge=0, le=1 << 50)]
    sha256: Sha256


class Manifest(Record):
    """data/raw/<scale>/<benchmark>.json: what raw files there are, and which images of which split."""

    source: str
    splits: dict[str, Annotated[tuple[Short, ...], Field(strict=False)]]
    mappings: dict[Setting, Sha256]
    files: dict[Short, RawFile]
    boundary_list: Short | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Manifest":
        if set(self.splits) != {"train", "val"}:
            raise ValueError(f"splits are {sorted(self.splits)[:4]}, not train and val")
        for split, ids in self.splits.items():
            if len(set(ids)) < len(ids):
                raise ValueError(f"splits.{split} names an image twice")
        for name in self.files:
            if name.startswith("/") or ".." in name.split("/") or "\0" in name:
                raise ValueError(f"files.{name!r} leads out of the folder")
        return self


class Description(Record):
    """model.json: all that is needed to rebuild a network, and what it was trained by.

    Attributes:
        benchmark, size: None in models of earlier versions.
        training: as `TrainingConfig` gives it for JSON; None where the network was trained elsewhere.
    """

    cell: CellName | None = None
    scale: Name | None = None
    seed: Seed | None = None
    benchmark: Name | None = None
    size: Size | None = None
    network: NetworkConfig
    precision: Short | None = None
    fingerprint: Sha256 | None = None
    training: dict[str, Any] | None = None
    described: Described | None = None

    @model_validator(mode="before")
    @classmethod
    def _options_of_its_family(cls, content: Any) -> Any:
        """Told of the one family, where pydantic would tell of each that it might be."""
        network = content.get("network") if isinstance(content, dict) else None
        if isinstance(network, dict) and isinstance(family := network.get("family"), str) and family in FAMILIES:
            try:
                validated(FAMILIES[family], network.get("options"), "network.options")
            except UserError as error:
                raise ValueError(str(error)) from None
        return content

    @model_validator(mode="after")
    def _is_what_was_trained(self) -> "Description":
        """A network that was changed after its training predicts other things, but predicts: so the two must agree.

        Of the options `dmtl.models.read_description` finds that out, for a method may overrule some.
        """
        if self.training is None:
            return self
        cell, recipe = (self.training.get(name) for name in ("cell", "recipe"))
        if not isinstance(cell, dict) or not isinstance(recipe, dict):
            raise ValueError("training lacks its cell or its recipe")
        network, config = self.network.model_dump(mode="json"), self.training
        pairs = [(f"network.{name}", network[name], cell.get(name)) for name in ("method", "family", "backbone")]
        pairs += [("network.width", network["width"], recipe.get("width"))]
        pairs += [("seed", self.seed, config.get("seed")), ("benchmark", self.benchmark, cell.get("benchmark"))]
        pairs += [("precision", self.precision, recipe.get("precision"))]
        for name, said, trained in pairs:
            if said is not None and said != trained:
                raise ValueError(f"{name} is {said!r}, but the training was of {trained!r}")
        return self

    @model_validator(mode="after")
    def _described_as_predicted(self) -> "Description":
        if self.described is not None and list(self.described.tasks) != list(self.network.outputs):
            raise ValueError("described.tasks are not those that the network predicts")
        for name, task in (self.described.tasks if self.described else {}).items():
            wanted = len(task.classes) or task.channels
            if wanted and wanted != self.network.outputs[name]:
                raise ValueError(f"described.tasks.{name} has {wanted} channels, but the network {self.network.outputs[name]}")
        return self


def differing(name: str, said: Any, trained: Any) -> list[tuple[str, Any, Any]]:
    """The values in which two trees differ; a key that only one of them has belongs to another version."""
    if isinstance(said, dict) and isinstance(trained, dict):
        return [pair for key in said if key in trained for pair in differing(f"{name}.{key}", said[key], trained[key])]
    return [] if said == trained else [(name, said, trained)]


Failed = Annotated[dict[Literal["failed"], str], Field(min_length=1)]
Measure = Annotated[float, Field(ge=0, le=1e12)]


class MeasuredDevice(Record):
    """The device that was measured."""

    name: Short
    type: Short
    torch: Short | None = None
    dmtl: Short | None = None


class MeasuredStep(Record):
    """A training step of each network of a method: `parts` and `outside_ms` in ms, `memory_mb` None where nothing tells it."""

    parts: dict[Short, Measure]
    outside_ms: Measure | None = None
    tflop: Measure | None = None
    memory_mb: Measure | None = None
    batch: Positive


class MeasuredImage(Record):
    """An image that was predicted."""

    ms: Measure
    memory_mb: Measure | None = None


class Hardware(Record):
    """reports/hardware/<device>.json: what `dmtl hardware` measured, or why it could not."""

    device: MeasuredDevice
    scale: Name
    settings: Short | None = None
    peaks: dict[Short, Measure | Failed]
    loading: dict[Name, dict[Annotated[str, Field(pattern=r"^[0-9]{1,4}$")], Measure] | Failed]
    steps: dict[Short, MeasuredStep | Failed]
    images: dict[Short, MeasuredImage | Failed]


AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_result(path: Path, cell: str) -> dict[str, Any]:
    """The result file of a cell, as it was written, after `Result` has looked at it.

    Raises:
        UserError: it is missing, damaged, no result, or that of another cell.
    """
    content = read_json(path)
    result = checked_record(path, content, Result)
    if result.cell not in (None, cell):
        raise UserError(f"{path} is the result of '{result.cell}': run 'dvc repro -f -s evaluate@{cell}'")
    return content


def read_history(path: Path) -> list[dict[str, Any]]:
    """history.json, as it was written, after `History` has looked at it.

    Raises:
        UserError: it is missing, damaged, or no history of a training.
    """
    content = read_json(path, list)
    checked_record(path, {"epochs": content}, History)
    return content


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a benchmark's raw files, as it was written, after `Manifest` has looked at it.

    Raises:
        UserError: it is missing, damaged, or no manifest.
    """
    content = read_json(path)
    checked_record(path, content, Manifest)
    return content


def read_hardware(path: Path) -> dict[str, Any]:
    """What was measured on a device, as it was written, after `Hardware` has looked at it.

    Raises:
        UserError: it is damaged, or no record of measurements.
    """
    content = read_json(path)
    try:
        validated(Hardware, content, "content")
    except UserError as error:
        raise UserError(f"{path} is no record of 'dmtl hardware' ({error}): delete it and measure again") from None
    return content


def checked_record(path: Path, content: Any, kind: type[AnyRecord]) -> AnyRecord:
    """What was read of a file as the record that it must be; UserError, in a line that begins with its name, otherwise."""
    try:
        return validated(kind, content, f"{path}: content")
    except UserError as error:
        raise UserError(f"{error}: it is not as an earlier stage wrote it; run that stage again") from None
