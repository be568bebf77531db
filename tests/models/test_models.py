"""Networks: parameter counts, and properties that every method shares."""

import math
from pathlib import Path

import pytest
import torch
import yaml
from helpers.networks import DIFFUSION, FAMILY, LATENT, MASKS, NYUD, PASCAL, batch_of, fresh, network
from helpers.project import ROOT

from dmtl.benchmarks import benchmark
from dmtl.config import Project, for_training
from dmtl.data.batch import Batch
from dmtl.errors import UserError
from dmtl.files import write_json
from dmtl.models import build, hollow, method_names, read_description
from dmtl.models.diffusion.task_attention import TaskAttention

TWICE = {*DIFFUSION, *(method for method, family in FAMILY.items() if family == "multiscale")}  # predict more than once
CONSISTENCY = tuple(sorted(method for method, family in FAMILY.items() if family == "consistency"))
UNLABELLED = {  # method -> the parts of a task without any label that a term of no label moves
    "task_prototype": ("decoders.decoders",),
    "task_prototype_without_tke": ("decoders.decoders",),
    "info_mtl": ("decoders.decoders", "bottlenecks"),
    "dual_encoder": ("encoders", "shared"),
}

# Parameters in millions (docs/methods.md).
COUNTS = [
    ("mtl_baseline", NYUD, 100.581),
    ("single_task", NYUD, 131.782),
    ("diffusion_feature", NYUD, 94.531),
    ("diffusion_prediction", NYUD, 94.611),
    ("mtl_baseline", PASCAL, 157.237),
    ("single_task", PASCAL, 219.640),
    ("diffusion_feature", PASCAL, 132.913),
    ("diffusion_prediction", PASCAL, 133.073),
    ("no_diffusion", PASCAL, 133.073),
    ("no_conditioning", PASCAL, 124.665),
    ("no_conditioning", NYUD, 86.204),
    ("mti_net", PASCAL, 271.656),
    ("invpt", PASCAL, 75.218),
    ("xtc", PASCAL, 172.185),
    ("xtc", NYUD, 100.581 + 14.819),
    ("semi_supervised", PASCAL, 157.237),
    ("jtr", PASCAL, 182.238),
    ("jtr", NYUD, 100.581 + 24.989),
    ("task_prototype", NYUD, 116.845),
    ("task_prototype", PASCAL, 173.503),
    ("info_mtl", NYUD, 102.420),
    ("info_mtl", PASCAL, 160.127),
    ("dual_encoder", NYUD, 102.108),
    ("dual_encoder", PASCAL, 159.608),
]


@pytest.mark.parametrize(("method", "outputs", "millions"), COUNTS)
def test_parameter_counts_at_paper_size(method: str, outputs: dict[str, int], millions: float) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    model = hollow(network(method, outputs, params, width=512))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)


