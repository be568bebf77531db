"""bfloat16, where the hardware computes in it and where not."""

import sys

import torch
from tqdm import tqdm


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16 itself."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def warn_of_emulation(device: torch.device, precision: str) -> None:
    """bfloat16 gives the same results where the hardware lacks it, only slowly; so the user decides, never the machine."""
    if precision == "bf16-mixed" and not has_bfloat16(device):
        line = "warning: no bfloat16 arithmetic here; precision 32-true would be faster (and gives other digits)"
        tqdm.write(line, file=sys.stderr)
