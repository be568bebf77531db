"""The codebook of `task_prototype`: codes that an epoch has not used are drawn anew, and nothing else is touched."""

import os
import signal
from pathlib import Path
from threading import Barrier, Thread, current_thread

import pytest
import torch
import yaml
from helpers.networks import batch_of, fresh

from dmtl.config import Project, for_training
from dmtl.models.representation.codebook import Codebook
from dmtl.models.representation.style import TaskPrototype
from dmtl.training import loop

CODES, WIDTH = 6, 8
CELL = "nyud-onelabel-task_prototype"
KEYS = torch.tensor([11, 12])


def _codebook(images: int | None = 4, codes: int = CODES) -> Codebook:
    torch.manual_seed(0)
    codebook = Codebook(WIDTH, codes)
    codebook.images = images
    return codebook


def _features(codebook: Codebook, *numbers: int) -> torch.Tensor:
    """Two images, a row of positions each, whose features are the codes of these numbers, up to a trifle."""
    rows = codebook.codes.detach()[list(numbers)] + 1e-4
    return rows.T.reshape(1, WIDTH, 1, -1).expand(2, -1, -1, -1)


def _noise(seed: int = 0, positions: int = 5) -> torch.Tensor:
    return torch.randn(2, WIDTH, 1, positions, generator=torch.Generator().manual_seed(seed))


def _rows(features: torch.Tensor) -> list[list[float]]:
    return features.movedim(1, -1).flatten(0, 2).tolist()


def test_what_an_epoch_has_not_used_is_drawn_anew_and_nothing_else() -> None:
    codebook = _codebook()
    before = codebook.codes.detach().clone()
    codebook(_features(codebook, 0, 1), KEYS)
    codebook(_features(codebook, 2, 1), KEYS)
    assert torch.equal(codebook.codes, before), "within an epoch nothing is"
    assert codebook.used.tolist() == [True, True, True, False, False, False]
    codebook(_noise(), KEYS)
    assert torch.equal(codebook.codes[:3], before[:3])
    drawn = codebook.codes[3:].tolist()
    assert all(row in _rows(_noise()) for row in drawn), "features of the batch at hand"
    assert len(set(map(tuple, drawn))) == 3, "each another one"
    assert set(codebook.used.nonzero().flatten().tolist()) == set(codebook.nearest(_noise()).flatten().tolist())


def test_a_new_code_is_used_in_the_batch_that_it_is_drawn_from() -> None:
    codebook = _codebook()
    for features in (_features(codebook, 0), _features(codebook, 0), _noise()):
        quantised = codebook(features, KEYS)
    assert codebook.used[1:].all()
    exact = (quantised == _noise()).all(1)
    assert exact.sum() == CODES - 1


def test_with_fewer_features_than_codes_some_share_one() -> None:
    codebook = _codebook()
    two = _noise(positions=1)
    for features in (_features(codebook, 0), _features(codebook, 0), two):
        codebook(features, KEYS)
    times = [codebook.codes.tolist().count(row) for row in _rows(two)]
    assert sorted(times) == [2, 3], "of five codes, as evenly as it goes"


@pytest.mark.parametrize(("images", "batches"), [(2, 1), (3, 1), (4, 2), (5, 2), (7, 3)])
def test_an_epoch_ends_with_its_last_whole_batch(images: int, batches: int) -> None:
    codebook, seen = _codebook(images), []
    for _ in range(3 * batches + 1):
        before = codebook.codes.detach().clone()
        codebook(_features(codebook, 0), KEYS)
        seen.append(not torch.equal(codebook.codes, before))
    assert [number for number, renewed in enumerate(seen) if renewed] == [batches, 2 * batches, 3 * batches]


def test_where_the_length_of_an_epoch_is_not_known_nothing_is_drawn() -> None:
    codebook = _codebook(None)
    before = codebook.codes.detach().clone()
    for _ in range(9):
        codebook(_features(codebook, 0), KEYS)
    assert torch.equal(codebook.codes, before)


def test_the_key_of_the_first_image_decides_what_is_drawn() -> None:
    def drawn(*keys: int) -> torch.Tensor:
        codebook = _codebook(2)
        for features in (_features(codebook, 0), _noise(positions=40)):
            codebook(features, torch.tensor(keys))
        return codebook.codes.detach()

    assert torch.equal(drawn(11, 12), drawn(11, 12))
    assert torch.equal(drawn(11, 12), drawn(11, 13))
    assert not torch.equal(drawn(11, 12), drawn(13, 12))


def test_a_state_taken_anywhere_in_an_epoch_goes_on_to_the_bit() -> None:
    for stop in range(1, 6):
        whole, begun = _codebook(), _codebook()
        for step in range(6):
            if step == stop:
                again = Codebook(WIDTH, CODES)
                again.images = 4
                again.load_state_dict({name: value.clone() for name, value in begun.state_dict().items()})
                begun = again
            codes = [codebook(_noise(step, 2), KEYS + step) for codebook in (whole, begun)]
            assert torch.equal(*codes), (stop, step)
        assert torch.equal(whole.codes, begun.codes)
        assert torch.equal(whole.used, begun.used)


