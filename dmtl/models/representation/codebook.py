"""A codebook in which codes that nothing uses are drawn anew after every epoch (docs/methods.md, "task_prototype")."""

import torch
from torch import Tensor, nn

from dmtl.models.shared.random import uniform


class Codebook(nn.Module):
    """Vectors, the nearest of which stands for a feature.

    In training it notes which codes have been the nearest of some feature since the epoch began. At the first batch after it
    each of the others becomes one of that batch's features, at positions drawn from its first image's key. Several processes
    note together, and all take what the first of them draws.

    Attributes:
        codes: `(K, C)`.
        used: `(K,)`, whether a code has been the nearest since the epoch began.
        images: how many images an epoch has; None: no code is drawn anew.
    """

    used: Tensor

    def __init__(self, width: int, codes: int) -> None:
        super().__init__()
        self.codes = nn.Parameter(0.02 * torch.randn(codes, width))
        self.register_buffer("used", torch.zeros(codes, dtype=torch.bool))
        self.images: int | None = None
        self._batches = 0  # of this epoch; a number of the host's, so that no step waits for the device
        self._batch: int | None = None  # images in a batch of all processes

    def forward(self, features: Tensor, noise_keys: Tensor) -> Tensor:
        """`(B, C, h, w)` of a training batch and the images' keys `(B,)` -> `(B, C, h, w)`, the nearest codes."""
        if self._epoch_has_ended(features):
            self._renew(features, noise_keys)
        numbers = self.nearest(features)
        chosen = torch.zeros_like(self.used, dtype=torch.uint8).index_fill_(0, numbers.flatten(), 1)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(chosen, torch.distributed.ReduceOp.MAX)
        self.used |= chosen.bool()
        self._batches += 1
        return self.codes[numbers].movedim(-1, 1)

    @torch.no_grad()
    def nearest(self, features: Tensor) -> Tensor:
        """`(B, C, h, w)` -> `(B, h, w)` int64, the code at the smallest Euclidean distance; an image at a time, for memory."""
        with torch.autocast(features.device.type, enabled=False):
            vectors = features.float().movedim(1, -1).flatten(1, 2)
            numbers = [torch.cdist(image, self.codes.float()).argmin(1) for image in vectors]
        return torch.stack(numbers).view(len(features), *features.shape[-2:])

    def get_extra_state(self) -> Tensor:
        """How many batches of the epoch there have been, for a training that goes on."""
        return torch.tensor(self._batches)

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from `get_extra_state`."""
        self._batches = int(state)

    def _epoch_has_ended(self, features: Tensor) -> bool:
        """Whether no whole batch is left of the epoch; an incomplete last one is not trained on (`EpochBatches`)."""
        if self.images is None:
            return False
        if self._batch is None:
            self._batch = images_of_all_processes(features)
        return (self._batches + 1) * self._batch > self.images

    @torch.no_grad()
    def _renew(self, features: Tensor, noise_keys: Tensor) -> None:
        """Give the codes that are not used features of this batch, each another one as long as there are enough of them."""
        vectors = features.float().movedim(1, -1).flatten(0, 2)
        order = uniform(noise_keys[:1], "codes drawn anew", 0, (len(vectors),))[0].argsort(stable=True)
        drawn = vectors[order[torch.arange(len(self.codes), device=order.device) % len(order)]]
        if torch.distributed.is_initialized():
            torch.distributed.broadcast(drawn, 0)
        self.codes.copy_(torch.where(self.used[:, None], self.codes, drawn))
        self.used.zero_()
        self._batches = 0


def images_of_all_processes(features: Tensor) -> int:
    """How many images the whole batch has of which this process has `(B, C, h, w)`."""
    if not torch.distributed.is_initialized():
        return len(features)
    count = torch.tensor(len(features), device=features.device)
    torch.distributed.all_reduce(count)
    return int(count)
