"""Isolation: the MTL baseline, each step of which learns one task alone.

StableMTL's task-gradient isolation, https://github.com/astra-vision/StableMTL, on the trunk and losses of all others
(docs/methods.md, "isolation").
"""

from dmtl.config import NetworkConfig
from dmtl.models.plain.network import PlainNetwork


class IsolatedTasks(PlainNetwork):
    """The baseline's network with a balance of its own."""

    balance = "isolation"


def build(network: NetworkConfig) -> IsolatedTasks:
    """The baseline's network."""
    return IsolatedTasks(network)
