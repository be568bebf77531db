"""The authors' released Feature Diffusion weights (ResNet-18) as a model folder of ours.

The file is theirs, linked from https://prismformore.github.io/diffusionmtl/: a torch checkpoint whose `model` holds 410 tensors,
each name prefixed `module.`. Everything in it must be there, named and shaped as expected, or the import is refused.
"""

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dmtl.benchmarks import Benchmark, benchmark, benchmark_names
from dmtl.benchmarks.benchmark import ReleasedModel
from dmtl.config import Condition, Diffusion, DiffusionNetwork, NetworkConfig, TaskAttention
from dmtl.errors import UserError
from dmtl.files import write_json
from dmtl.models import hollow, save_weights

SCHEDULE = (  # of the diffusion: constants, which we compute
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
)

OPTIONS = Diffusion(
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
        task_attention=TaskAttention(heads=4, mask=0.4),  # not of this method, but of its block
    ),
)

_THEIRS = {  # start of a tensor's name, ours -> theirs; * is a task or a number
    "trunk.backbone": "backbone",
    "trunk.fuse": "backbone_embed",
    "decoders.decoders.*": "preliminary_dec.*",
    "decoders.heads.*": "preliminary_head.*.0",
    "condition.fuse": "diffusion_model.pred_combinator.out_layer",
    "denoiser.embed.*": "diffusion_model.denoiser.pre_layer.*",
    "denoiser.step_embedding": "diffusion_model.denoiser.t_embedder",
    "denoiser.heads.*": "diffusion_model.denoiser.task_heads.*",
    "final_heads.*": "diffusion_model.denoiser.final_task_heads.*.linear_pred",
    "denoiser.blocks.*.norm_query": "diffusion_model.denoiser.crossblocks.*.norm1",
    "denoiser.blocks.*.norm_memory": "diffusion_model.denoiser.crossblocks.*.norm_kv",
    "denoiser.blocks.*.norm_mlp": "diffusion_model.denoiser.crossblocks.*.norm2",
    "denoiser.blocks.*.norm_task_mlp": "diffusion_model.denoiser.crossblocks.*.norm2_kv",
    "denoiser.blocks.*.attention.query": "diffusion_model.denoiser.crossblocks.*.attn.q",
    "denoiser.blocks.*.attention.key_value": "diffusion_model.denoiser.crossblocks.*.attn.kv",
    "denoiser.blocks.*.attention.out": "diffusion_model.denoiser.crossblocks.*.attn.proj",
    "denoiser.blocks.*.mlp.0": "diffusion_model.denoiser.crossblocks.*.mlp.fc1",
    "denoiser.blocks.*.mlp.2": "diffusion_model.denoiser.crossblocks.*.mlp.fc2",
    "denoiser.blocks.*.task_mlp.0": "diffusion_model.denoiser.crossblocks.*.mlp_kv.fc1",
    "denoiser.blocks.*.task_mlp.2": "diffusion_model.denoiser.crossblocks.*.mlp_kv.fc2",
}


def released_benchmark() -> tuple[Benchmark, ReleasedModel]:
    """The benchmark that the authors released a network for, and what they released."""
    return next((one, one.released) for one in map(benchmark, benchmark_names()) if one.released)


def released_network() -> NetworkConfig:
    """The configuration of the released network."""
    one, _ = released_benchmark()
    return NetworkConfig(
        method="diffusion_feature", family="diffusion", backbone="resnet18", width=512, outputs=one.outputs, options=OPTIONS
    )


def import_official(file: Path, out: Path) -> None:
    """Write the model folder of a released checkpoint.

    Raises:
        UserError: the file is missing, truncated, holds anything but tensors, or a tensor is missing, extra or misshapen.
    """
    released, network = _read(file), released_network()
    model = hollow(network)
    expected = {their_name(name): value for name, value in model.state_dict().items()}
    steps = torch.empty(OPTIONS.steps)
    _check(file, released, expected | {f"diffusion_model.{name}": steps for name in SCHEDULE})
    state = {name: released[their_name(name)].to(value.dtype) for name, value in model.state_dict().items()}
    model.load_state_dict(state, assign=True)
    save_weights(out, model)
    one, about = released_benchmark()
    description = {"cell": about.cell, "scale": "released", "seed": 0, "benchmark": one.name, "size": list(about.size)}
    write_json(out / "model.json", description | {"network": network.model_dump(mode="json")})


def their_name(name: str) -> str:
    """The name that a tensor of our network has in the released file, without `module.`."""
    one, _ = released_benchmark()
    for start, theirs in _THEIRS.items():
        match = re.fullmatch(start.replace(".", r"\.").replace("*", r"(\w+)") + r"(\..+)", name)
        if match:
            *star, rest = match.groups()
            return theirs.replace("*", "".join(one.authors_names.get(part, part) for part in star)) + rest
    return name


def _read(file: Path) -> dict[str, Tensor]:
    if file.exists() and not file.is_file():
        raise UserError(f"{file} is no file: name the released checkpoint, a .pth file")
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's, of a foreign pickle: the user is told in one line
            content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{file} is missing: name the released checkpoint, a .pth file") from None
    except Exception as error:  # torch raises many kinds for a truncated file, and one for a pickle that calls something
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{file} is truncated or holds more than tensors ({reason}); download it again") from None
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{file} holds no state dict under 'model': is it the authors' released checkpoint?")
    bare = {str(name).removeprefix("module."): value for name, value in state.items()}
    if len(bare) < len(state):
        raise UserError(f"{file} names a tensor twice, with 'module.' and without: not the released Feature Diffusion model")
    return bare


def _check(file: Path, released: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    missing, extra = sorted(expected.keys() - released.keys()), sorted(released.keys() - expected.keys())
    if missing or extra:
        what = ([f"misses {missing[0]}"] if missing else []) + ([f"has an extra {extra[0]}"] if extra else [])
        count = f"{len(missing)} missing, {len(extra)} extra"
        raise UserError(f"{file} {' and '.join(what)} ({count}): not the released Feature Diffusion model")
    for name, tensor in expected.items():
        if released[name].shape != tensor.shape:
            shapes = f"{tuple(released[name].shape)}, but {tuple(tensor.shape)} is expected"
            raise UserError(f"{file}: {name} has shape {shapes}: not the released Feature Diffusion model")
