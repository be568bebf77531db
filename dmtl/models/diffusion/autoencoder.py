"""A small variational autoencoder of label images, and its training (docs/methods.md, "latent_regression_vae")."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from dmtl.config import LatentVae, NetworkConfig
from dmtl.data.batch import Batch
from dmtl.models.diffusion.label_images import LabelImages
from dmtl.models.diffusion.latents import LabelCoder, exact, grid_of
from dmtl.models.diffusion.noise import gaussian
from dmtl.models.shared.method import Maps, Method, Stages
from dmtl.tasks.shared.pixels import pixel_mean

TERM = "reconstruction"  # its one loss, of all tasks
RANGE = 10.0  # of a log-variance, either way, so that an untrained network gives no infinite one


class VariationalCoder(LabelCoder):
    """A coder whose latents are drawn while it is trained."""

    @abstractmethod
    def distribution(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """`(n, 3, 8 h, 8 w)` -> mean and log-variance of its latents, `(n, channels, h, w)` each, float32."""


class Autoencoder(VariationalCoder):
    """Three halvings by strided convolutions and residual blocks, and the way back; without norms, so that cells stay local.

    Args:
        width: channels of the trunk, of which the options' widths are shares.
    """

    def __init__(self, images: LabelImages, outputs: dict[str, int], width: int, options: LatentVae) -> None:
        super().__init__(images, outputs, options.channels)
        one, two, three = (max(1, round(share * width)) for share in options.widths)
        self.encoder = nn.Sequential(
            nn.Conv2d(3, one, 3, padding=1),
            *(Residual(one), nn.Conv2d(one, two, 3, stride=2, padding=1)),
            *(Residual(two), nn.Conv2d(two, three, 3, stride=2, padding=1)),
            *(Residual(three), nn.Conv2d(three, three, 3, stride=2, padding=1)),
            *(Residual(three), nn.SiLU(), nn.Conv2d(three, 2 * options.channels, 3, padding=1)),
        )
        self.decoder = nn.Sequential(
            *(nn.Conv2d(options.channels, three, 3, padding=1), Residual(three)),
            *(nn.Upsample(scale_factor=2), nn.Conv2d(three, three, 3, padding=1), Residual(three)),
            *(nn.Upsample(scale_factor=2), nn.Conv2d(three, two, 3, padding=1), Residual(two)),
            *(nn.Upsample(scale_factor=2), nn.Conv2d(two, one, 3, padding=1), Residual(one)),
            *(nn.SiLU(), nn.Conv2d(one, 3, 3, padding=1)),
        )

    def distribution(self, image: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(image).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-RANGE, RANGE)

    def encode(self, image: Tensor) -> Tensor:
        with exact(image):
            return self.distribution(image)[0]

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder(latents).float()


class Residual(nn.Module):
    """x + conv(SiLU(conv(SiLU(x)))), 3x3 each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(width, width, 3, padding=1) for _ in range(2)]
        self.layers = nn.Sequential(nn.SiLU(), convolutions[0], nn.SiLU(), convolutions[1])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class LabelAutoencoder(Method):
    """The autoencoder as a network to be trained: it sees labels alone, those that the setting shows."""

    def __init__(self, network: NetworkConfig, coder: VariationalCoder, kl_weight: float) -> None:
        super().__init__(network)
        self.coder, self.kl_weight = coder, kl_weight

    def forward(self, batch: Batch) -> Maps:
        def losses(task: str, index: Tensor) -> Tensor:
            label = batch.labels[task]
            return self.errors(*self.coder.image(task, label, grid_of(label)), batch.noise_keys[index], task)

        return {TERM: torch.stack(list(self.weighted(batch, losses).values())).sum()}

    def errors(self, image: Tensor, pixels: Tensor, cells: Tensor, noise_keys: Tensor, name: str) -> Tensor:
        """What is lost of each image, and how far its latents are from N(0, 1): `(n,)`.

        Args:
            image: `(n, 3, 8 h, 8 w)`.
            pixels, cells: which of them count, `(n, 8 h, 8 w)` and `(n, h, w)`.
            noise_keys: `(n,)` int64, from which with `name` the latents are drawn.
        """
        mean, log_variance = self.coder.distribution(image)
        draw = gaussian(noise_keys, f"latent of {name}", 0, tuple(mean.shape[1:]))
        again = self.coder.decode(mean + torch.exp(log_variance / 2) * draw)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
        error = pixel_mean((again - image).square().mean(1), pixels)
        return error + self.kl_weight * pixel_mean(divergence, cells)

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        """The images themselves on the way through the latents, in the place of each task's labels: what those cost."""
        return {"final": {task: self.coder.prediction(task, self.coder.encode(images)) for task in self.tasks}}
