"""DiBS-MTL: weights by direction-based bargaining, blind to how single losses are scaled.

Murthy et al., Monotonic Transformation Invariant Multi-task Learning, https://arxiv.org/abs/2509.23948; constants of the released
code in docs/methods.md, "Balancing".
"""

import torch
from torch import Tensor


def dibs_weights(gramian: Tensor, iterations: int, rate: float) -> Tensor:
    """Weights of the tasks' gradients g_i, from their inner products alone.

    Every task prefers the point one radius down its own unit gradient u_i. From the centre of the ball the common step moves
    `iterations` times down all u_i at once, along each by `rate` times the distance to what that task prefers, and no further
    once it has left the ball. With the step as -sum c_j u_j the cosines U are enough: d_i^2 = 1 - 2 (U c)_i + c' U c. The radius
    is the unit here: it scales all weights alike, and they are brought to average 1 anyway, since the released ones (about 1e-5)
    would drown in Adam's epsilon (docs/methods.md, "Balancing").

    Args:
        gramian: `(T, T)`, g_i . g_j, with a positive diagonal.
        iterations: K.
        rate: eta.

    Returns:
        `(T,)`, positive, mean 1.
    """
    norms = gramian.diagonal().sqrt()
    cosines = gramian / torch.outer(norms, norms)
    coefficients = torch.zeros_like(norms)
    for _ in range(iterations):
        moved = cosines @ coefficients
        squared_step = coefficients @ moved
        if squared_step > 1:
            break
        distances = (1 - 2 * moved + squared_step).clamp(min=0).sqrt()
        coefficients = coefficients + rate * distances
    weights = coefficients / norms
    return weights / weights.mean()
