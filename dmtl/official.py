"""The authors' released Feature Diffusion weights (PASCAL, ResNet-18) as a model folder of ours.

The file is theirs, linked from https://prismformore.github.io/diffusionmtl/: a torch checkpoint whose `model` holds 410 tensors,
each name prefixed `module.`. Everything in it must be there, named and shaped as expected, or the import is refused.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dmtl.config import Condition, Diffusion, DiffusionNetwork, Network
from dmtl.errors import UserError
from dmtl.files import write_json
from dmtl.models import build, save_weights

OUTPUTS = {"semseg": 21, "human_parts": 7, "saliency": 2, "normals": 3, "boundary": 1}  # PASCAL, in the authors' order
SIZE = [512, 512]  # of the images that it was trained on
TASKS = {"sal": "saliency", "edge": "boundary"}  # their names -> ours, where they differ

RELEASED = Network(
    method="diffusion_feature",
    family="diffusion",
    backbone="resnet18",
    width=512,
    outputs=OUTPUTS,
    options=Diffusion(
        steps=2,
        network=DiffusionNetwork(
            decoder_blocks=2,
            blocks=4,
            heads=4,
            token_stride=4,
            schedule="sqrt_linear",
            beta_start=1e-3,
            beta_end=1e-2,
            sampler="posterior",
            initial_weight=0.5,
            prediction=Condition(source="per_task_predictions", detach=False),
            feature=Condition(source="predictions", detach=True),
        ),
    ),
)

_BLOCK = r"^diffusion_model\.denoiser\.crossblocks\.(\d+)\."
_RENAMES = (
    (r"^backbone\.", r"trunk.backbone."),
    (r"^backbone_embed\.", r"trunk.fuse."),
    (r"^preliminary_dec\.(\w+)\.", r"decoders.decoders.\1."),
    (r"^preliminary_head\.(\w+)\.0\.", r"decoders.heads.\1."),
    (r"^diffusion_model\.pred_combinator\.out_layer\.", r"condition.fuse."),
    (r"^diffusion_model\.denoiser\.pre_layer\.(\w+)\.", r"denoiser.embed.\1."),
    (r"^diffusion_model\.denoiser\.t_embedder\.", r"denoiser.step_embedding."),
    (r"^diffusion_model\.denoiser\.task_heads\.(\w+)\.", r"denoiser.heads.\1."),
    (r"^diffusion_model\.denoiser\.final_task_heads\.(\w+)\.linear_pred\.", r"final_heads.\1."),
    (_BLOCK + r"norm1\.", r"denoiser.blocks.\1.norm_query."),
    (_BLOCK + r"norm_kv\.", r"denoiser.blocks.\1.norm_memory."),
    (_BLOCK + r"norm2\.", r"denoiser.blocks.\1.norm_mlp."),
    (_BLOCK + r"norm2_kv\.", r"denoiser.blocks.\1.norm_task_mlp."),
    (_BLOCK + r"attn\.q\.", r"denoiser.blocks.\1.attention.query."),
    (_BLOCK + r"attn\.kv\.", r"denoiser.blocks.\1.attention.key_value."),
    (_BLOCK + r"attn\.proj\.", r"denoiser.blocks.\1.attention.out."),
    (_BLOCK + r"mlp\.fc1\.", r"denoiser.blocks.\1.mlp.0."),
    (_BLOCK + r"mlp\.fc2\.", r"denoiser.blocks.\1.mlp.2."),
    (_BLOCK + r"mlp_kv\.fc1\.", r"denoiser.blocks.\1.task_mlp.0."),
    (_BLOCK + r"mlp_kv\.fc2\.", r"denoiser.blocks.\1.task_mlp.2."),
)
_SCHEDULE = re.compile(r"^diffusion_model\.\w*(alphas|betas|posterior|lvlb|logvar)\w*$")  # constants that we compute


def import_official(file: Path, out: Path) -> None:
    """Write the model folder of a released checkpoint.

    Raises:
        UserError: the file is missing, truncated, holds anything but tensors, or a tensor is missing, extra or misshapen.
    """
    state = {our_name(name): value for name, value in _read(file).items() if not _SCHEDULE.match(name)}
    with torch.device("meta"):
        model = build(RELEASED)
    _check(file, state, model.state_dict())
    model.load_state_dict(state, assign=True)
    save_weights(out, model)
    description = {"cell": "pascal-onelabel-diffusion_feature", "scale": "released", "seed": 0}
    description |= {"benchmark": "pascal", "size": SIZE}
    write_json(out / "model.json", description | {"network": RELEASED.model_dump(mode="json")})


def our_name(name: str) -> str:
    """A tensor's name in the released file, without `module.`, -> in our network; unknown names stay as they are."""
    for pattern, replacement in _RENAMES:
        name, found = re.subn(pattern, replacement, name)
        if found:
            break
    return ".".join(TASKS.get(part, part) for part in name.split("."))


def _read(file: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{file} is missing: name the released checkpoint, a .pth file") from None
    except Exception as error:  # torch raises many kinds for a truncated file, and one for a pickle that calls something
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{file} is truncated or holds more than tensors ({reason}); download it again") from None
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{file} holds no state dict under 'model': is it the authors' released checkpoint?")
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def _check(file: Path, state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or extra:
        what = f"misses {missing[0]}" if missing else f"has an extra {extra[0]}"
        raise UserError(f"{file} {what} ({len(missing)} missing, {len(extra)} extra): not the released Feature Diffusion model")
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)}, but {tuple(tensor.shape)} is expected"
            raise UserError(f"{file}: {name} has shape {shapes}: not the released Feature Diffusion model")
