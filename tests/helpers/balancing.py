"""Networks whose tasks' gradients are known, and a step of a balance on them."""

from types import SimpleNamespace

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from dmtl.config import Optim
from dmtl.training.balance import TORCHJD, Balance, balance_for
from helpers.project import tiny_params

FABRIC = Fabric(accelerator="cpu", devices=1)
BY_GRADIENT = ("dibs", *TORCHJD)
WEIGHING = ("uncertainty", *BY_GRADIENT)
CHOICES = (*WEIGHING, "isolation")
ONES = {"semseg": 1.0, "depth": 1.0, "normals": 1.0}


def need(choice: str) -> None:
    """Skip where the choice needs a package that is not installed."""
    if choice in TORCHJD:
        pytest.importorskip("torchjd", reason="the extra 'balance' is not installed")
    for package in {"cagrad": ("cvxpy", "clarabel"), "upgrad": ("quadprog", "qpsolvers")}.get(choice, ()):
        pytest.importorskip(package, reason=f"{choice} needs a solver that is not part of the lock")


class Lines(nn.Module):
    """Losses linear in one shared vector and in one vector of each task: their gradients are what one chooses."""

    balance = None  # of its own

    def __init__(self, gradients: dict[str, list[float]]) -> None:
        super().__init__()
        self.tasks = tuple(gradients)
        self.directions = {task: torch.tensor(direction) for task, direction in gradients.items()}
        self.shared = nn.Parameter(torch.ones(len(next(iter(gradients.values())))))
        self.own = nn.ParameterDict({task: nn.Parameter(torch.ones(2)) for task in gradients})

    def losses(self, *tasks: str, scale: dict[str, float] | None = None) -> dict[str, Tensor]:
        def loss(task: str) -> Tensor:
            return (scale or {}).get(task, 1.0) * (self.directions[task] @ self.shared + self.own[task].sum())

        return {task: loss(task) for task in tasks or self.tasks}


def of(choice: str, network: nn.Module, task_weights: dict[str, float] | None = None, **options: dict) -> Balance:
    """The balance of a choice, with the rest as params.yaml has it."""
    need(choice)
    params = tiny_params()
    optim = Optim.model_validate(params["optim"] | {"balance": choice} | options)
    weights = task_weights or dict.fromkeys(network.tasks, 1.0)  # type: ignore[arg-type]
    training = SimpleNamespace(optim=optim, recipe=SimpleNamespace(task_weights=weights), seed=0)
    return balance_for(training, network, FABRIC)  # type: ignore[arg-type]


def step(made: Balance, losses: dict[str, Tensor], at: tuple[int, int] = (0, 0)) -> dict[str, Tensor]:
    """A backward pass of `losses`: the losses it notes."""
    return made.backward(FABRIC, losses, at)


def gradients(network: nn.Module) -> dict[str, Tensor | None]:
    """Of each parameter, by name."""
    return {name: p.grad for name, p in network.named_parameters()}
