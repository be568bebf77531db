"""`compile` of a recipe: torch.compile of the parts that see every image of a batch."""

from typing import Literal

from dmtl.models.shared.decoders import Decoders
from dmtl.models.shared.method import Method
from dmtl.models.shared.trunk import Trunk


def compile_parts(network: Method, choice: bool | Literal["reduce-overhead"] = True) -> None:
    """Compile trunk and decoders in place, on their first use; parameters keep their names.

    Their shapes are the same in every step, so each compiles once. The denoiser is left alone: its pairs differ from batch to
    batch, and every new number of them would compile anew.

    Args:
        choice: `reduce-overhead` also records their kernels as CUDA graphs, which pays where maps are so small that a GPU waits
            for the next kernel to be launched; elsewhere it is the same as True.
    """
    mode = choice if isinstance(choice, str) else None
    for module in network.modules():
        if isinstance(module, Trunk | Decoders):
            module.compile(dynamic=False, mode=mode)
