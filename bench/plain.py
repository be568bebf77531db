"""The plain way to train and run Feature Diffusion, which bench/training.py measures ours against.

The same network and weights, sample by sample and task by task: each labelled pair goes through the denoiser alone, condition
tokens and step embedding are made anew in every call, noise comes from torch's generator, losses are summed one by one. Layout as
PyTorch gives it, Adam and clipping as they are by default. It does the work of the released code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.data.batch import Batch
from dmtl.losses import task_loss
from dmtl.models.diffusion.feature import FeatureDiffusion


def losses(model: FeatureDiffusion, batch: Batch) -> dict[str, Tensor]:
    """Task -> summed loss of the labelled pairs."""
    features, initial = model.decoders(model.trunk(batch.images))
    condition = model.condition(features, initial)
    total: dict[str, Tensor] = {}
    for sample in range(len(batch.images)):
        for task, index in batch.image_index.items():
            for pair in (index == sample).nonzero()[:, 0].tolist():
                label, weight = batch.labels[task][pair], batch.image_weights[sample]
                final = _denoise(model, task, features[task][sample : sample + 1], condition[sample : sample + 1])
                both = _loss(task, final, label) + 0.5 * _loss(task, initial[task][sample : sample + 1], label)
                total[task] = total.get(task, 0) + weight * both
    return total


def predict(model: FeatureDiffusion, images: Tensor) -> dict[str, Tensor]:
    """Task -> `(B, C, H, W)`."""
    features, initial = model.decoders(model.trunk(images))
    condition = model.condition(features, initial)
    predictions = {}
    for task in model.tasks:
        maps = [_denoise(model, task, features[task][i : i + 1], condition[i : i + 1]) for i in range(len(images))]
        predictions[task] = F.interpolate(torch.cat(maps).float(), images.shape[-2:], mode="bilinear", align_corners=False)
    return predictions


def _loss(task: str, prediction: Tensor, label: Tensor) -> Tensor:
    upsampled = F.interpolate(prediction.float(), label.shape[-2:], mode="bilinear", align_corners=False)
    return task_loss(task, upsampled[0], label)


def _denoise(model: FeatureDiffusion, task: str, feature: Tensor, condition: Tensor) -> Tensor:
    """One pair: `(1, width, h, w)` twice -> `(1, C, h, w)`."""
    schedule = model.schedule
    state = schedule.signal * feature + schedule.noise * torch.randn_like(feature)
    for step in range(schedule.steps - 1, -1, -1):
        estimate = _call(model, task, state, step, condition)
        if step == 0:
            state = estimate
        else:
            p = schedule.posteriors[step - 1]
            state = p.predicted * estimate + p.current * state + p.deviation * torch.randn_like(state)
    return model.final_heads[task](state)


def _call(model: FeatureDiffusion, task: str, state: Tensor, step: int, condition: Tensor) -> Tensor:
    denoiser = model.denoiser
    embedding = denoiser.embed[task](state) + denoiser.step_embedding(step)[:, None, None]
    query, memory = denoiser.tokens(condition), denoiser.tokens(embedding)
    for block in denoiser.blocks:
        query, memory = block(query, memory)
    grid = [side // denoiser.token_stride for side in embedding.shape[-2:]]
    small = query.transpose(1, 2).unflatten(2, grid)
    refined = F.interpolate(small, embedding.shape[-2:], mode="bilinear", align_corners=False) + embedding
    return denoiser.heads[task](refined)
