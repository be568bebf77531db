"""The ablation of `task_prototype` without L_tke, to which its paper owes most of its gain (docs/methods.md)."""

from dmtl.config import NetworkConfig, Representation
from dmtl.models.representation.style import TaskPrototype


def build(network: NetworkConfig) -> TaskPrototype:
    """The network of `task_prototype`, whose features nothing draws to their own prototypes."""
    options = network.options_as(Representation)
    without = options.task_prototype.model_copy(update={"association": 0.0})
    return TaskPrototype(network.model_copy(update={"options": options.model_copy(update={"task_prototype": without})}))
