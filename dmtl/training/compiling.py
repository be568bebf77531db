"""`compile: true` of a recipe: torch.compile of the parts that see every image of a batch."""

from dmtl.models.shared.decoders import Decoders
from dmtl.models.shared.method import Method
from dmtl.models.shared.trunk import Trunk


def compile_parts(network: Method) -> None:
    """Compile trunk and decoders in place, on their first use; parameters keep their names.

    Their shapes are the same in every step, so each compiles once. The denoiser is left alone: its pairs differ from batch to
    batch, and every new number of them would compile anew.
    """
    for module in network.modules():
        if isinstance(module, Trunk | Decoders):
            module.compile(dynamic=False)