def test_half_precision_draws_float32() -> None:
    codebook = _codebook(2)
    for features in (_features(codebook, 0), _noise()):
        codebook(features.bfloat16(), KEYS)
    assert codebook.codes.dtype == torch.float32
    assert all(row in _rows(_noise().bfloat16().float()) for row in codebook.codes[1:].tolist())


@pytest.mark.parametrize("method", ["task_prototype", "task_prototype_without_tke"])
def test_a_training_draws_anew_and_an_inference_does_not(method: str) -> None:
    model = fresh(method)
    assert isinstance(model, TaskPrototype)
    model.prepare({"depth": torch.zeros(1, 2, 2)} for _ in range(9))
    codebook, batch = model.auto_encoder.codebook, batch_of("onelabel")
    assert codebook.images == 9, "two batches of four"
    before = codebook.codes.detach().clone()
    for step in range(5):
        model.eval().predict(batch.images)
        used = codebook.used.clone()
        assert torch.equal(codebook.codes, before), "inference changes nothing"
        losses = model.train()(batch)
        assert all(loss.isfinite() for loss in losses.values())
        changed = (codebook.codes != before).any(1)
        assert torch.equal(changed, ~used if step in (2, 4) else torch.zeros_like(used))
        before = codebook.codes.detach().clone()


def test_a_new_code_learns_in_the_step_that_draws_it() -> None:
    model = fresh("task_prototype")
    assert isinstance(model, TaskPrototype)
    codebook, batch = model.train().auto_encoder.codebook, batch_of("onelabel")
    codebook.images = 4
    model(batch)
    used = codebook.used.clone()
    model(batch)["image"].backward()
    assert codebook.codes.grad is not None
    assert codebook.codes.grad[~used].any()


def test_a_training_that_is_stopped_at_any_step_ends_the_same(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three epochs of two batches: the second and the third begin with codes drawn anew."""
    params = yaml.safe_load((tiny / "params.yaml").read_text())
    params["scales"]["demo"]["train"]["nyud"]["epochs"] = 3
    (tiny / "params.yaml").write_text(yaml.safe_dump(params))
    weights = Project(tiny).paths.model(CELL) / "model.safetensors"
    renewals, renew = [], Codebook._renew

    def noted(codebook: Codebook, features: torch.Tensor, keys: torch.Tensor) -> None:
        renew(codebook, features, keys)
        renewals.append(codebook.codes.detach().clone())

    monkeypatch.setattr(Codebook, "_renew", noted)
    loop.train(for_training(Project(tiny), CELL), Project(tiny).paths)
    expected, whole = weights.read_bytes(), list(renewals)
    assert len(whole) == 2
    weights.unlink()
    renewals.clear()
    original = loop.Run.__init__

    def told_to_stop(run: loop.Run, *args: object) -> None:
        original(run, *args)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop.Run, "__init__", told_to_stop)
    for _ in range(6):
        with pytest.raises(SystemExit):
            loop.train(for_training(Project(tiny), CELL), Project(tiny).paths)
    loop.train(for_training(Project(tiny), CELL), Project(tiny).paths)
    assert len(renewals) == 2
    assert all(map(torch.equal, renewals, whole))
    assert weights.read_bytes() == expected


class Process(Thread):
    """One of two processes: three images of each batch of four, or one; it notes the codes and what is used after each."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank, self.codebook = rank, _codebook(8)
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def run(self) -> None:
        first = [_features(self.codebook, 0), _features(self.codebook, 1)]
        for halves in (first, first, [_noise(7), _noise(7)]):
            own = torch.cat(halves)[:3] if self.rank == 0 else halves[1][1:]
            self.codebook(own, KEYS[:1] + self.rank)
            self.seen.append((self.codebook.codes.detach().clone(), self.codebook.used.clone()))


def test_processes_note_together_and_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that meet where processes would."""
    meet, told = Barrier(2, timeout=30), {}

    def exchange(mine: torch.Tensor) -> list[torch.Tensor]:
        thread = current_thread()
        assert isinstance(thread, Process)
        told[thread.rank] = mine.clone()
        meet.wait()
        both = [told[0], told[1]]
        meet.wait()
        return both

    def all_reduce(values: torch.Tensor, operation: object = torch.distributed.ReduceOp.SUM) -> None:
        both = torch.stack(exchange(values))
        values.copy_(both.sum(0) if operation == torch.distributed.ReduceOp.SUM else both.amax(0))

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(torch.distributed, "broadcast", lambda values, source: values.copy_(exchange(values)[source]))
    processes = [Process(0), Process(1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    before = _codebook().codes
    assert [len(process.seen) for process in processes] == [3, 3]
    for step, (one, other) in enumerate(zip(*(process.seen for process in processes), strict=True)):
        assert all(map(torch.equal, one, other))
        assert torch.equal(one[0], before) == (step < 2), "two batches of four are an epoch of eight"
    codes = processes[0].seen[-1][0]
    assert torch.equal(codes[:2], before[:2]), "one of them alone has met the first three times, and both know of both"
    assert not (codes[2:] == before[2:]).all(1).any()
