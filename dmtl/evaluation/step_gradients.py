"""How far the losses of denoising steps and of tasks agree: cosines of their gradients (docs/methods.md, "step_intervals").

ANT's task affinity, carried over: one objective for each step and task; its gradient is that of the parameters that tasks share.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from dmtl.config import Paths, TrainingConfig
from dmtl.data.batch import Batch
from dmtl.data.loading import TrainingBatches, TrainingSet
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.models import build, load_model
from dmtl.models.diffusion.network import DiffusionNetwork
from dmtl.models.shared.method import Maps
from dmtl.training.gradients import inner_products

BATCHES = 4  # of a training's first ones
Matrix = list[list[float | None]]


def measure(training: TrainingConfig, paths: Paths, count: int) -> dict[str, object]:
    """The cosines of a trained cell on its first `count` training batches, before (`first`) and after its training (`last`).

    Raises:
        UserError: the cell is not trained, or its method does not denoise in steps.
    """
    trained = load_model(paths.model(training.name))
    if not isinstance(trained, DiffusionNetwork):
        raise UserError(f"cell '{training.name}': its method has no denoising steps; name a cell of the diffusion family")
    if training.recipe.threads:
        torch.set_num_threads(training.recipe.threads)  # as in training: small networks gain nothing by more
    torch.manual_seed(training.seed)
    fresh = build(trained.config)
    assert isinstance(fresh, DiffusionNetwork)
    shard = Shard(paths.shard(training.cell.benchmark, "train"))
    recipe, setting = training.recipe, training.cell.setting
    data = TrainingSet(shard, setting, trained.tasks, training.seed, recipe.augmentation, trained.config.normalisation)
    loading = TrainingBatches(data, recipe.batch, 0, training.optim.label_balance)
    batches = [batch for batch, _ in zip(loading.epoch(0), range(count), strict=False)]
    measured = {when: step_cosines(model, batches) for when, model in (("first", fresh), ("last", trained))}
    return {"cell": training.name, "batches": len(batches), "tasks": list(trained.tasks), **measured}


def step_cosines(model: DiffusionNetwork, batches: Iterable[Batch]) -> dict[str, Matrix]:
    """Mean cosines over the batches.

    Args:
        model: put into evaluation mode, so that no batch changes it.
        batches: labelled as in training.

    Returns:
        `steps`: `(S, S)`, between the gradients of each step's losses of all tasks together, from the least noisy step on.
        `objectives`: `(S T, S T)`, between those of each step's loss of each task, a step's tasks side by side.
        None where one of the two gradients is zero in every batch, as that of a task that none of them labels.
    """
    model.eval()
    steps, tasks = model.schedule.steps, len(model.tasks)
    together = np.kron(np.eye(steps), np.ones(tasks))
    products = [_shared_products(model, batch) for batch in batches]
    return {"steps": _mean_cosines([together @ p @ together.T for p in products]), "objectives": _mean_cosines(products)}


def step_task_losses(model: DiffusionNetwork, batch: Batch) -> list[Tensor | None]:
    """The loss of each step's estimate of each task, a step's tasks side by side; None of a task that the batch lacks."""
    features, initial = model.decoders(model.trunk(batch.images))
    estimates, _ = model.denoise(features, initial, batch.image_index, batch.noise_keys, noise=1.0)

    def at_step(maps: Maps) -> Maps:
        return model.weighted(batch, lambda task, _: model.pair_losses(task, maps[task], batch))

    return [losses.get(task) for losses in map(at_step, map(model.finish, estimates)) for task in model.tasks]


def _shared_products(model: DiffusionNetwork, batch: Batch) -> np.ndarray:
    """Inner products `(S T, S T)` of the objectives' gradients of those parameters that two or more tasks move."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    losses, nothing = step_task_losses(model, batch), (None,) * len(parameters)
    rows = [
        nothing if loss is None else torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        for loss in losses
    ]
    products = inner_products([tuple(None if g is None else g.contiguous() for g in row) for row in zip(*rows, strict=True)])
    moved = products.diagonal(dim1=1, dim2=2).unflatten(1, (-1, len(model.tasks))) > 0
    return products[moved.any(1).sum(1) > 1].sum(0).numpy()


def _mean_cosines(products: list[np.ndarray]) -> Matrix:
    """The mean over `(n, n)` inner products of the cosines that there are."""
    cosines = []
    for product in products:
        norms = np.sqrt(product.diagonal())
        there = np.outer(norms, norms) > 0
        cosines.append(np.divide(product, np.outer(norms, norms), out=np.full_like(product, np.nan), where=there))
    known = ~np.isnan(cosines)
    sums = np.where(known, cosines, 0).sum(0)
    return [
        [float(total / n) if n else None for total, n in zip(*line, strict=True)] for line in zip(sums, known.sum(0), strict=True)
    ]
