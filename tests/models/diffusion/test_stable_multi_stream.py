"""StableMTL's second stream: it begins as the first, hears it in every self-attention, and alone learns."""

import copy

import torch
from helpers.networks import batch_of
from helpers.stable import ALL, EVERY_PAIR, TASKS, awake, stable_model, take_step
from torch import nn

from dmtl.models.diffusion.stable_networks import self_attentions
from dmtl.models.diffusion.task_attention import mask_draws


def test_before_the_first_step_it_is_the_single_stream_to_the_bit() -> None:
    model = stable_model().eval()
    model.begin()
    images = torch.randn(2, 3, 32, 64)
    ours, single = (one.predict(images)["final"] for one in (model, model.first))
    assert all(torch.equal(ours[task], single[task]) for task in TASKS)


def test_every_self_attention_hears_the_same_one_of_the_frozen_stream() -> None:
    """While both have the same weights, what is heard of a pair's own task is what it says; and no hook stays behind."""
    model, batch, calls = stable_model().eval(), batch_of("randomlabels"), []
    model.begin()
    for layer in model.task_attention:
        layer.register_forward_pre_hook(lambda _, given: calls.append(given))
    model(batch)
    assert len(calls) == len(self_attentions(model.unet)) == 7
    for attended, heard, image_index, draws in calls:
        own = torch.cat([heard[TASKS.index(task)][index] for task, index in image_index.items()])
        assert torch.allclose(attended, own, atol=1e-5)
        assert draws is None
    assert not any(module._forward_hooks for unet in (model.unet, model.first.unet) for module in unet.modules())


def test_what_is_added_follows_the_output_projection_and_reaches_the_stream() -> None:
    """A vector that the layers add is added behind each self-attention's projection, before the residual."""
    model = stable_model().eval()
    model.begin()
    for layer in model.task_attention:
        nn.init.normal_(layer.out.bias, std=0.5)  # the same in all channels it would pass the next layer norm unseen
    images = torch.randn(4, 3, 32, 64)
    ours, plain = model.latents(images, EVERY_PAIR), copy.deepcopy(model.first)
    by_name = [module for name, module in plain.unet.named_modules() if name.endswith(".attn1")]  # of each transformer block
    assert len(by_name) == len(model.task_attention)
    for attention, layer in zip(by_name, model.task_attention, strict=True):
        attention.to_out[0].bias.data += layer.out.bias.data
    expected = plain.latents(images, EVERY_PAIR)
    for task in TASKS:
        assert torch.allclose(ours[task], expected[task], atol=1e-4)
        assert not torch.allclose(ours[task], model.first.latents(images, EVERY_PAIR)[task], atol=1e-3)


def test_a_pair_hears_the_other_tasks_and_not_its_own() -> None:
    """Another token for a task in the frozen stream changes what the others estimate, and nothing of its own."""
    model, images = awake().eval(), torch.randn(4, 3, 32, 64)
    before = model.latents(images, EVERY_PAIR)
    model.first.tokens["depth"].data += torch.randn_like(model.first.tokens["depth"])
    after = model.latents(images, EVERY_PAIR)
    assert torch.equal(after["depth"], before["depth"])
    assert not torch.allclose(after["semseg"], before["semseg"], atol=1e-6)
    assert not torch.allclose(after["normals"], before["normals"], atol=1e-6)


def test_of_two_tasks_the_other_is_heard_whatever_is_asked() -> None:
    model, images = awake(outputs={"semseg": 13, "depth": 1}).eval(), torch.randn(4, 3, 32, 64)
    pairs = dict.fromkeys(("semseg", "depth"), ALL)
    before = model.latents(images, pairs)
    for layer in model.task_attention:
        for parameter in (*layer.query.parameters(), *layer.key.parameters()):
            parameter.data = torch.randn_like(parameter)
    after = model.latents(images, pairs)
    assert all(torch.allclose(after[task], before[task], atol=1e-5) for task in pairs)


def test_masking_is_drawn_in_training_alone_and_by_the_image_and_task() -> None:
    model, batch, given = awake(), batch_of("randomlabels"), []
    for layer in model.task_attention:
        layer.register_forward_pre_hook(lambda _, args: given.append(args[3]))
    model.eval()(batch)
    assert given == [None] * 7
    given.clear()
    model.train()(batch)
    expected = [mask_draws(batch.image_index, batch.noise_keys, number) for number in range(7)]
    found, wanted = (sorted(tuple(draws.flatten().tolist()) for draws in part) for part in (given, expected))
    assert found == wanted  # the last level is called before those on the way up
    assert len(set(found)) == 7


def test_frozen_stream_and_autoencoder_stay_as_they_are_while_the_other_moves() -> None:
    model, batch = awake(), batch_of("full")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = torch.optim.Adam(model.parameter_groups(), lr=1e-2)
    for layer in model.task_attention:
        layer.mask = 0.0
    for _ in range(2):
        take_step(model, model.train()(batch), optimiser)
    still = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert still == {name for name in before if name.startswith(("first.", "autoencoder."))}
    assert not any(module.training for module in model.first.modules())


def test_the_gradient_reaches_the_last_layer_first_and_then_the_others() -> None:
    model, batch = stable_model(), batch_of("full")
    model.begin()
    optimiser = torch.optim.SGD(model.parameter_groups(), lr=1e-2)
    for layer in model.task_attention:
        layer.mask = 0.0
    for step in range(2):
        take_step(model, model.train()(batch), optimiser)
        for layer in model.task_attention:
            inner = [p for part in (layer.query, layer.key, layer.value) for p in part.parameters()]
            assert layer.out.weight.grad.any()
            assert all(bool(p.grad.any()) == (step == 1) for p in inner)
