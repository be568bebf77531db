"""Stable Diffusion's UNet and autoencoder, built by the package diffusers (docs/methods.md, "stable_mtl")."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.config import Diffusion, NetworkConfig, Normalisation, StableMtl
from dmtl.data.batch import Batch
from dmtl.errors import UserError
from dmtl.models.diffusion.autoencoder import RANGE, LabelAutoencoder, VariationalCoder
from dmtl.models.diffusion.label_images import LabelImages
from dmtl.models.diffusion.latents import CELL, exact, grid_of
from dmtl.models.shared.method import Maps

CHANNELS = 4  # of a latent
HEAD = 64  # channels of a head of the UNet's attention, in Stable Diffusion 2
MOST_GROUPS = 32  # of a group norm
STEP = 8  # widths are multiples of it
Settings = dict[str, Any]  # arguments of a class of diffusers


def _heads(width: int) -> int:
    return next(count for count in range(max(1, width // HEAD), 0, -1) if width % count == 0)


def _groups(widths: tuple[int, ...]) -> int:
    return math.gcd(MOST_GROUPS, *widths)


def unet_settings(widths: tuple[int, ...], layers: int, token_width: int) -> Settings:
    """A UNet2DConditionModel whose levels all attend but the last, as Stable Diffusion's, for image and label latents."""
    attending = len(widths) - 1
    return {
        "in_channels": 2 * CHANNELS,
        "out_channels": CHANNELS,
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ("CrossAttnDownBlock2D",) * attending + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * attending,
        "attention_head_dim": tuple(map(_heads, widths)),  # heads, in spite of the name
        "cross_attention_dim": token_width,
        "norm_num_groups": _groups(widths),
        "use_linear_projection": True,
    }


def vae_settings(widths: tuple[int, ...], layers: int) -> Settings:
    """An AutoencoderKL that halves the image between its levels."""
    return {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": CHANNELS,
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "norm_num_groups": _groups(widths),
    }


PUBLISHED_UNET = unet_settings((320, 640, 1280, 1280), layers=2, token_width=1024)  # Stable Diffusion 2's
PUBLISHED_VAE = vae_settings((128, 256, 512, 512), layers=2)
PUBLISHED_SCALING = 0.18215  # brings its latents to a deviation of about 1


def stable_options(network: NetworkConfig) -> StableMtl:
    """The options `stable_mtl` of a network.

    Raises:
        UserError: it has none.
    """
    options = network.options_as(Diffusion).network.stable_mtl
    if options is None:
        raise UserError(f"method '{network.method}' needs the block diffusion.network.stable_mtl in params.yaml")
    return options


def settings_of(network: NetworkConfig) -> tuple[Settings, Settings]:
    """Those of UNet and autoencoder: the published ones with a prior, else those of the options at the network's width."""
    options = stable_options(network)
    if options.prior:
        return PUBLISHED_UNET, PUBLISHED_VAE
    of_unet, of_vae = (
        tuple(STEP * max(1, round(share * network.width / STEP)) for share in part.widths) for part in (options.unet, options.vae)
    )
    return unet_settings(of_unet, options.unet.layers, max(of_unet)), vae_settings(of_vae, options.vae.layers)


def make_unet(settings: Settings) -> Any:
    """A UNet2DConditionModel with random weights.

    Raises:
        UserError: diffusers is not installed.
    """
    return _diffusers("UNet2DConditionModel")(**settings)


def self_attentions(unet: nn.Module) -> list[Any]:
    """The self-attentions of a UNet; what they return has gone through their output projection."""
    return [module.attn1 for module in unet.modules() if hasattr(module, "attn1")]


def attention_widths(unet: nn.Module) -> list[int]:
    """The channels of what each of them returns."""
    return [attention.query_dim for attention in self_attentions(unet)]


class KlCoder(VariationalCoder):
    """Labels and images <-> latents by an AutoencoderKL, times `scaling`."""

    def __init__(self, images: LabelImages, outputs: dict[str, int], settings: Settings, scaling: float) -> None:
        super().__init__(images, outputs, CHANNELS)
        self.vae, self.scaling = _diffusers("AutoencoderKL")(**settings), scaling

    def distribution(self, image: Tensor) -> tuple[Tensor, Tensor]:
        posterior = self.vae.encode(image).latent_dist
        log_variance = posterior.logvar.float() + 2 * math.log(self.scaling)
        return self.scaling * posterior.mean.float(), log_variance.clamp(-RANGE, RANGE)

    def encode(self, image: Tensor) -> Tensor:
        with exact(image):
            return self.distribution(image)[0]

    def decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents / self.scaling).sample.float()


class PhotoAutoencoder(LabelAutoencoder):
    """The autoencoder's training: on the labels that the setting shows, and on the images, each as one label more."""

    def forward(self, batch: Batch) -> Maps:
        image = photo(batch.images, self.config.normalisation)
        pixels = torch.ones_like(image[:, 0], dtype=torch.bool)
        errors = self.errors(image, pixels, pixels[:, ::CELL, ::CELL], batch.noise_keys, "photo")
        return {**super().forward(batch), "photo": errors.mean()}


def photo(images: Tensor, normalisation: Normalisation) -> Tensor:
    """Normalised images `(B, 3, H, W)` -> in [-1, 1], `(B, 3, 8 h, 8 w)`, h and w as `grid_of` an image's label."""
    mean, std = (images.new_tensor(values)[:, None, None] for values in (normalisation.mean, normalisation.std))
    shown = 2 * (images * std + mean) - 1
    size = tuple(CELL * side for side in grid_of(images))
    return shown if shown.shape[-2:] == size else F.interpolate(shown, size=size, mode="bilinear", align_corners=False)


def _diffusers(name: str) -> Any:
    """A class of diffusers, whose import takes seconds."""
    try:
        import diffusers
    except ImportError as error:
        raise UserError(f"stable_mtl needs the package diffusers ({error}): pip install 'dmtl[diffusers]'") from None
    return getattr(diffusers, name)
