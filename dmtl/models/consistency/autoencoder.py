"""JTR's auto-encoder: the maps of all tasks together to one joint code and back (docs/methods.md, "jtr").

A SegNet, used in training only.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from dmtl.models.consistency.segnet import LAYERS, conv_norm_relu, initialise

Pooled = list[tuple[Tensor, torch.Size]]  # of each pooling, which pixels it kept and the size before it


class Encoder(nn.Module):
    """Five groups of convolutions, the first `pools` of them followed by a max-pooling that remembers which pixels it kept."""

    def __init__(self, inputs: int, widths: Sequence[int], pools: int) -> None:
        super().__init__()
        before = (inputs, *widths[:-1])
        self.groups = nn.ModuleList(_group(*sizes) for sizes in zip(before, widths, LAYERS, strict=True))
        self.pools = pools

    def forward(self, maps: Tensor) -> tuple[Tensor, Pooled]:
        """`(N, inputs, h, w)` -> the joint code `(N, widths[-1], h', w')` and what the decoder needs to go back."""
        pooled: Pooled = []
        for number, group in enumerate(self.groups):
            maps = group(maps)
            if number < self.pools:
                size = maps.shape[-2:]
                maps, kept = F.max_pool2d(maps, 2, return_indices=True)
                pooled.append((kept, size))
        return maps, pooled


class Decoder(nn.Module):
    """The encoder mirrored: every group begins by unpooling what its counterpart pooled, and two convolutions end it."""

    def __init__(self, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        after = (widths[0], *widths[:-1])
        mirrored = list(zip(widths, after, LAYERS, strict=True))[::-1]
        self.groups = nn.ModuleList(_group(*sizes) for sizes in mirrored)
        self.head = nn.Sequential(nn.Conv2d(widths[0], widths[0], 3, padding=1), nn.Conv2d(widths[0], outputs, 1))

    def forward(self, code: Tensor, pooled: Pooled) -> Tensor:
        """`(N, widths[-1], h', w')` -> `(N, outputs, h, w)`, logits or unbounded values."""
        remembered = list(pooled)
        for left, group in zip(range(len(self.groups), 0, -1), self.groups, strict=True):
            if len(remembered) == left:  # the counterpart of this group was pooled
                kept, size = remembered.pop()
                code = F.max_unpool2d(code, kept, (2, 2), output_size=list(size))
            code = group(code)
        return self.head(code)


class AutoEncoder(nn.Module):
    """Encoder and decoder of the channels of all tasks.

    Args:
        channels: of all tasks' maps together.
        widths: of the five groups; the decoder's go back down.
        pools: after how many of the groups the map is halved; 5 of the images' own size, or 2 of 1/8 of it, end at 1/32.
    """

    def __init__(self, channels: int, widths: Sequence[int], pools: int) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(channels, widths, pools), Decoder(channels, widths)
        initialise(self)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """`(N, channels, h, w)` -> the joint code `(N, widths[-1], h', w')` and the maps as the decoder makes them of it."""
        code, pooled = self.encoder(maps)
        return code, self.decoder(code, pooled)

    def frozen_code(self, maps: Tensor) -> Tensor:
        """The joint code of a frozen copy of the encoder: gradients reach the maps alone, and no statistics of batch norm move.

        Batch norm works as the encoder's own does at the time, in training on the statistics of these maps.
        """
        frozen = {name: parameter.detach() for name, parameter in self.encoder.named_parameters()}
        copied = {name: buffer.clone() for name, buffer in self.encoder.named_buffers()}
        code, _ = functional_call(self.encoder, {**frozen, **copied}, (maps,))
        return code


def _group(inputs: int, outputs: int, layers: int) -> nn.Sequential:
    """Some layers in a row, of which the first changes the number of channels."""
    widths = (inputs, *[outputs] * layers)
    return nn.Sequential(*(conv_norm_relu(a, b) for a, b in pairwise(widths)))
