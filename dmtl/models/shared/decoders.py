"""Per-task decoders: basic residual blocks and a 1x1 head (the paper's Section 4.1, docs/methods.md, "The shared trunk")."""

from torch import Tensor, nn

from dmtl.models.shared.resnets import BasicBlock


def decoder(width: int, blocks: int) -> nn.Sequential:
    """`blocks` basic residual blocks, `(B, width, h, w)` -> the same shape."""
    return nn.Sequential(*(BasicBlock(width, width) for _ in range(blocks)))


def prediction_heads(outputs: dict[str, int], width: int) -> nn.ModuleDict:
    """A 1x1 convolution per task: features -> logits or values."""
    return nn.ModuleDict({task: nn.Conv2d(width, channels, 1) for task, channels in outputs.items()})


class Decoders(nn.Module):
    """One decoder and one 1x1 head per task.

    Args:
        outputs: task -> channels of its prediction.
        width: channels of the features.
        blocks: residual blocks of each decoder.
    """

    def __init__(self, outputs: dict[str, int], width: int, blocks: int) -> None:
        super().__init__()
        self.decoders = nn.ModuleDict({task: decoder(width, blocks) for task in outputs})
        self.heads = prediction_heads(outputs, width)

    def forward(self, shared: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """`(B, width, h, w)` -> features `(B, width, h, w)` and predictions `(B, C, h, w)` of each task."""
        features = {task: module(shared) for task, module in self.decoders.items()}
        return features, {task: self.heads[task](feature) for task, feature in features.items()}
