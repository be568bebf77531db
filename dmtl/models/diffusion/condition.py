"""The multi-task condition feature F_cond (the paper's Section 3.2.2, docs/methods.md, "The denoiser")."""

import torch
from torch import Tensor, nn

from dmtl.config import Condition as Options
from dmtl.models.shared.method import Maps


class Condition(nn.Module):
    """First maps of all tasks -> `(B, width, h, w)`.

    `source` chooses what is concatenated before one 3x3 convolution: `predictions`, the logits as they are (the released
    Feature Diffusion); `per_task_predictions`, each task's logits through a 3x3 convolution of its own (the paper's text);
    `features`, the decoders' features.
    """

    def __init__(self, options: Options, outputs: dict[str, int], width: int) -> None:
        super().__init__()
        self.options = options
        self.project = nn.ModuleDict()
        channels = sum(outputs.values()) if options.source == "predictions" else width * len(outputs)
        if options.source == "per_task_predictions":
            self.project.update({task: nn.Conv2d(n, width, 3, padding=1) for task, n in outputs.items()})
        self.fuse = nn.Conv2d(channels, width, 3, padding=1)
        nn.init.kaiming_normal_(self.fuse.weight, mode="fan_out", nonlinearity="relu")
        if self.fuse.bias is not None:
            nn.init.zeros_(self.fuse.bias)

    def forward(self, features: Maps, predictions: Maps) -> Tensor:
        maps = features if self.options.source == "features" else predictions
        if self.options.detach:
            maps = {task: m.detach() for task, m in maps.items()}
        if self.project:
            maps = {task: self.project[task](m) for task, m in maps.items()}
        return self.fuse(torch.cat(list(maps.values()), dim=1))
