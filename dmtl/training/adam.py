"""The optimiser."""

from collections.abc import Callable
from typing import Any

import torch


def _plain(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method without the wrapper that imports torch's compiler to leave the method out of what is compiled."""
    return getattr(method, "__wrapped__", method)


class Adam(torch.optim.Adam):
    """torch's, to the bit; only its first call does not import `torch._dynamo`, which takes a second."""

    add_param_group = _plain(torch.optim.Adam.add_param_group)
    zero_grad = _plain(torch.optim.Adam.zero_grad)
    state_dict = _plain(torch.optim.Adam.state_dict)
    load_state_dict = _plain(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(_plain(torch.optim.Adam.step))  # the wrapper's other task
