"""Single-Task: the MTL baseline once for each task, apart.

https://prismformore.github.io/diffusionmtl/, Section 4.2.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from dmtl.config import NetworkConfig, Plain
from dmtl.data.batch import Batch
from dmtl.models.plain.network import PlainNetwork
from dmtl.models.shared.method import Maps, Method, Stages


class SingleTask(Method):
    """Independent networks, each trained on the images that carry its task's label or, as XTC's, seeing all images."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.networks = nn.ModuleDict(
            {task: PlainNetwork(network.model_copy(update={"outputs": {task: n}})) for task, n in network.outputs.items()}
        )
        for _, single in self.trainings():
            single.every_image = network.options_as(Plain).single_task_images == "all"

    def trainings(self) -> Iterator[tuple[str, Method]]:
        for task, single in self.networks.items():
            assert isinstance(single, Method)
            yield task, single

    def forward(self, batch: Batch) -> Maps:
        losses: Maps = {}
        for task in batch.image_index:
            losses |= self.networks[task](batch.only((task,)))
        return losses

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        final: Maps = {}
        for _, single in self.trainings():
            final |= single.maps(images, noise, noise_keys)["final"]
        return {"final": final}


def build(network: NetworkConfig) -> SingleTask:
    """One network per task."""
    return SingleTask(network)
