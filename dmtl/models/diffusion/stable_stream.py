"""One pass of a latent-diffusion UNet as a regression of label latents (docs/methods.md, "stable_mtl")."""

import torch
from torch import Tensor, nn
from tqdm import tqdm

from dmtl.config import NetworkConfig
from dmtl.data.batch import Batch
from dmtl.files import CLONE
from dmtl.models.diffusion.latent_network import LatentMethod
from dmtl.models.diffusion.stable_networks import KlCoder, make_unet, photo, settings_of, stable_options
from dmtl.models.diffusion.stable_prior import load_unet, load_vae
from dmtl.models.shared.method import Maps

TIMESTEP = 999  # the last: of pure noise
FOLDER = "stable_diffusion"  # the user's, which DMTL_STABLE_DIFFUSION or local.yaml names
NO_PRIOR = "no prior: UNet and autoencoder begin from random weights, so what the method rests on is missing (docs/methods.md)"


class SingleStream(LatentMethod):
    """The UNet, told the image's latent and the task, estimates the label's latent in one deterministic step.

    Args:
        coder: of labels and images; in no network's training but its own.
    """

    balance = "isolation"

    def __init__(self, network: NetworkConfig, coder: KlCoder) -> None:
        super().__init__(network, coder)
        self.stable, (settings, _) = stable_options(network), settings_of(network)
        self.unet = make_unet(settings)
        shape = self.stable.tokens, settings["cross_attention_dim"]
        self.tokens = nn.ParameterDict({task: nn.Parameter(torch.randn(shape)) for task in self.tasks})

    def begin(self) -> None:
        """Take the prior's weights, where there is one.

        Raises:
            UserError: its folder is not there, or holds something else.
        """
        if self.stable.prior is None:
            tqdm.write(f"{self.config.method}: {NO_PRIOR}")
            return
        from dmtl.prepare.places import local_path

        folder, (unet, vae) = local_path(CLONE, FOLDER), settings_of(self.config)
        load_unet(self.unet, folder / "unet", unet, self.stable.prior.unet)
        assert isinstance(self.coder, KlCoder)
        load_vae(self.coder.vae, folder / "vae", vae, self.stable.prior.vae)

    def forward(self, batch: Batch) -> Maps:
        return self.latent_losses(batch)

    def latents(self, images: Tensor, image_index: Maps, noise_keys: Tensor | None = None) -> Maps:
        return self.estimate(self.unet_input(images), image_index)

    @torch.no_grad()
    def unet_input(self, images: Tensor) -> Tensor:
        """What the UNet sees of `(B, 3, H, W)` images: their latents, and zeros where a noisy label latent would be."""
        latents = self.coder.encode(photo(images.float(), self.config.normalisation))
        return torch.cat([latents, torch.zeros_like(latents)], dim=1)

    def estimate(self, seen: Tensor, image_index: Maps) -> Maps:
        """Label latents of the pairs `image_index`, `(B, 8, h, w)` -> task -> `(n_t, 4, h, w)`; all pairs go at once."""
        sizes = [len(index) for index in image_index.values()]
        told = [self.tokens[task].expand(size, -1, -1) for task, size in zip(image_index, sizes, strict=True)]
        pairs = seen[torch.cat(list(image_index.values()))]
        estimates = self.unet(pairs, TIMESTEP, torch.cat(told), return_dict=False)[0]
        return dict(zip(image_index, estimates.split(sizes), strict=True))
