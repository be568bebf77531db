"""MTI-Net (Vandenhende et al., ECCV 2020): tasks are predicted, and exchange features, at each of four scales.

https://arxiv.org/abs/2001.06902; a row of the paper's Table 4 on ResNet-18. The modules are those of the authors'
code, which does not reach the printed 281 M parameters and 589 G multiply-adds (docs/methods.md). Scales are counted from the
finest, 0, to 3.
"""

import torch
from torch import Tensor, nn

from dmtl.config import NetworkConfig
from dmtl.models.multiscale.network import MultiScaleNetwork, conv_bn_relu, resize
from dmtl.models.shared.decoders import prediction_heads
from dmtl.models.shared.method import Maps
from dmtl.models.shared.resnets import BasicBlock

SQUEEZE, NARROWEST = 16, 8  # a squeeze-and-excitation has channels / 16 in its middle, as the narrowest released one 8


def residual(inputs: int, outputs: int) -> BasicBlock:
    """A basic residual block whose shortcut is a 1x1 convolution with batch norm where the channels change."""
    shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)) if inputs != outputs else None
    return BasicBlock(inputs, outputs, downsample=shortcut)


class InitialTasks(nn.Module):
    """The first features and predictions of one scale: two residual blocks and a 1x1 head per task."""

    def __init__(self, inputs: int, channels: int, outputs: dict[str, int]) -> None:
        super().__init__()
        self.refine = nn.ModuleDict(
            {task: nn.Sequential(residual(inputs, channels), residual(channels, channels)) for task in outputs}
        )
        self.heads = prediction_heads(outputs, channels)

    def forward(self, stage: Tensor, coarser: Maps | None) -> tuple[Maps, Maps]:
        """Backbone map and the propagated features of the next coarser scale -> features and predictions of each task."""
        features: Maps = {}
        for task, module in self.refine.items():
            x = stage if coarser is None else torch.cat([stage, resize(coarser[task], stage.shape[-2:])], dim=1)
            features[task] = module(x)
        return features, {task: self.heads[task](x) for task, x in features.items()}


class Excitation(nn.Module):
    """Squeeze-and-excitation: each channel times a weight that follows from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = max(NARROWEST, channels // SQUEEZE)
        self.weigh = nn.Sequential(nn.Linear(channels, middle), nn.ReLU(), nn.Linear(middle, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x.mean((2, 3)))[:, :, None, None]


class Propagation(nn.Module):
    """Feature propagation: what the tasks have in common at one scale, added to each of them, goes to the next finer one."""

    def __init__(self, channels: int, tasks: tuple[str, ...]) -> None:
        super().__init__()
        together = channels * len(tasks)
        middle = max(1, together // 4)
        self.attend = nn.Sequential(residual(together, middle), residual(middle, middle), nn.Conv2d(middle, together, 1))
        self.reduce = residual(together, channels)
        self.excite = nn.ModuleDict({task: Excitation(channels) for task in tasks})

    def forward(self, features: Maps) -> Maps:
        """Task -> `(B, channels, h, w)` -> the same."""
        joined = torch.cat(list(features.values()), dim=1)
        # As released: the softmax runs over T adjacent channels of the concatenation, which are not one of each task.
        mask = self.attend(joined).unflatten(1, (-1, len(features))).softmax(2).flatten(1, 2)
        shared = self.reduce(mask * joined)
        return {task: self.excite[task](shared) + x for task, x in features.items()}


class Gate(nn.Module):
    """One convolution's map, weighed in each place by another's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.message = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.gate(x)) * self.message(x)


class Distillation(nn.Module):
    """Each task adds to its features what the others have to say, through a gate for each ordered pair of tasks."""

    def __init__(self, channels: int, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.gates = nn.ModuleDict(
            {target: nn.ModuleDict({other: Gate(channels) for other in tasks if other != target}) for target in tasks}
        )

    def forward(self, features: Maps) -> Maps:
        """Task -> `(B, channels, h, w)` -> the same."""
        out: Maps = {}
        for target, gates in self.gates.items():
            assert isinstance(gates, nn.ModuleDict)
            out[target] = features[target] + sum(gate(features[other]) for other, gate in gates.items())
        return out


class MTINet(MultiScaleNetwork):
    """Initial predictions from coarse to fine, distillation at every scale, one head over all scales.

    The task channels of the four scales are width / 8, / 4, / 2 and width: at width 512 those of ResNet-18's stages, as released.
    The initial prediction that is reported is the finest.
    """

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        channels = [max(1, network.width // 2**k) for k in (3, 2, 1, 0)]
        coarser = [*channels[1:], 0]
        inputs = [stage + more for stage, more in zip(self.trunk.channels, coarser, strict=True)]
        self.initial = nn.ModuleList(InitialTasks(n, c, network.outputs) for n, c in zip(inputs, channels, strict=True))
        self.propagate = nn.ModuleList(Propagation(c, self.tasks) for c in channels[1:])  # scale k's is at position k - 1
        self.distil = nn.ModuleList(Distillation(c, self.tasks) for c in channels)
        total = sum(channels)
        self.join = nn.ModuleDict({task: conv_bn_relu(total, total, 1, bias=True) for task in self.tasks})
        self.heads = prediction_heads(network.outputs, total)

    def decode(self, pyramid: list[Tensor]) -> tuple[Maps, list[Maps]]:
        features: list[Maps] = []
        predictions: list[Maps] = []
        coarser: Maps | None = None
        for scale in (3, 2, 1, 0):
            here, predicted = self.initial[scale](pyramid[scale], coarser)
            features.insert(0, here)
            predictions.insert(0, predicted)
            coarser = self.propagate[scale - 1](here) if scale else None
        distilled = [module(maps) for module, maps in zip(self.distil, features, strict=True)]
        return {task: self._final(task, [maps[task] for maps in distilled]) for task in self.tasks}, predictions

    def _final(self, task: str, scales: list[Tensor]) -> Tensor:
        joined = torch.cat([resize(x, scales[0].shape[-2:]) for x in scales], dim=1)
        return self.heads[task](self.join[task](joined))


def build(network: NetworkConfig) -> MTINet:
    """The network of MTI-Net."""
    return MTINet(network)
