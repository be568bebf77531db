"""JTR: joint-task regularisation, predictions and labels of all tasks compared at once in the code of an auto-encoder.

https://arxiv.org/abs/2404.01976; the seven slips of the released code are not repeated (docs/methods.md, "jtr").
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from dmtl.config import NetworkConfig
from dmtl.models.consistency.autoencoder import AutoEncoder
from dmtl.models.consistency.joint import JointCodes, JointMaps
from dmtl.models.consistency.losses import one_minus_cosine, reconstruction_loss
from dmtl.models.consistency.network import ConsistencyNetwork, Views

JOINT = "joint"  # the name of the loss term


class JointTaskRegularisation(ConsistencyNetwork):
    """On the second view a frozen copy of the encoder teaches unlabelled predictions; the third view trains the auto-encoder."""

    further_views = ("second view", "third view")
    term = JOINT

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.jtr = self.options.jtr
        widths = [max(1, round(share * network.width)) for share in self.jtr.widths]
        pools = 5 if self.jtr.resolution == "full" else 2
        self.codes = JointCodes(self.kinds, network.outputs, self.jtr)
        self.auto_encoder = AutoEncoder(sum(network.outputs.values()), widths, pools)

    def prepare(self, labels: Iterable[dict[str, Tensor]]) -> None:
        self.codes.measure(labels)

    def consistency(self, views: Views) -> Tensor:
        o = self.jtr
        teaching, training = views.further
        loss = o.distance * self.distance(self.codes(views.batch, teaching, draws=(1, 0)))
        distance, reconstruction = self.auto_encoder_losses(self.codes(views.batch, training, draws=(3, None)))
        return (loss + o.distance * o.encoder_distance * distance + o.reconstruction * reconstruction).mean()

    def distance(self, joint: JointMaps) -> Tensor:
        """d1 of each image: how far apart the frozen copy's codes of Y and Y_hat are, `(B,)`."""
        return one_minus_cosine(*self.auto_encoder.frozen_code(joint.codes).chunk(2))

    def auto_encoder_losses(self, joint: JointMaps) -> tuple[Tensor, Tensor]:
        """d2 and R of each image, `(B,)` twice: the distance again and what is lost of both maps, for the auto-encoder alone."""
        maps = joint.codes.detach()
        code, outputs = self.auto_encoder(maps)
        channels = list(self.outputs.values())
        split = zip(self.tasks, outputs.split(channels, 1), maps.split(channels, 1), strict=True)
        lost = [reconstruction_loss(self.kinds[task], output, target, joint.valid[task]) for task, output, target in split]
        return one_minus_cosine(*code.chunk(2)), torch.stack(lost).sum(0).view(2, -1).sum(0)


def build(network: NetworkConfig) -> JointTaskRegularisation:
    """The network of JTR."""
    return JointTaskRegularisation(network)
