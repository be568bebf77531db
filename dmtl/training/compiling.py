"""`compile: true` of a recipe: torch.compile where it pays."""

from torch import nn

from dmtl.models.method import Method


def compile_parts(network: Method) -> None:
    """Compile the network's parts in place, on their first use; names of parameters and the released layout stay as they are.

    Part by part, because the pairs of a batch differ from step to step: trunk and decoders, which see all its images, keep one
    shape and compile once.
    """
    for child in network.children():
        assert isinstance(child, nn.Module)
        child.compile(dynamic=False)
