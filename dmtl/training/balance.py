"""How the losses of several tasks become one gradient: `optim.balance` (docs/methods.md, "Balancing").

One balance a network under training; the loop calls its `backward` once a step and knows no more of it. Only the tasks that a
batch labels take part; a method's own term, whose name is no task, is added as it is, or, if that is `<term>/<task>`, times the
task's weight.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dmtl.config import Optim, TrainingConfig
from dmtl.errors import UserError
from dmtl.models.shared.method import Maps, Method
from dmtl.training.adam import Adam
from dmtl.training.dibs import dibs_weights
from dmtl.training.fabric import Fabric
from dmtl.training.gradients import inner_products, shared_by_tasks, task_gradients, weighted_sum

Weighting = Callable[[Tensor], Tensor]  # (T, T) inner products of the tasks' gradients -> (T,) weights

TORCHJD = {  # choice -> its class in torchjd.aggregation
    "pcgrad": "PCGradWeighting",  # Yu et al., NeurIPS 2020, https://arxiv.org/abs/2001.06782
    "mgda": "MGDAWeighting",  # Sener and Koltun, NeurIPS 2018, https://arxiv.org/abs/1810.04650
    "imtl_g": "IMTLGWeighting",  # Liu et al., ICLR 2021, https://openreview.net/forum?id=IMPnRXEWpvr
    "aligned_mtl": "AlignedMTLWeighting",  # Senushkin et al., CVPR 2023, https://arxiv.org/abs/2305.19000
    "cagrad": "CAGradWeighting",  # Liu et al., NeurIPS 2021, https://arxiv.org/abs/2110.14048
    "upgrad": "UPGradWeighting",  # Quinton and Rey, 2024, https://arxiv.org/abs/2406.16232
}


class Balance:
    """Fixed weights: one backward pass of the weighted sum. The other balances start from the same weighted losses.

    Args:
        task_weights: task -> fixed weight.
    """

    def __init__(self, task_weights: Mapping[str, float]) -> None:
        self._task_weights = task_weights

    def backward(self, fabric: Fabric, losses: Maps, step: tuple[int, int]) -> Maps:
        """Fill the parameters' empty `.grad`.

        Args:
            fabric: whose backward it is.
            losses: task -> scalar, only of tasks that the batch labels, and a method's own terms.
            step: epoch and batch, from which everything random of this step is drawn.

        Returns:
            The losses without their graph, and `total`, their sum under the fixed weights, whatever the balance: figures of
            different balances can be compared.
        """
        weighted = {name: self._task_weights.get(name.rpartition("/")[2], 1.0) * loss for name, loss in losses.items()}
        total = torch.stack(list(weighted.values())).sum()
        tasks = {name: loss for name, loss in weighted.items() if name in self._task_weights}
        own_terms = [loss for name, loss in weighted.items() if name not in tasks]
        self._backward(fabric, tasks, own_terms, total, step)
        return {name: loss.detach() for name, loss in {**losses, "total": total}.items()}

    def end_epoch(self) -> dict[str, float]:
        """Task -> what the balance multiplied its fixed weight by, for the history; empty where nothing did."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold, on top of weights and optimiser, to go on to the bit."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""

    def _backward(self, fabric: Fabric, tasks: Maps, own_terms: list[Tensor], total: Tensor, step: tuple[int, int]) -> None:
        fabric.backward(total)


