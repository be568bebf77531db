"""StableMTL (CVPR 2026) on Stable Diffusion's networks, https://github.com/astra-vision/StableMTL.

One latent loss for all tasks, one task a step, one deterministic step of a latent-diffusion UNet; then once more from there, with
attention to what a frozen copy makes of the other tasks (docs/methods.md, "stable_mtl").
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from dmtl.config import NetworkConfig
from dmtl.errors import UserError
from dmtl.models.diffusion.label_images import LabelImages
from dmtl.models.diffusion.stable_networks import (
    PUBLISHED_SCALING,
    KlCoder,
    PhotoAutoencoder,
    attention_widths,
    self_attentions,
    settings_of,
    stable_options,
)
from dmtl.models.diffusion.stable_stream import SingleStream
from dmtl.models.diffusion.task_attention import TaskAttention, mask_draws
from dmtl.models.shared.method import Maps, Method
from dmtl.models.shared.two_stage import TwoStage
from dmtl.tasks import kinds_of

Hook = Callable[[int, Tensor], Tensor | None]  # number of a self-attention, what it returns -> what it shall return instead


class MultiStream(TwoStage, SingleStream):
    """The single stream, then once more from there, with task attention at each self-attention of its UNet.

    Without a prior the autoencoder is trained before both, on images and on the labels that the setting shows.
    """

    stages = ("single", "multi")

    first: SingleStream

    def __init__(self, network: NetworkConfig) -> None:
        options, (settings, of_vae) = stable_options(network), settings_of(network)
        outputs, kinds = dict(network.outputs), kinds_of(network.outputs, network.kinds)
        scaling = PUBLISHED_SCALING if options.prior else 1.0
        coder = KlCoder(LabelImages(kinds, outputs, options.sharpness), outputs, of_vae, scaling)
        super().__init__(network, coder)
        self.autoencoder = PhotoAutoencoder(network, coder, options.vae.kl_weight)
        self.first = SingleStream(network, coder)
        o = options.task_attention
        hidden = round(o.hidden * settings["block_out_channels"][0])
        widths = attention_widths(self.unet)
        if any(width % o.heads for width in widths):
            key = "diffusion.network.stable_mtl.task_attention.heads"
            raise UserError(f"params.yaml: {key} {o.heads} does not divide the UNet's widths {sorted(set(widths))}")
        layers = (TaskAttention(self.tasks, width, o.heads, o.mask, hidden) for width in widths)
        self.task_attention = nn.ModuleList(layers)

    def trainings(self) -> Iterator[tuple[str, Method]]:
        if self.stable.prior is None:
            yield "autoencoder", self.autoencoder
        yield from super().trainings()

    def begin(self) -> None:
        _, unexpected = self.load_state_dict(self.first.state_dict(), strict=False)
        assert not unexpected

    def parameter_groups(self) -> list[dict[str, Any]]:
        (group,), coders = super().parameter_groups(), set(self.autoencoder.parameters())
        return [{"params": [parameter for parameter in group["params"] if parameter not in coders]}]

    def latents(self, images: Tensor, image_index: Maps, noise_keys: Tensor | None = None) -> Maps:
        seen = self.unet_input(images)
        heard = self._heard(seen)
        drawn = noise_keys if self.training else None

        def mixed(number: int, attended: Tensor) -> Tensor:
            draws = None if drawn is None else mask_draws(image_index, drawn, number)
            return attended + self.task_attention[number](attended, heard[number], image_index, draws)

        with _hooked(self.unet, mixed):
            return self.estimate(seen, image_index)

    @torch.no_grad()
    def _heard(self, seen: Tensor) -> list[Tensor]:
        """What each self-attention of the frozen stream says of every pair, `(T, B, N, width)`."""
        heard: dict[int, Tensor] = {}

        def note(number: int, attended: Tensor) -> None:
            heard[number] = attended.unflatten(0, (len(self.tasks), len(seen)))

        with _hooked(self.first.unet, note):
            every_image = torch.arange(len(seen), device=seen.device)
            self.first.estimate(seen, dict.fromkeys(self.tasks, every_image))
        return [heard[number] for number in range(len(heard))]


def _hooked(unet: nn.Module, hook: Hook) -> ExitStack:
    """A context in which `hook` sees, and may change, what the self-attentions of a UNet return."""
    stack = ExitStack()
    for number, attention in enumerate(self_attentions(unet)):
        handle = attention.register_forward_hook(lambda _, given, attended, number=number: hook(number, attended))
        stack.callback(handle.remove)
    return stack


def build(network: NetworkConfig) -> MultiStream:
    """The autoencoder, the single stream and the multi stream."""
    return MultiStream(network)
