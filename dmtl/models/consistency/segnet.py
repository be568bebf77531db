"""What the networks of SegNet's shape share: XTC's mapping network and JTR's auto-encoder (docs/methods.md, "xtc" and "jtr")."""

from torch import nn

LAYERS = (2, 2, 3, 3, 3)  # of each group, 13 in all


def conv_norm_relu(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 convolution with bias, batch norm, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


def initialise(network: nn.Module) -> None:
    """Xavier-normal weights and zero biases of every convolution, as released."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
