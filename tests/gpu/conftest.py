"""The device under test: CUDA where there is one (`make test-gpu`), and the CPU, which proves that the tests run (long)."""

from collections.abc import Iterator

import pytest
import torch
from helpers.devices import full_float32


@pytest.fixture(params=[pytest.param("cpu", marks=pytest.mark.long), pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """What is compared with the CPU; float32 is float32, not TF32."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device on this machine")
    with full_float32():
        yield torch.device(request.param)
