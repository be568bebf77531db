"""grid.yaml: each method once, then every training."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from dmtl.config.blocks import Block, Name, NonNegative, Once, Steps
from dmtl.config.methods import Family
from dmtl.errors import UserError, nearest

Setting = Literal["onelabel", "randomlabels", "full", "given"]
SETTINGS: tuple[str, ...] = get_args(Setting)


class Cell(Block):
    """One training of the grid: what it is made of."""

    benchmark: Name
    setting: Setting
    method: Name
    family: Family
    params_block: Family | Literal["diffusion.network"]  # of params.yaml, what DVC watches
    backbone: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")]  # a ResNet of torchvision, or a network of timm
    scratch: bool = False  # random weights in the backbone even where the recipe says pretrained
    steps: Steps | None = None  # pinned; then `params_block` leaves diffusion.steps out
    seed: NonNegative = 0  # added to the seed of params.yaml; a further seed is a further cell

    @model_validator(mode="after")
    def _watches_what_it_reads(self) -> "Cell":
        wanted = "diffusion.network" if self.steps is not None else self.family
        if self.params_block != wanted:
            raise ValueError(f"params_block must be '{wanted}', or the training goes stale unseen")
        return self

    def name(self) -> str:
        """The cell's key in grid.yaml, where only what differs from the default is spelled out."""
        parts = [self.benchmark, self.setting, self.method]
        parts += [self.backbone] if self.backbone != "resnet18" else []
        parts += ["scratch"] if self.scratch else []
        parts += [f"steps{self.steps}"] if self.steps is not None else []
        parts += [f"seed{self.seed}"] if self.seed else []
        return "-".join(parts)


class MethodEntry(Block):
    """`methods.<method>`: what is said of a method once."""

    title: str  # for people
    cell: dict[str, Any]  # what its cells have in common; they merge it


class Grid(Block):
    """grid.yaml: every method and training, and why those trainings that fill no table are there."""

    benchmarks: Annotated[tuple[Name, ...], Field(strict=False, min_length=1), Once]
    methods: dict[Name, MethodEntry]
    cells: dict[str, Cell]
    gradients: dict[str, Cell] = Field(default_factory=dict)  # of `cells`, those whose losses' gradients are compared
    extra: dict[str, str]  # cell that no table of the paper prints -> the reason for it; what table 6 shows needs none

    @model_validator(mode="after")
    def _names_agree(self) -> "Grid":
        for name, method in self.methods.items():
            if (said := method.cell.get("method", name)) != name:
                raise ValueError(f"methods.{name}.cell: method is {said!r}, but its name is '{name}'")
        for key, cell in self.cells.items():
            require_name(key, cell)
            if cell.benchmark not in self.benchmarks:
                raise ValueError(
                    f"cells.{key}: benchmark '{cell.benchmark}' is not in benchmarks; {nearest(cell.benchmark, self.benchmarks)}"
                )
        for block, keys in (("gradients", list(self.gradients)), ("extra", list(self.extra))):
            for key in keys:
                if key not in self.cells:
                    raise ValueError(f"{block}: '{key}' is not a cell; {nearest(key, self.cells)}")
        for key, cell in self.gradients.items():
            if cell != self.cells[key]:
                raise ValueError(f"gradients.{key} is another cell than cells.{key}: let it merge that one's anchor")
        return self

    def title(self, method: str) -> str:
        """A method's name for people; its plain name where the grid says nothing of it."""
        return self.methods[method].title if method in self.methods else method

    def method_order(self, also: Iterable[str] = ()) -> list[str]:
        """The methods in the grid's order, then others in that of their names."""
        return list(dict.fromkeys([*self.methods, *sorted(also)]))


def require_name(key: str, cell: Cell) -> None:
    """UserError unless a cell stands under its own name."""
    if cell.name() != key:
        raise UserError(f"grid.yaml: cells.{key} describes the cell '{cell.name()}': mend the name or the fields")