def test_a_feature_condition_costs_what_the_papers_flops_ask_for() -> None:
    """132.913 M, as Feature Diffusion."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["diffusion"]["network"]["prediction"]["source"] = "features"
    model = hollow(network("diffusion_prediction", PASCAL, params, width=512))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(132.913, abs=5e-4)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(UserError, match="no method 'mtl_basline'"):
        build(network("mtl_basline"))


@pytest.mark.parametrize("method", method_names())
def test_predictions_have_the_images_size(method: str) -> None:
    model = fresh(method).eval()
    for size in ((32, 64), (40, 72), (33, 65)):
        predicted = model.predict(torch.randn(2, 3, *size))
        assert {task: m.shape for task, m in predicted["final"].items()} == {t: (2, c, *size) for t, c in NYUD.items()}
        assert set(predicted["initial"]) == (set(NYUD) if method in TWICE else set())
        assert all(m.isfinite().all() for maps in predicted.values() for m in maps.values())


@pytest.mark.parametrize("setting", MASKS)
@pytest.mark.parametrize("method", [m for m in method_names() if m != "constant"])
def test_one_step_moves_what_the_labels_reach(method: str, setting: str) -> None:
    model, moved = fresh(method), set()
    for layer in model.modules():
        if method == "stable_mtl" and isinstance(layer, TaskAttention):
            layer.mask = 0.0  # where one other task is left, it has all the weight, and what asks gets no gradient
    assert set(model.train()(batch_of(setting))) & set(NYUD) == (set() if method in LATENT else set(NYUD))
    for _, one in model.trainings():
        parameters = [parameter for group in one.parameter_groups() for parameter in group["params"]]
        optimiser = torch.optim.SGD(parameters, lr=1e-3)
        for _ in range(2):  # the first step wakes layers that begin at zero
            optimiser.zero_grad()
            torch.stack(list(one.train()(batch_of(setting).only(one.tasks)).values())).sum().backward()
            optimiser.step()
        moved |= {id(parameter) for parameter in parameters if parameter.grad is not None and parameter.grad.any()}
    still = [name for name, parameter in model.named_parameters() if id(parameter) not in moved]
    assert still == [name for name, _ in model.named_parameters() if name.startswith("idle.")]


@pytest.mark.parametrize("method", [m for m in method_names() if m != "constant"])
def test_an_unlabelled_task_moves_only_what_is_shared(method: str) -> None:
    """Of a task without any label, only what other tasks' predictions or consistency reach may move.

    The multi-task condition reaches it where it is not detached; MTI-Net and InvPT reach all of it but the last heads. Terms that
    need no label move what makes a task's features, but never its head.
    """
    model = fresh(method).train()
    torch.stack(list(model(batch_of("full").only(("semseg", "normals"))).values())).sum().backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    depth = {name for name in moved if "depth" in name}
    if FAMILY[method] == "multiscale":
        assert depth
        last = ("heads.depth", "join.depth", "refine.depth") if method == "mti_net" else ("heads.depth", "refine.depth")
        assert not {name for name in depth if name.startswith(last)}
        return
    if method in UNLABELLED:
        assert {name.partition(".depth")[0] for name in depth} == set(UNLABELLED[method])
        return
    parts = ("decoders.decoders", "decoders.heads", "decoders.depth", "condition.project", "mapping.stems")
    assert depth == {name for name in depth if any(part in name for part in parts)}
    one = getattr(model, "network", model)
    conditioned = hasattr(one, "condition") and not one.condition.options.detach
    assert bool(depth) == (conditioned or method in (*CONSISTENCY, "teacher_control"))  # what a view or a teacher teaches


@pytest.mark.parametrize("method", [m for m in method_names() if m != "constant"])
def test_losses_are_finite_and_batch_weighted(method: str) -> None:
    """Twice the batch, image for image, has the same loss: each image counts 1/B. Batch norm is in evaluation mode for it.

    InfoMTL compares the images of a batch: told apart from twice as many, half of which are copies, each loses log 2 more.
    """
    model = fresh(method).eval()
    one = batch_of("randomlabels")
    twice = Batch(
        ids=one.ids + one.ids,
        images=torch.cat([one.images, one.images]),
        noise_keys=torch.cat([one.noise_keys, one.noise_keys]),
        labels={t: torch.cat([x, x]) for t, x in one.labels.items()},
        image_index={t: torch.cat([x, x + 4]) for t, x in one.image_index.items()},
        image_weights=torch.cat([one.image_weights, one.image_weights]) / 2,
    )
    for task, loss in model(one).items():
        assert loss.isfinite()
        more = model.info.alpha * math.log(2) if task == "info_max" else 0.0
        assert model(twice)[task].item() == pytest.approx(loss.item() + more, rel=1e-4)


@pytest.mark.parametrize("method", [m for m in method_names() if m not in DIFFUSION or m == "diffusion_feature"])
def test_where_no_prediction_is_denoised_there_are_no_noisy_maps(method: str) -> None:
    assert fresh(method).eval().predict(torch.randn(1, 3, 32, 64), noisy=True)["noisy"] == {}


@pytest.fixture(scope="module")
def project() -> Project:
    """The repository's own."""
    return Project(ROOT)


@pytest.mark.parametrize("method", method_names())
def test_a_network_is_described_as_its_method_takes_its_options(project: Project, tmp_path: Path, method: str) -> None:
    """Also where the method overrules some; a value that was changed after the training is refused."""
    cell = next((key for key, one in project.grid["cells"].items() if one["method"] == method), None)
    if cell is None:
        pytest.skip("no cell of the root's grid")
    training = for_training(project, cell)
    built = hollow(training.network(benchmark(training.cell.benchmark).outputs)).config.model_dump(mode="json")
    about = {"cell": cell, "seed": training.seed, "training": training.model_dump(mode="json")}
    write_json(tmp_path / "model.json", about | {"network": built})
    assert read_description(tmp_path)["network"] == built
    if "steps" in built["options"]:
        built["options"]["steps"] += 1
        write_json(tmp_path / "model.json", about | {"network": built})
        with pytest.raises(UserError, match=r"network\.options\.steps is"):
            read_description(tmp_path)
