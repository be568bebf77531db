"""In the style of Task Prototype: each task has a prototype, which its features point to and are enriched from.

https://arxiv.org/abs/2601.07474 (AAAI 2026), of which no code and no weights of the losses are known (docs/methods.md,
"task_prototype").
"""

from dmtl.config import NetworkConfig
from dmtl.models.representation.style import TaskPrototype


def build(network: NetworkConfig) -> TaskPrototype:
    """The network with prototypes."""
    return TaskPrototype(network)
