"""Teacher control: what the student learns from the teacher, pixel by pixel, and what it must not."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from helpers.narrow_resnet import narrow_backbones
from helpers.networks import NYUD, PASCAL, batch_of, fresh, network
from safetensors import safe_open
from torch import Tensor

from dmtl.data.batch import Batch
from dmtl.models import build, load_model, save_weights
from dmtl.models.teacher_control import TeacherControl, confidence, deviations, pseudo_loss
from dmtl.tasks import IGNORE, kind_of
from dmtl.training.balance import Balance

LOGITS = torch.tensor([[4.0, 0.0, 0.0], [0.1, 0.0, 0.0]]).T.view(1, 3, 1, 2)  # a sure pixel and an unsure one


def _made(**teacher: object) -> TeacherControl:
    """A network whose teacher and student differ, with some of the options changed."""
    model = fresh("teacher_control")
    assert isinstance(model, TeacherControl)
    model.options = model.options.model_copy(update=teacher)
    return model


def _total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack([loss for name, loss in losses.items() if not name.startswith("kept/")]).sum()


@pytest.mark.parametrize("setting", ["onelabel", "randomlabels"])
def test_without_pseudo_labels_and_features_the_student_is_the_baseline_to_the_bit(setting: str) -> None:
    model = _made(thresholds={}, threshold=1.0, feature_weight=0.0).train()
    baseline = fresh("mtl_baseline").train()
    baseline.load_state_dict({n: v for n, v in model.state_dict().items() if not n.startswith("first.")})
    losses, plain = model(batch_of(setting)), baseline(batch_of(setting))
    assert all(torch.equal(losses[task], plain[task]) for task in NYUD)
    _total(losses).backward()
    torch.stack(list(plain.values())).sum().backward()
    ours = dict(model.named_parameters())
    for name, parameter in baseline.named_parameters():
        gradient = ours[name].grad
        assert gradient is not None
        assert torch.equal(gradient, parameter.grad), name


def test_labelled_pairs_have_no_pseudo_loss_and_full_labels_none_at_all() -> None:
    """Changing the teacher on labelled images alone leaves the pseudo loss as it is."""
    assert {n for n in _made()(batch_of("full")) if "/" in n} == set()
    model, batch = _made(thresholds={}, threshold=0.0).eval(), batch_of("onelabel")
    before = model(batch)
    teach = model._teach

    def changed(images: Tensor) -> tuple:
        features, predictions, sure = teach(images)
        for task, index in batch.image_index.items():
            predictions[task][index] += 3 * torch.randn_like(predictions[task][index])
        return features, predictions, sure

    model._teach = changed  # type: ignore[method-assign]
    after = model(batch)
    assert all(torch.equal(before[f"pseudo/{task}"], after[f"pseudo/{task}"]) for task in NYUD)
    assert all(before[f"pseudo/{task}"] > 0 for task in NYUD)


def test_a_pseudo_loss_is_what_the_formula_says_of_every_unlabelled_pair() -> None:
    model, batch = _made().eval(), batch_of("randomlabels")
    _, taught, sure = model._teach(batch.images)
    middle = {task: float(sure[task].median()) for task in NYUD}  # so that of the pixels of most images some are kept
    model.options = model.options.model_copy(
        update={"thresholds": {task: middle[task] for task in ("semseg", "depth")}, "threshold": middle["normals"]}
    )
    losses = model(batch)
    with torch.no_grad():
        _, predictions = model.decoders(model.trunk(batch.images))
    for task in NYUD:
        expected, kept, pairs = 0.0, 0.0, 0
        for i in set(range(4)) - set(batch.image_index[task].tolist()):
            total, pairs = 0.0, pairs + 1
            for y, x in torch.cartesian_prod(torch.arange(4), torch.arange(8)).tolist():
                p, q, c = predictions[task][i, :, y, x], taught[task][i, :, y, x], sure[task][i, y, x]
                if task == "semseg":
                    loss = -float(c > middle[task]) * torch.log_softmax(p, 0)[q.argmax()]
                else:
                    p, q = (p / p.norm(), q / q.norm()) if task == "normals" else (p, q)
                    loss = c * (c > middle[task]) * (p - q).abs().mean()
                kept += float(c > middle[task]) / 32
                total += float(loss) / 32
            expected += float(batch.image_weights[i]) * total
        assert losses[f"pseudo/{task}"].item() == pytest.approx(expected, rel=1e-4)
        assert losses[f"kept/{task}"].item() == pytest.approx(kept / pairs, rel=1e-5)
        shares = (sure[task] > middle[task]).float().mean((1, 2))
        assert abs(shares.mean().item() - kept / pairs) > 1e-3, "labelled pairs have another share"


def test_the_same_weights_have_no_feature_term_and_others_weigh_unlabelled_pairs_by_confidence() -> None:
    model, batch = _made().eval(), batch_of("randomlabels")
    with torch.no_grad():
        features, _ = model.decoders(model.trunk(batch.images))
    taught, _, sure = model._teach(batch.images)
    expected = 0.0
    for task in NYUD:
        for i in range(4):
            apart = (features[task][i] - taught[task][i]).square().mean(0)
            labelled = i in batch.image_index[task].tolist()
            expected += float(batch.image_weights[i] * (apart if labelled else sure[task][i] * apart).mean())
    assert float(model(batch)["feature"]) == pytest.approx(expected, rel=1e-5)
    model.first.load_state_dict({n: v for n, v in model.state_dict().items() if not n.startswith("first.")})
    assert model(batch)["feature"] == 0


@pytest.mark.parametrize("task", ["semseg", "depth", "boundary"])
def test_dropped_pixels_count_in_the_mean(task: str) -> None:
    """As many unsure pixels again: half the loss."""
    torch.manual_seed(0)
    kind, channels = kind_of(task), 3 if task == "semseg" else 1
    student, teacher = torch.randn(2, 1, channels, 4, 4)
    sure, unsure = torch.full((1, 4, 4), 0.95), torch.full((1, 4, 4), 0.5)
    alone = pseudo_loss(kind, student, teacher, sure, 0.9)
    doubled = pseudo_loss(kind, *(torch.cat([m, m], 2) for m in (student, teacher)), torch.cat([sure, unsure], 1), 0.9)
    assert alone > 0
    assert torch.allclose(doubled, alone / 2)


def test_confidence_and_pseudo_labels_carry_no_gradient() -> None:
    model = _made(thresholds={}, threshold=0.0).train()
    _total(model(batch_of("onelabel"))).backward()
    assert all(parameter.grad is None for parameter in model.first.parameters())
    for task in ("semseg", "depth", "normals", "boundary"):
        student, teacher = torch.randn(2, 1, {"semseg": 5, "normals": 3}.get(task, 1), 4, 4)
        sure = torch.rand(1, 4, 4)
        for tensor in (student, teacher, sure):
            tensor.requires_grad_()
        pseudo_loss(kind_of(task), student, teacher, sure, 0.2).sum().backward()
        assert student.grad is not None
        assert (teacher.grad, sure.grad) == (None, None)


def test_confidence_is_a_probability_or_how_little_a_mirror_changes() -> None:
    assert torch.allclose(confidence(kind_of("semseg"), LOGITS, LOGITS, 1.0), LOGITS.softmax(1).amax(1))
    two = LOGITS[:, :2]
    assert torch.allclose(confidence(kind_of("saliency"), two, two, 1.0), two.softmax(1).amax(1))
    edge = torch.tensor([[[[3.0, -3.0, 0.0]]]])
    assert torch.allclose(confidence(kind_of("boundary"), edge, edge, 1.0), torch.tensor([0.9526, 0.9526, 0.5]), atol=1e-4)
    depth = torch.tensor([[[[1.0, 2.0]]]])
    sure = confidence(kind_of("depth"), depth, depth + torch.tensor([0.0, 0.5]), 2.0)
    assert torch.allclose(sure, torch.tensor([1.0, 0.778801]))
    normals = torch.tensor([0.0, 0.0, 2.0]).view(1, 3, 1, 1)
    assert confidence(kind_of("normals"), normals, 5 * normals, 1.0) == 1  # directions, not lengths


def test_the_mirrored_image_is_mirrored_back() -> None:
    """A teacher that a mirror only mirrors is sure of every pixel: x of its normals with the sign changed."""
    model = _made().eval()
    del model.first

    def symmetric(images: Tensor) -> tuple[dict, dict]:
        small = F.adaptive_avg_pool2d(images, (4, 8))
        normals = torch.cat([small[:, :1].roll(1, -1) - small[:, :1].roll(-1, -1), small[:, 1:]], 1)
        return {}, {"semseg": small.repeat(1, 5, 1, 1)[:, :13], "depth": small[:, :1], "normals": normals}

    model.first = SimpleNamespace(trunk=lambda images: images, decoders=symmetric)  # type: ignore[assignment]
    _, _, sure = model._teach(torch.randn(2, 3, 32, 64))
    assert torch.allclose(sure["depth"], torch.ones(2, 4, 8))
    assert torch.allclose(sure["normals"], torch.ones(2, 4, 8), atol=1e-6)


def test_deviations_are_those_of_the_values_that_count() -> None:
    depth = torch.tensor([1.0, 2.0, IGNORE, 6.0]).view(1, 2, 2)
    normals = torch.stack([torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]])])
    found = deviations({"depth", "normals", "albedo"}, [{"depth": depth[:, :1]}, {"depth": depth[:, 1:], "normals": normals}])
    assert found == pytest.approx({"depth": 2.160247, "normals": (0.5 / 3) ** 0.5}, abs=1e-6)
    assert deviations({"depth"}, [{"depth": torch.full((1, 2, 2), float(IGNORE))}]) == {}
    assert deviations({"depth"}, [{"depth": torch.ones(1, 2, 2)}]) == {}  # not 0, by which differences are divided


def test_the_student_is_a_network_of_its_own_beside_a_teacher_that_stays_as_it_is() -> None:
    """The student begins with weights of its own, not the teacher's; its steps leave the teacher, statistics included, alone."""
    model = _made(thresholds={}, threshold=0.0)
    (name, teacher), (_, student) = model.trainings()
    assert (name, teacher, student) == ("teacher", model.first, model)
    at_first = {name: value.clone() for name, value in model.state_dict().items()}
    student.begin()
    begun = model.state_dict()
    assert all(torch.equal(value, begun[name]) for name, value in at_first.items())
    convolutions = [name for name, p in model.first.named_parameters() if p.ndim == 4]
    assert len(convolutions) > 10
    assert not any(torch.equal(begun[name], begun[f"first.{name}"]) for name in convolutions)
    optimiser = torch.optim.Adam(student.parameter_groups(), lr=1e-2)
    for _ in range(2):
        optimiser.zero_grad()
        _total(student.train()(batch_of("onelabel"))).backward()
        assert not any(module.training for module in model.first.modules())
        optimiser.step()
    after = model.state_dict()
    for name, value in at_first.items():
        assert torch.equal(after[name], value) == name.startswith("first."), name


