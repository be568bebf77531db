"""MTL baseline: one trunk, a six-block decoder per task.

https://prismformore.github.io/diffusionmtl/, Section 4.2.
"""

from dmtl.config import NetworkConfig
from dmtl.models.plain.network import PlainNetwork


def build(network: NetworkConfig) -> PlainNetwork:
    """The multi-task network of all the benchmark's tasks."""
    return PlainNetwork(network)
