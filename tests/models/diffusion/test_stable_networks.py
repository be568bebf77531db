"""StableMTL's networks: their published sizes, and what is told where they cannot be built."""

import pytest
import torch
import yaml
from helpers.networks import NYUD, PASCAL, need, network
from helpers.project import ROOT, tiny_params
from helpers.stable import stable_model
from torch import nn

from dmtl.errors import UserError
from dmtl.models import build
from dmtl.models.diffusion.stable_stream import NO_PRIOR
from dmtl.models.stable_mtl import MultiStream
from dmtl.report.flops import cost_of


def _counted(part: nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())


def test_the_published_sizes_stand_beside_the_published_counts() -> None:
    """0.87 B for the UNet, 390.5 M for the attention of seven tasks; Stable Diffusion 2's own UNet has 865.911 M."""
    need("stable_mtl")
    import diffusers

    from dmtl.models.diffusion.stable_networks import PUBLISHED_UNET

    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["diffusion"]["network"]["stable_mtl"]["prior"] = {"unet": "0" * 64, "vae": "0" * 64}
    seven = {"semseg": 8, "depth": 1, "normals": 3, "albedo": 3, "shading": 1, "flow": 2, "motion": 2}
    kinds = {task: {"name": "regression"} for task in ("albedo", "shading", "flow", "motion")}
    with torch.device("meta"):
        model = build(network("stable_mtl", seven, params, width=512, kinds=kinds))
        of_four, of_twelve = (diffusers.UNet2DConditionModel(**PUBLISHED_UNET | {"in_channels": n}) for n in (4, 12))
    assert isinstance(model, MultiStream)
    assert (_counted(of_four), _counted(model.unet), _counted(of_twelve)) == (865_910_724, 865_922_244, 865_933_764)
    assert round(_counted(model.unet) / 1e9, 2) == 0.87
    assert _counted(model.task_attention) == 390_528_320
    assert round(_counted(model.task_attention) / 1e6, 1) == 390.5
    assert len(model.task_attention) == 16
    assert _counted(model.autoencoder) == 83_653_863


@pytest.mark.parametrize(("outputs", "millions"), [(NYUD, 174.457), (PASCAL, 282.492)])
def test_task_attention_has_the_formulas_count(outputs: dict[str, int], millions: float) -> None:
    """T (2 h^2 + 2 h d + 2 d^2 + 3 h + 10 d) + d^2 + d for each width d, of hidden width h = 640."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["diffusion"]["network"]["stable_mtl"]["prior"] = {"unet": "0" * 64, "vae": "0" * 64}
    need("stable_mtl")
    with torch.device("meta"):
        model = build(network("stable_mtl", outputs, params, width=512))
    assert isinstance(model, MultiStream)
    h, widths = 640, [320] * 5 + [640] * 5 + [1280] * 6
    a_task = [2 * h * h + 2 * h * d + 2 * d * d + 3 * h + 10 * d for d in widths]
    expected = sum(len(outputs) * n + d * d + d for n, d in zip(a_task, widths, strict=True))
    assert _counted(model.task_attention) == expected
    assert expected / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(("width", "size", "millions", "giga"), [(64, (96, 128), 28.272, 4.107), (32, (48, 64), 7.101, 0.271)])
def test_what_the_small_ones_count(width: int, size: tuple[int, int], millions: float, giga: float) -> None:
    need("stable_mtl")
    with torch.device("meta"):
        model = build(network("stable_mtl", NYUD, yaml.safe_load((ROOT / "params.yaml").read_text()), width=width))
    cost = cost_of(model, size)
    assert (cost.parameters / 1e6, cost.multiply_adds / 1e9) == pytest.approx((millions, giga), abs=5e-4)
    assert (cost.idle, cost.training_only) == ({}, {})


def test_that_there_is_no_prior_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    stable_model().first.begin()
    assert NO_PRIOR in "".join(capsys.readouterr())


def test_without_diffusers_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(UserError, match=r"stable_mtl needs the package diffusers .*pip install 'dmtl\[diffusers\]'") as caught:
        build(network("stable_mtl"))
    assert "\n" not in str(caught.value)


def test_options_that_do_not_fit_are_named() -> None:
    params = tiny_params()
    params["diffusion"]["network"]["stable_mtl"]["task_attention"]["heads"] = 3
    with pytest.raises(UserError, match=r"stable_mtl\.task_attention\.heads 3 does not divide .* \[8, 16, 32\]"):
        stable_model(params=params)
    del params["diffusion"]["network"]["stable_mtl"]
    with pytest.raises(UserError, match=r"'stable_mtl' needs the block diffusion\.network\.stable_mtl"):
        stable_model(params=params)
