"""Weights of Stable Diffusion 2 from a folder of the user's, in the layout of diffusers: nothing of it is downloaded.

`unet/` and `vae/`, each with `config.json` and `diffusion_pytorch_model.safetensors`. The files come from elsewhere, so names,
shapes and types are compared with the network's before a weight is read (docs/methods.md, "stable_mtl").
"""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dmtl.errors import UserError
from dmtl.files import file_sha256
from dmtl.models.diffusion.stable_networks import CHANNELS, Settings
from dmtl.reading.bounded import LARGEST_TEXT, parse_json, read_within

WEIGHTS = "diffusion_pytorch_model.safetensors"
FLOATS = {"F32", "F16", "BF16"}
FIRST = "conv_in.weight"  # of the UNet: it has more input channels than the published one
EARLIER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # names in an autoencoder's older files


def load_unet(unet: nn.Module, folder: Path, settings: Settings, sha256: str) -> None:
    """Give a UNet the weights in `folder`; its first convolution sees each of its inputs as the published one sees its only one.

    Args:
        unet: of `settings`, with a multiple of the published input channels.
        folder: `unet` of the user's.
        settings: what its config.json must say.
        sha256: of its file of weights.

    Raises:
        UserError: a file is missing, damaged, another than `sha256` says, or of another network.
    """
    copies = settings["in_channels"] // CHANNELS
    shapes = {name: tuple(value.shape) for name, value in unet.state_dict().items()}
    shapes[FIRST] = (shapes[FIRST][0], CHANNELS, *shapes[FIRST][2:])
    state = _weights(folder, settings | {"in_channels": CHANNELS}, shapes, sha256)
    state[FIRST] = state[FIRST].repeat(1, copies, 1, 1) / copies
    unet.load_state_dict(state)


def load_vae(vae: nn.Module, folder: Path, settings: Settings, sha256: str) -> None:
    """Give an autoencoder the weights in `folder`; arguments and errors as of `load_unet`."""
    shapes = {name: tuple(value.shape) for name, value in vae.state_dict().items()}
    vae.load_state_dict(_weights(folder, settings, shapes, sha256))


def _weights(folder: Path, settings: Settings, shapes: dict[str, tuple[int, ...]], sha256: str) -> dict[str, Tensor]:
    """The tensors of a part, float32, after everything about them has been compared."""
    config, file = folder / "config.json", folder / WEIGHTS
    told = _config(config)
    for key, value in settings.items():
        if key in told and _plain(told[key]) != value:
            raise UserError(f"{config}: {key} is {str(told[key])[:80]}, but Stable Diffusion 2 has {value}: take its folder")
    try:
        found = file_sha256(file)
        if found != sha256:
            where = f"diffusion.network.stable_mtl.prior.{folder.name}"
            raise UserError(f"{file} has the SHA-256 {found}, but params.yaml: {where} says {sha256}: correct it or the file")
        with safe_open(file, "pt") as opened:
            names = {_today(name): name for name in opened.keys()}  # noqa: SIM118  # it is no mapping
            _compare(file, {ours: opened.get_slice(theirs) for ours, theirs in names.items()}, shapes)
            state = {ours: opened.get_tensor(theirs).float() for ours, theirs in names.items()}
    except FileNotFoundError:
        raise UserError(f"{file} is missing: Stable Diffusion 2 in the layout of diffusers has it") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} cannot be read ({' '.join(str(error).split())[:160]}): take it anew") from None
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise UserError(f"{file}: '{name}' holds NaN or infinity: take it anew")
    return state


def _config(file: Path) -> dict[str, Any]:
    try:
        told = parse_json(read_within(file, LARGEST_TEXT))
        if not isinstance(told, dict):
            raise ValueError(f"it is a {type(told).__name__}")
    except FileNotFoundError:
        raise UserError(f"{file} is missing: Stable Diffusion 2 in the layout of diffusers has it") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({str(error)[:160]}): take it anew") from None
    return told


def _compare(file: Path, stored: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    for name in sorted(stored.keys() ^ shapes.keys()):
        fault = "lacks" if name in shapes else "holds, beyond what the network has,"
        raise UserError(f"{file} {fault} '{name}': it is not that of Stable Diffusion 2")
    for name, shape in shapes.items():
        kind, found = stored[name].get_dtype(), tuple(stored[name].get_shape())
        if kind not in FLOATS or found != shape:
            raise UserError(f"{file}: '{name}' is {kind} {found}, but Stable Diffusion 2 has floats {shape}")


def _today(name: str) -> str:
    """The name that a tensor of an older file has now."""
    match = re.fullmatch(r"(.*\.attentions\.\d+\.)(query|key|value|proj_attn)(\.\w+)", name)
    return f"{match[1]}{EARLIER[match[2]]}{match[3]}" if match else name


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
