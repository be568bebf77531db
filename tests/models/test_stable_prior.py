"""The prior of stable_mtl: a folder in Stable Diffusion's layout gives UNet and autoencoder their weights, or is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.networks import NYUD, fresh, need
from helpers.project import tiny_params
from safetensors.torch import load_file, save_file
from torch import Tensor

from dmtl.errors import UserError
from dmtl.files import file_sha256
from dmtl.models.diffusion import stable_networks
from dmtl.models.diffusion.stable_prior import WEIGHTS
from dmtl.models.stable_mtl import MultiStream

UNET = stable_networks.unet_settings((8, 16), layers=1, token_width=16)  # in place of the published sizes
VAE = stable_networks.vae_settings((8, 8, 8, 8), layers=1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small networks as diffusers itself saves them: the UNet with the published input channels."""
    need("stable_mtl")
    import diffusers

    monkeypatch.setattr(stable_networks, "PUBLISHED_UNET", UNET)
    monkeypatch.setattr(stable_networks, "PUBLISHED_VAE", VAE)
    monkeypatch.setenv("DMTL_STABLE_DIFFUSION", str(tmp_path))
    torch.manual_seed(1)
    diffusers.UNet2DConditionModel(**UNET | {"in_channels": 4}).save_pretrained(tmp_path / "unet")
    diffusers.AutoencoderKL(**VAE).save_pretrained(tmp_path / "vae")
    return tmp_path


def _model(folder: Path, **hashes: str) -> MultiStream:
    """The method with the folder's hashes, or others."""
    params = tiny_params()
    prior = {part: hashes.get(part) or file_sha256(folder / part / WEIGHTS) for part in ("unet", "vae")}
    params["diffusion"]["network"]["stable_mtl"]["prior"] = prior
    model = fresh("stable_mtl", params=params)
    assert isinstance(model, MultiStream)
    return model


def test_both_networks_take_the_folders_weights(folder: Path) -> None:
    model = _model(folder)
    assert [name for name, _ in model.trainings()] == ["single", "multi"]  # nothing trains the autoencoder
    for _, network in model.trainings():
        network.begin()
    unet, vae = (load_file(folder / part / WEIGHTS) for part in ("unet", "vae"))
    assert all(torch.equal(value, vae[name]) for name, value in model.coder.vae.state_dict().items())
    for stream in (model, model.first):
        state = stream.unet.state_dict()
        assert state.keys() == unet.keys()
        assert all(torch.equal(value, unet[name]) for name, value in state.items() if name != "conv_in.weight")
    assert {id(p) for _, n in model.trainings() for g in n.parameter_groups() for p in g["params"]}.isdisjoint(
        map(id, model.autoencoder.parameters())
    )
    images = torch.randn(2, 3, 32, 64)
    mean = model.coder.vae.encode(stable_networks.photo(images, model.config.normalisation)).latent_dist.mean
    assert torch.allclose(model.unet_input(images)[:, :4], 0.18215 * mean, atol=1e-5)
    assert torch.allclose(model.coder.decode(0.18215 * mean), model.coder.vae.decode(mean).sample, atol=1e-5)


def test_the_first_convolution_sees_each_input_as_the_published_one_sees_its_own(folder: Path) -> None:
    """Of the same map at each input, which is what dividing by their number is for, the prior makes the same."""
    from diffusers import UNet2DConditionModel

    model = _model(folder)
    model.first.begin()
    published = UNet2DConditionModel(**UNET | {"in_channels": 4})
    published.load_state_dict(load_file(folder / "unet" / WEIGHTS))
    z, tokens = torch.randn(2, 4, 4, 8), torch.randn(2, 3, 16)
    ours = model.first.unet(torch.cat([z, z], 1), 999, tokens).sample
    assert torch.allclose(ours, published(z, 999, tokens).sample, atol=1e-5)


def test_half_precision_and_earlier_names_are_read(folder: Path) -> None:
    """As Stable Diffusion 2's own autoencoder has them, whose attention was named otherwise."""
    file = folder / "vae" / WEIGHTS
    now = load_file(file)
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def earlier(name: str) -> str:
        for ours, theirs in names.items():
            name = name.replace(f".attentions.0.{ours}.", f".attentions.0.{theirs}.")
        return name

    assert sum(earlier(name) != name for name in now) == 16
    save_file({earlier(name): value.half() for name, value in now.items()}, file)
    model = _model(folder)
    model.first.begin()
    assert all(torch.equal(value, now[name].half().float()) for name, value in model.coder.vae.state_dict().items())


def _edit(change: Callable[[dict[str, Tensor]], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        state = load_file(folder / "unet" / WEIGHTS)
        change(state)
        save_file(state, folder / "unet" / WEIGHTS)

    return edit


def _set_config(key: str, value: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / "unet" / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_edit(lambda s: s.pop("conv_out.bias")), r"lacks 'conv_out\.bias': it is not that of Stable Diffusion 2"),
        (_edit(lambda s: s.update(extra=torch.zeros(1))), r"holds, beyond what the network has, 'extra'"),
        (_edit(lambda s: s.update({"conv_out.bias": torch.zeros(5)})), r"'conv_out\.bias' is F32 \(5,\), but .* floats \(4,\)"),
        (_edit(lambda s: s.update({"conv_out.bias": torch.zeros(4).long()})), r"'conv_out\.bias' is I64 \(4,\)"),
        (_edit(lambda s: s["conv_out.bias"].fill_(float("nan"))), r"'conv_out\.bias' holds NaN or infinity"),
        (_set_config("attention_head_dim", [2, 2]), r"config\.json: attention_head_dim is \[2, 2\], but .* has \(1, 1\)"),
        (_set_config("in_channels", 9), r"config\.json: in_channels is 9, but .* has 4"),
        (lambda folder: (folder / "unet" / "config.json").write_text("[1"), r"config\.json cannot be read"),
        (lambda folder: (folder / "unet" / "config.json").unlink(), r"config\.json is missing"),
        (lambda folder: (folder / "unet" / WEIGHTS).write_bytes(b"\xff" * 99), r"safetensors cannot be read"),
    ],
)
def test_a_folder_of_something_else_is_refused_in_one_line(folder: Path, edit: Callable[[Path], object], message: str) -> None:
    edit(folder)
    with pytest.raises(UserError, match=message) as caught:
        _model(folder).first.begin()
    assert "\n" not in str(caught.value)


def test_other_bytes_than_the_parameters_name_are_refused(folder: Path) -> None:
    found = file_sha256(folder / "vae" / WEIGHTS)
    with pytest.raises(UserError, match=rf"SHA-256 {found}, but params.yaml: .*prior\.vae says 0+: correct it"):
        _model(folder, vae="0" * 64).first.begin()
    model = _model(folder)
    (folder / "unet" / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"safetensors is missing: Stable Diffusion 2 in the layout of diffusers has it"):
        model.first.begin()


def test_without_a_folder_it_is_told_where_it_is_looked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(folder)
    monkeypatch.setenv("DMTL_STABLE_DIFFUSION", str(folder / "nowhere"))
    with pytest.raises(UserError, match=r"DMTL_STABLE_DIFFUSION or local.yaml names .*nowhere"):
        model.first.begin()


def test_with_a_prior_predictions_have_the_images_size(folder: Path) -> None:
    model = _model(folder).eval()
    assert {task: m.shape for task, m in model.predict(torch.randn(1, 3, 33, 65))["final"].items()} == {
        task: (1, channels, 33, 65) for task, channels in NYUD.items()
    }
