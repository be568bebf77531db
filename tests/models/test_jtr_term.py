"""JTR's term as a whole: who learns from it."""

import pytest
import torch
from helpers.networks import MASKS, batch_of, fresh

from dmtl.models.jtr import JOINT, JointTaskRegularisation


@pytest.mark.parametrize("setting", MASKS)
def test_the_term_trains_the_auto_encoder_in_every_setting(setting: str) -> None:
    """All of it; and the network where a label is hidden, by what it predicts there alone."""
    model, batch = fresh("jtr").train(), batch_of(setting)
    assert isinstance(model, JointTaskRegularisation)
    model(batch)[JOINT].backward()
    assert [name for name, p in model.auto_encoder.named_parameters() if p.grad is None or not p.grad.any()] == []
    learned = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert learned == {"auto_encoder"} | (set() if setting == "full" else {"trunk", "decoders"})


def test_distance_and_reconstruction_each_train_the_auto_encoder() -> None:
    """Either weight at 0 leaves the other's gradient."""
    found = []
    for distance, reconstruction in ((2.0, 0.0), (0.0, 2.0), (0.0, 0.0)):
        model = fresh("jtr").train()
        assert isinstance(model, JointTaskRegularisation)
        model.jtr = model.jtr.model_copy(update={"encoder_distance": distance, "reconstruction": reconstruction})
        model(batch_of("onelabel"))[JOINT].backward()
        parts = {"encoder": model.auto_encoder.encoder, "decoder": model.auto_encoder.decoder}
        found.append({n for n, part in parts.items() if any(p.grad is not None and p.grad.any() for p in part.parameters())})
    assert found == [{"encoder"}, {"encoder", "decoder"}, set()]


def test_its_statistics_move_in_training_alone() -> None:
    model, batch = fresh("jtr").eval(), batch_of("onelabel")
    assert isinstance(model, JointTaskRegularisation)
    before = {name: value.clone() for name, value in model.auto_encoder.named_buffers()}
    model.predict(batch.images)
    assert all(torch.equal(value, before[name]) for name, value in model.auto_encoder.named_buffers())
    model.train()(batch)
    assert not any(torch.equal(value, before[name]) for name, value in model.auto_encoder.named_buffers())
