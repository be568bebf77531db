"""A network made ready for inference predicts what the trained one does."""

from pathlib import Path

import pytest
import torch
import yaml
from helpers.networks import need
from helpers.project import ROOT
from torch import nn

from dmtl.config import Cell, Project, resolve
from dmtl.inference.folding import Inference, fold
from dmtl.models import build, method_names
from dmtl.models.shared.method import Method

OUTPUTS = {"semseg": 5, "depth": 1, "normals": 3}


def _trained(tiny: Path, method: str, backbone: str = "resnet18") -> Method:
    """A network whose batch norms have statistics and scales of their own."""
    need(method)
    made_of = yaml.safe_load((ROOT / "grid.yaml").read_text())["methods"][method]["cell"]
    torch.manual_seed(0)
    cell = Cell(benchmark="nyud", setting="onelabel", **made_of)
    network = resolve(Project(tiny), cell).network(OUTPUTS).model_copy(update={"backbone": backbone})
    model = build(network)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return model.eval()


@pytest.mark.parametrize("method", method_names())
def test_folding_is_exact(tiny: Path, method: str) -> None:
    model = _trained(tiny, method)
    images = torch.randn(2, 3, 64, 64)
    keys = torch.tensor([3, 5])
    before = model.predict(images, noise_keys=keys)
    assert fold(model) is model, "no second set of weights"
    after = model.predict(images, noise_keys=keys)
    for stage, maps in before.items():
        for task, expected in maps.items():
            difference = (after[stage][task] - expected).abs().max()
            rounding = 2e-4 if method == "stable_mtl" else 1e-5  # its normals are short vectors, made long, while it is untrained
            assert difference <= rounding * expected.abs().max().clamp(min=1)


def test_no_batch_norm_is_left(tiny: Path) -> None:
    for backbone in ("resnet18", "resnet50"):
        model = fold(_trained(tiny, "mtl_baseline", backbone))
        assert not [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize(("precision", "tolerance"), [("32-true", 1e-5), ("bf16-mixed", 0.1)])
def test_inference_predicts_in_its_precision(tiny: Path, precision: str, tolerance: float) -> None:
    model = _trained(tiny, "diffusion_feature")
    images = torch.randn(1, 3, 64, 64)
    expected = model.predict(images)["final"]
    ready = Inference(model, precision)
    predicted = ready.predict(images)["final"]
    assert not ready.training
    for task, one in expected.items():
        assert predicted[task].dtype == torch.float32
        relative = (predicted[task] - one).norm() / one.norm()
        assert relative <= tolerance
        assert (relative > 1e-4) == (precision == "bf16-mixed"), "bfloat16 is what it says"


@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "resnet10t"])
def test_backbones_of_timm_predict_the_same(tiny: Path, backbone: str) -> None:
    """Their batch norms may hold an activation, and then stay."""
    pytest.importorskip("timm", reason="the extra timm is not installed")
    model = _trained(tiny, "mtl_baseline", backbone)
    images = torch.randn(2, 3, 64, 64)
    before, after = model.predict(images)["final"], fold(model).predict(images)["final"]
    assert all(torch.allclose(after[task], before[task], rtol=1e-3, atol=1e-4) for task in OUTPUTS)
