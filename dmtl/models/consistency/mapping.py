"""XTC's mapping network: maps of any task into one joint space, conditioned on the pair of tasks (docs/methods.md, "xtc").

The encoder half of a SegNet with a first layer of each task's own. It is used in training only.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from dmtl.models.consistency.segnet import LAYERS, conv_norm_relu, initialise
from dmtl.models.shared.method import Maps


class PairLayer(nn.Module):
    """3x3 convolution, batch norm, then a scale and a shift of the ordered pair's own (FiLM), ReLU.

    gamma and beta are `(channels, pairs)` and begin as 1 and 0.
    """

    def __init__(self, inputs: int, outputs: int, pairs: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)
        self.gamma, self.beta = nn.Parameter(torch.ones(outputs, pairs)), nn.Parameter(torch.zeros(outputs, pairs))

    def forward(self, x: Tensor, pair: Tensor) -> Tensor:
        """`(P, inputs, h, w)` and each map's column `(P,)` -> `(P, outputs, h, w)`."""
        gamma, beta = (values[:, pair].T[..., None, None] for values in (self.gamma, self.beta))
        return torch.relu(gamma * self.norm(self.conv(x)) + beta)


class MappingNetwork(nn.Module):
    """The mapping m_{s->t} of every ordered pair of tasks, run on all pairs of a batch together.

    The released code runs it on one map at a time, so that batch norm sees the statistics of that map alone. Here they are
    those of all maps of the batch, predictions and labels together: one pass, and they mean something on maps of few pixels.

    Args:
        outputs: task -> channels of its maps.
        widths: channels of the five groups.
        pools: after how many of the groups the map is halved; 5 of the images' own size, or 2 of 1/8 of it, end at 1/32,
            where the encoder's last feature lies.
    """

    def __init__(self, outputs: dict[str, int], widths: Sequence[int], pools: int) -> None:
        super().__init__()
        self.stems = nn.ModuleDict({task: conv_norm_relu(channels, widths[0]) for task, channels in outputs.items()})
        pairs = len(outputs) * (len(outputs) - 1)
        channels = [width for width, layers in zip(widths, LAYERS, strict=True) for _ in range(layers)]
        inputs = [widths[0], *channels[:-1]]
        self.layers = nn.ModuleList(PairLayer(n, width, pairs) for n, width in zip(inputs, channels, strict=True))
        self.halved_after = set(list(accumulate(LAYERS))[:pools])  # numbers of layers, from 1
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        initialise(self)

    def bank(self, maps: Maps) -> Tensor:
        """Task -> `(n_t, C_t, h, w)` through each task's first layer, one after the other: `(sum of n_t, widths[0], h, w)`."""
        return torch.cat([self.stems[task](x) for task, x in maps.items() if len(x)])

    def forward(self, x: Tensor, pair: Tensor) -> Tensor:
        """Maps of the bank `(P, widths[0], h, w)` and the column of each one's pair `(P,)` -> `(P, widths[-1], h', w')`."""
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x, pair)
            x = self.pool(x) if number in self.halved_after else x
        return x

    def film_parameters(self) -> list[nn.Parameter]:
        """gamma and beta of every layer."""
        return [values for m in self.modules() if isinstance(m, PairLayer) for values in (m.gamma, m.beta)]
