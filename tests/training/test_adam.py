"""The optimiser is torch's."""

import torch

from dmtl.training.adam import Adam


def _weights(kind: type[torch.optim.Adam], fused: bool) -> list[torch.Tensor]:
    """After six steps, with the state saved and restored after three."""
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(7))]
    target = torch.randn(7)
    optimiser = kind([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.3}], lr=0.1, weight_decay=0.01, fused=fused)
    for step in range(6):
        if step == 3:
            state = optimiser.state_dict()
            optimiser = kind([{"params": weights[:1]}, {"params": weights[1:]}], lr=9.0, fused=fused)
            optimiser.load_state_dict(state)
        optimiser.zero_grad()
        (weights[0].square().sum() * (weights[1] - target).square().sum()).backward()
        optimiser.step()
    assert all(weight.is_leaf for weight in weights), "a step leaves no gradient graph"
    return [weight.detach() for weight in weights]


def test_it_steps_as_torchs_to_the_bit() -> None:
    for fused in (False, True):
        for one, other in zip(_weights(Adam, fused), _weights(torch.optim.Adam, fused), strict=True):
            assert torch.equal(one, other)