class Uncertainty(Balance):
    """Learned log-variances s, one per task (Kendall et al., CVPR 2018, https://arxiv.org/abs/1705.07115).

    Minimises the sum of exp(-s) L + s: twice the paper's objective, so that s = 0, the start, is `fixed`. The log-variances have
    an Adam of their own, and those of tasks without a label in the batch rest.
    """

    def __init__(self, task_weights: Mapping[str, float], tasks: Sequence[str], rate: float, device: torch.device) -> None:
        super().__init__(task_weights)
        self.log_variances = {task: torch.zeros((), device=device, requires_grad=True) for task in tasks}
        self._optimiser = Adam(list(self.log_variances.values()), lr=rate)

    def end_epoch(self) -> dict[str, float]:
        """The weights exp(-s) at the end of the epoch."""
        return {task: float(torch.exp(-s.detach())) for task, s in self.log_variances.items()}

    def state_dict(self) -> dict[str, Any]:
        values = {task: s.detach() for task, s in self.log_variances.items()}
        return {"log_variances": values, "optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for task, s in self.log_variances.items():
                s.copy_(state["log_variances"][task])
        self._optimiser.load_state_dict(state["optimiser"])

    def _backward(self, fabric: Fabric, tasks: Maps, own_terms: list[Tensor], total: Tensor, step: tuple[int, int]) -> None:
        balanced = [torch.exp(-self.log_variances[task]) * loss + self.log_variances[task] for task, loss in tasks.items()]
        self._optimiser.zero_grad()
        fabric.backward(torch.stack(balanced + own_terms).sum())
        self._optimiser.step()


class Isolation(Balance):
    """One task a step, in turn, so that no two tasks' gradients meet in one (StableMTL, https://github.com/astra-vision/StableMTL).

    A function of the step alone, so there is no state. Where the batch does not label the task whose turn it is, the next one
    that it labels takes its place; own terms are there in every step.

    Args:
        task_weights: task -> fixed weight.
        tasks: all the network's tasks, in order.
    """

    def __init__(self, task_weights: Mapping[str, float], tasks: Sequence[str]) -> None:
        super().__init__(task_weights)
        self._tasks = tasks

    def _backward(self, fabric: Fabric, tasks: Maps, own_terms: list[Tensor], total: Tensor, step: tuple[int, int]) -> None:
        turn = sum(step) % len(self._tasks)
        order = [*self._tasks[turn:], *self._tasks[:turn]]
        alone = next(task for task in order if task in tasks)
        fabric.backward(torch.stack([tasks[alone], *own_terms]).sum())


class GradientBalance(Balance):
    """Weights from the inner products of the tasks' gradients of the shared parameters.

    Shared are the parameters that the losses of two or more tasks in this batch move. Every other parameter gets its own task's
    gradient as it is, so that no weight, which some methods let become 0 or negative, can stop or reverse a decoder.
    Costs one backward pass per task, and memory for one gradient per task.

    Args:
        task_weights: task -> fixed weight.
        weighting: inner products `(T, T)`, scaled to a mean square norm of 1, -> weights `(T,)`.
        everywhere: whether the weights hold for the other parameters too.
        parameters: of the network.
        seed: of the training.
    """

    def __init__(
        self,
        task_weights: Mapping[str, float],
        weighting: Weighting,
        everywhere: bool,
        parameters: Sequence[nn.Parameter],
        seed: int,
    ) -> None:
        super().__init__(task_weights)
        self._weighting, self._everywhere = weighting, everywhere
        self._parameters, self._seed = parameters, seed
        self._sums: dict[str, tuple[float, int]] = {}  # task -> weights added up in this epoch, and how many

    def end_epoch(self) -> dict[str, float]:
        """The mean weights of the epoch's batches with two or more tasks."""
        sums, self._sums = self._sums, {}
        return {task: total / count for task, (total, count) in sums.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums = state["sums"]

    def _backward(self, fabric: Fabric, tasks: Maps, own_terms: list[Tensor], total: Tensor, step: tuple[int, int]) -> None:
        if len(tasks) < 2:
            fabric.backward(total)
            return
        rows = task_gradients(fabric, list(tasks.values()), self._parameters, keep_graph=bool(own_terms))
        products = inner_products(rows)
        shared = shared_by_tasks(products)
        weights = self._weights(products[shared].sum(0), step)
        others = weights if self._everywhere else [1.0] * len(weights)
        for parameter, row, is_shared in zip(self._parameters, rows, shared.tolist(), strict=True):
            parameter.grad = weighted_sum(row, weights if is_shared else others)
        if own_terms:
            fabric.backward(torch.stack(own_terms).sum())  # on top
        for task, weight in zip(tasks, weights, strict=True):
            before, count = self._sums.get(task, (0.0, 0))
            self._sums[task] = before + weight, count + 1

    def _weights(self, gramian: Tensor, step: tuple[int, int]) -> list[float]:
        """One weight per task; 1 for a task that moves nothing, and for all where a gradient is not finite, as in `fixed`."""
        weights = torch.ones_like(gramian.diagonal())
        moving = gramian.diagonal() > 0
        if moving.sum() > 1 and gramian.isfinite().all():
            part = gramian[moving][:, moving]
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(self._seed_of(step))
                weights[moving] = self._weighting(part / part.diagonal().mean())
        return weights.tolist()

    def _seed_of(self, step: tuple[int, int]) -> int:
        return int(np.random.SeedSequence([self._seed, *step]).generate_state(1)[0])


def balance_for(training: TrainingConfig, network: Method, fabric: Fabric) -> Balance:
    """The balance of one network: its method's own, or else that of `optim`; `fixed` where there is a single task to balance.

    Raises:
        UserError: the choice needs a package that is not installed, or more than one process takes part.
    """
    weights = training.recipe.task_weights
    optim = training.optim.model_copy(update={"balance": network.balance} if network.balance else {})
    if optim.balance == "fixed" or len(network.tasks) == 1:
        return Balance(weights)
    if fabric.world_size > 1:  # each process would weigh its own batch's gradients, before they are averaged
        where = f"method '{network.config.method}': its " if network.balance else "params.yaml: optim."
        raise UserError(f"{where}balance '{optim.balance}' trains in one process; use one device, or 'fixed'")
    if optim.balance == "uncertainty":
        return Uncertainty(weights, network.tasks, optim.uncertainty.learning_rate, fabric.device)
    if optim.balance == "isolation":
        return Isolation(weights, network.tasks)
    everywhere = optim.balance == "dibs"  # as its authors do; blind to a loss's scale only if decoders are, too
    return GradientBalance(weights, _weighting(optim), everywhere, list(network.parameters()), training.seed)


def _weighting(optim: Optim) -> Weighting:
    """The weighting of a choice, scaled so that tasks which do not differ weigh 1 each, as in `fixed`."""
    if optim.balance == "dibs":
        return partial(dibs_weights, iterations=optim.dibs.iterations, rate=optim.dibs.rate)
    where = f"params.yaml: optim.balance '{optim.balance}'"
    try:
        from torchjd import aggregation
    except ImportError:
        raise UserError(f"{where} needs TorchJD, which is not installed: pip install -e '.[balance]'") from None
    options = {"c": optim.cagrad.c} if optim.balance == "cagrad" else {}
    try:
        weighting: Weighting = getattr(aggregation, TORCHJD[optim.balance])(**options)
    except ImportError as error:  # TorchJD's own extras, for solvers
        raise UserError(f"{where}: {' '.join(str(error).split())}") from None
    if optim.balance == "pcgrad":
        return weighting  # a sum over tasks; the others average
    return lambda gramian: len(gramian) * weighting(gramian)
