"""What makes the processor wait for a GPU, seen on the CPU: operations whose result only the device knows."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ATEN = torch.ops.aten
ASKS = {  # a number, a shape or a decision that is read back
    ATEN._local_scalar_dense,
    ATEN.is_nonzero,
    ATEN.equal,
    ATEN.nonzero,
    ATEN.masked_select,
    ATEN._unique2,
    ATEN.unique_dim,
    ATEN.bincount,
}
INDEXING = {ATEN.index, ATEN.index_put, ATEN.index_put_, ATEN._index_put_impl_}


class Waits(TorchDispatchMode):
    """Collects in `found` what would wait if all tensors were a GPU's that do not come from `host` or from nothing.

    Args:
        host: tensors that stay on the CPU anyway, with all that is computed from them and from constants alone.
    """

    def __init__(self, host: list[Tensor]) -> None:
        super().__init__()
        self.found: list[str] = []
        self._host = {_memory(x): x for x in host}  # kept, so that no other gets their memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        kind = func.overloadpacket
        of_host = kind is ATEN.lift_fresh or all(_memory(x) in self._host for x in _tensors((args, kwargs)))
        result = func(*args, **kwargs)
        for x in _tensors(result):  # a tensor of the host that is written to with one of the device is the device's
            self._host.update({_memory(x): x}) if of_host else self._host.pop(_memory(x), None)
        if of_host:
            return result
        if kind in ASKS:
            self.found.append(str(kind))
        elif kind in INDEXING and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]):
            self.found.append(f"{kind} by a mask")
        return result


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in tree_leaves(tree) if isinstance(x, Tensor)]


def _memory(x: Tensor) -> int:
    """The same of a tensor and of its views."""
    return x.untyped_storage()._cdata