def test_an_image_whose_labels_are_all_ignored_and_a_batch_of_one_have_a_loss() -> None:
    model, batch = _made(thresholds={}, threshold=0.0).train(), batch_of("onelabel")
    ignored = replace(batch, labels={task: torch.full_like(label, IGNORE) for task, label in batch.labels.items()})
    losses = model(ignored)
    assert all(losses[task] == 0 for task in NYUD)
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["pseudo/depth"] > 0
    one = Batch(
        ids=("a",),
        images=batch.images[:1],
        noise_keys=batch.noise_keys[:1],
        labels={"semseg": batch.labels["semseg"][:1]},
        image_index={"semseg": torch.tensor([0])},
        image_weights=torch.tensor([3.0]),
    )
    losses = model(one)
    assert all(loss.isfinite() for loss in losses.values())
    assert {name for name in losses if name.startswith("pseudo/")} == {"pseudo/depth", "pseudo/normals"}


def test_a_task_weight_multiplies_its_pseudo_loss_and_boundary_has_a_factor() -> None:
    fabric = SimpleNamespace(backward=lambda loss: None)
    losses = {"depth": torch.tensor(1.0), "pseudo/depth": torch.tensor(10.0), "feature": torch.tensor(100.0)}
    noted = Balance({"depth": 3.0}).backward(fabric, losses, (0, 0))  # type: ignore[arg-type]
    assert noted["total"] == 3 + 30 + 100
    torch.manual_seed(0)
    model = build(network("teacher_control", PASCAL)).eval()
    model.options = model.options.model_copy(update={"thresholds": {}, "threshold": 0.0})
    batch = replace(batch_of("onelabel").only(("semseg",)))
    with_factor = model(batch)["pseudo/boundary"]
    model.options = model.options.model_copy(update={"boundary_weight": 1.0})
    assert float(with_factor) == pytest.approx(0.05 * float(model(batch)["pseudo/boundary"]))


def test_two_tasks_train() -> None:
    torch.manual_seed(0)
    model = build(network("teacher_control", {"semseg": 13, "depth": 1}))
    losses = model(batch_of("onelabel").only(("semseg", "depth")))
    assert {"pseudo/semseg", "pseudo/depth", "feature"} < set(losses)
    assert all(loss.isfinite() for loss in losses.values())


def test_a_model_folder_holds_the_student_alone(tmp_path: Path) -> None:
    model = _made().eval()
    save_weights(tmp_path, model)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == {name for name in model.state_dict() if not name.startswith("first.")}
    (tmp_path / "model.json").write_text(json.dumps({"network": model.config.model_dump(mode="json")}))
    with narrow_backbones():
        loaded, image = load_model(tmp_path), torch.randn(1, 3, 32, 64)
    assert not hasattr(loaded, "first")
    assert not loaded.training
    for task, maps in loaded.predict(image)["final"].items():
        assert torch.equal(maps, model.predict(image)["final"][task])
    assert copy.deepcopy(loaded).train().training
