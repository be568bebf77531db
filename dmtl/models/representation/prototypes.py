"""Task prototypes: how much of each is in a feature, and what it retrieves of them (docs/methods.md, "task_prototype")."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TINY = 1e-6


def affinities(features: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """`(T, B, C, h, w)` features of all tasks and `(T, C)` prototypes -> log of the softmax over prototypes, `(T, B, T, h, w)`.

    The softmax is of cosines over the temperature; the cosine of a feature that is 0 is 0.
    """
    features, prototypes = features.float(), prototypes.float()
    products = torch.einsum("tbchw,uc->tbuhw", features, prototypes)
    lengths = features.norm(dim=2, keepdim=True) * prototypes.norm(dim=1).view(1, 1, -1, 1, 1)
    return F.log_softmax(products / (lengths + TINY) / temperature, dim=2)


def association_loss(log_affinities: Tensor) -> Tensor:
    """`(T, B, T, h, w)` -> scalar, the mean over all pairs and positions of -log of the own prototype's share; of no label."""
    return -log_affinities.diagonal(dim1=0, dim2=2).mean()


def triplet_loss(features: Tensor, margin: float) -> Tensor:
    """`(T, B, C, h, w)` -> scalar, a mean over pairs; 0 where there is no second image or no second task.

    Features are averaged over positions and scaled to length 1. The same task in the batch's next image is to be nearer, by
    `margin`, than the nearest other task of the same image.
    """
    tasks, images = features.shape[:2]
    pooled = F.normalize(features.float().mean((3, 4)), dim=2)
    if tasks < 2 or images < 2:
        return pooled.sum() * 0.0
    near = torch.linalg.vector_norm(pooled - pooled.roll(-1, dims=1), dim=2)
    between = torch.linalg.vector_norm(pooled[:, None] - pooled[None], dim=3)  # (T, T, B)
    own = torch.eye(tasks, dtype=torch.bool, device=features.device)[..., None]
    far = between.masked_fill(own, float("inf")).amin(1)
    return F.relu(near - far + margin).mean()


class Retrieval(nn.Module):
    """Blocks of self-attention, cross-attention to the mixtures of prototypes and an MLP, the same for all tasks.

    The last layer of each branch begins at 0, so that nothing is added at first.
    """

    def __init__(self, width: int, heads: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(RetrievalBlock(width, heads) for _ in range(blocks))

    def forward(self, features: Tensor, mixtures: Tensor) -> Tensor:
        """`(N, C, h, w)` twice -> what is added to the features; tokens are the means of 2x2 positions."""
        size = features.shape[-2:]
        small = (max(1, size[0] // 2), max(1, size[1] // 2))
        tokens, memory = (F.adaptive_avg_pool2d(x, small).flatten(2).transpose(1, 2) for x in (features, mixtures))
        added = torch.zeros_like(tokens)
        for block in self.blocks:
            added = block(tokens, added, memory)
        return F.interpolate(added.transpose(1, 2).unflatten(2, small), size=size, mode="bilinear", align_corners=False)


class RetrievalBlock(nn.Module):
    """Pre-norm and residual; it hands on what has been added to the tokens so far."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.cross_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        for last in (self.self_attention.out_proj, self.cross_attention.out_proj, self.mlp[2]):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, tokens: Tensor, added: Tensor, memory: Tensor) -> Tensor:
        """`(N, M, C)` three times -> what is added after this block."""
        query = self.norms[0](tokens + added)
        added = added + self.self_attention(query, query, query, need_weights=False)[0]
        told = self.norms[1](memory)
        added = added + self.cross_attention(self.norms[2](tokens + added), told, told, need_weights=False)[0]
        return added + self.mlp(self.norms[3](tokens + added))
