"""Parameters and multiply-adds: the counter on single layers, every figure that is known, and what the command prints."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.__main__ import main
from dmtl.benchmarks import benchmark
from dmtl.config import NetworkConfig, Plain, Project
from dmtl.errors import UserError
from dmtl.models.diffusion.blocks import Attention
from dmtl.models.shared.method import Maps, Method, Stages
from dmtl.prepare.mapping_files import read_mapping
from dmtl.report import published
from dmtl.report.costs import REASONS, Costs, as_records, as_text, hours_as_text
from dmtl.report.flops import Cost, cost_of
from dmtl.report.table_cells import BEYOND, planned_cells, table_rows

# (benchmark, method, backbone) -> parameters in M, multiply-adds in G: docs/methods.md
KNOWN = {
    ("pascal", "mtl_baseline", "resnet18"): (157.237, 607.815),
    ("pascal", "single_task", "resnet18"): (219.640, 718.36),
    ("pascal", "mti_net", "resnet18"): (271.656, 286.6),
    ("pascal", "invpt", "resnet18"): (75.218, 1181.1),
    ("pascal", "diffusion_feature", "resnet18"): (132.913, 675.665),
    ("pascal", "diffusion_prediction", "resnet18"): (133.073, 628.702),
    ("pascal", "no_diffusion", "resnet18"): (133.073, 628.702),
    ("pascal", "no_conditioning", "resnet18"): (124.665, 558.213),
    ("pascal", "diffusion_feature", "resnet50"): (158.516, 742.039),
    ("pascal", "diffusion_prediction", "resnet50"): (158.675, 695.075),
    ("pascal", "no_diffusion", "resnet50"): (158.675, 695.075),
    ("pascal", "no_conditioning", "resnet50"): (150.268, 624.587),
    ("nyud", "mtl_baseline", "resnet18"): (100.581, 158.51),
    ("nyud", "single_task", "resnet18"): (131.782, 181.83),
    ("nyud", "diffusion_feature", "resnet18"): (94.531, 175.27),
    ("nyud", "diffusion_prediction", "resnet18"): (94.611, 163.32),
    ("cityscapes", "mtl_baseline", "resnet18"): (72.252, 32.46),
    ("cityscapes", "single_task", "resnet18"): (87.853, 35.92),
    ("cityscapes", "diffusion_feature", "resnet18"): (75.337, 35.72),
    ("cityscapes", "diffusion_prediction", "resnet18"): (75.375, 33.35),
    ("nyud", "task_prototype", "resnet18"): (116.845, 178.331),
    ("nyud", "task_prototype_without_tke", "resnet18"): (116.845, 178.331),
    ("nyud", "info_mtl", "resnet18"): (102.420, 159.871),
    ("nyud", "dual_encoder", "resnet18"): (102.108, 161.059),
    ("cityscapes", "task_prototype", "resnet18"): (88.516, 35.897),
    ("cityscapes", "info_mtl", "resnet18"): (73.566, 32.730),
    ("cityscapes", "dual_encoder", "resnet18"): (73.358, 32.964),
}
SIZE = (6, 10)
PIXELS = SIZE[0] * SIZE[1]


@pytest.fixture
def costs(paper_costs: Costs) -> Costs:
    return paper_costs


class _Layer(Method):
    """A method that is one layer on the image."""

    def __init__(self, layer: Callable[[Tensor], Tensor]) -> None:
        options = Plain(decoder_blocks=1, single_task_images="labelled")
        super().__init__(
            NetworkConfig(method="layer", family="plain", backbone="resnet18", width=1, outputs={"depth": 1}, options=options)
        )
        self.layer = layer

    def forward(self, batch: object) -> Maps:
        return {}

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        self.layer(images)
        return {"final": {}}


class _Tokens(nn.Module):
    """A layer on the image's pixels as tokens."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return self.layer(tokens, tokens) if isinstance(self.layer, Attention) else self.layer(tokens)


@pytest.mark.parametrize(
    ("layer", "multiply_adds"),
    [
        (lambda: nn.Conv2d(3, 5, 3, padding=1), PIXELS * 3 * 5 * 9),
        (lambda: nn.Conv2d(3, 6, 3, padding=1, groups=3), PIXELS * 6 * 9),
        (lambda: nn.Conv2d(3, 5, 3, padding=1, stride=2), PIXELS // 4 * 3 * 5 * 9),
        (lambda: nn.ConvTranspose2d(3, 5, 2, stride=2), PIXELS * 3 * 5 * 4),
        (lambda: _Tokens(nn.Linear(3, 7)), PIXELS * 3 * 7),
        (lambda: _Tokens(Attention(3, 1)), PIXELS * (3 * 3 + 3 * 6 + 3 * 3) + 2 * PIXELS**2 * 3),
        (lambda: nn.BatchNorm2d(3), PIXELS * 3 * 2),
        (lambda: _Tokens(nn.LayerNorm(3)), PIXELS * 3 * 5),
        (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), PIXELS * 4 * 3 * 4),
        (lambda: nn.AdaptiveAvgPool2d((2, 2)), PIXELS * 3),
        (lambda: nn.ReLU(), 0),
    ],
)
def test_one_layer(layer: Callable[[], nn.Module], multiply_adds: int) -> None:
    """The convention of docs/methods.md, by hand."""
    with torch.device("meta"):
        model = _Layer(layer())
    assert cost_of(model, SIZE).multiply_adds == multiply_adds


def test_functions_count_as_layers_do() -> None:
    with torch.device("meta"):
        assert cost_of(_Layer(lambda x: x.flatten(2) @ x.flatten(2).mT), SIZE).multiply_adds == 9 * PIXELS
        assert cost_of(_Layer(lambda x: F.interpolate(x, size=(3, 5), mode="bilinear")), SIZE).multiply_adds == 15 * 3 * 4


def test_what_no_operation_touches_is_told_apart() -> None:
    with torch.device("meta"):
        model = _Layer(nn.Conv2d(3, 5, 1))
        model.idle = nn.Linear(2, 3).requires_grad_(False)
        model.teacher = nn.Linear(4, 5)
    assert cost_of(model, SIZE) == Cost(
        20 + 9 + 25, {"idle.weight": 6, "idle.bias": 3}, {"teacher.weight": 20, "teacher.bias": 5}, 900
    )


def test_every_known_figure(costs: Costs) -> None:
    """Within 0.02 %, and every network that a table has is known here or lies within 0.5 % of what the paper prints."""
    for line, _ in costs.lines():
        network = (line.benchmark, line.method, line.backbone)
        if network in KNOWN:
            assert (line.params_m, line.flops_g) == pytest.approx(KNOWN[network], rel=2e-4), network
        elif line.paper_params_m:
            assert (line.params_m, line.flops_g) == pytest.approx((line.paper_params_m, line.paper_flops_g), rel=5e-3), network


def test_the_ablation_without_conditioning_on_the_other_benchmarks(costs: Costs) -> None:
    """docs/methods.md; no table has these networks."""
    cell = costs.project.cell("pascal-onelabel-no_conditioning")
    for name, millions, giga in (("nyud", 86.204, 145.50), ("cityscapes", 66.968, 29.84)):
        ours = costs.of(cell.model_copy(update={"benchmark": name}))
        assert (ours.parameters / 1e6, ours.multiply_adds / 1e9) == pytest.approx((millions, giga), rel=2e-4)


def test_design_c_meets_the_printed_flops(root: Path) -> None:
    project = Project(root, scale="paper")
    project.params["diffusion"]["network"]["prediction"]["source"] = "features"
    costs = Costs(project)
    for cell, expected in (
        ("pascal-onelabel-diffusion_prediction", (132.913, 628.06)),
        ("pascal-onelabel-diffusion_prediction-resnet50", (158.516, 694.43)),
        ("nyud-onelabel-diffusion_prediction", (94.531, 163.18)),
        ("cityscapes-onelabel-diffusion_prediction", (75.337, 33.33)),
    ):
        cost = costs.of(project.cell(cell))
        assert (cost.parameters / 1e6, cost.multiply_adds / 1e9) == pytest.approx(expected, rel=2e-4)


def test_figure_6(costs: Costs) -> None:
    assert costs.steps() == pytest.approx([24.45, 33.35, 42.24, 51.13, 60.03], abs=0.005)


def test_idle_parameters_are_the_ones_that_are_named(costs: Costs) -> None:
    idle = {line.method: (line.idle_params_m, set(cost.idle)) for line, cost in costs.lines() if cost.idle}
    assert set(idle) == {"no_conditioning", "invpt"}
    assert idle["no_conditioning"] == (pytest.approx(11.956, abs=5e-4), {"idle.condition"})
    assert idle["invpt"] == (pytest.approx(2.991, abs=5e-4), {"idle.skip", "idle.project", "idle.mix_scores", "idle.norm"})


def test_json(costs: Costs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("dmtl.report.costs.Costs", lambda project: costs)
    main(["cost", "--json"])
    records = json.loads(capsys.readouterr().out)
    assert records == as_records(costs)
    keys = ["table", "benchmark", "method", "backbone", "params_m", "idle_params_m", "flops_g", "paper_params_m", "paper_flops_g"]
    assert all(list(record) == keys for record in records)
    trained = {cell.method for cell in costs.grid.cells.values()}
    networks = {
        (p.table, p.row.benchmark, p.row.method, p.row.backbone) for p in published.published() if p.row.method in trained
    }
    ours = planned_cells(BEYOND, costs.grid)
    beyond = [row for row in table_rows(BEYOND, costs.grid) if row in ours and row.method != "constant"]
    networks |= {(BEYOND, row.benchmark, row.method, row.backbone) for row in beyond}
    assert {row.method for row in beyond} > {"xtc", "diffusion_prediction"}
    assert {(r["table"], r["benchmark"], r["method"], r["backbone"]) for r in records} == networks
    assert len(records) == len(networks)
    (mtl,) = [r for r in records if r["table"] == 5 and r["method"] == "mtl_baseline"]
    assert (mtl["paper_params_m"], mtl["paper_flops_g"]) == (157, 608)
    assert mtl["params_m"] == 157.237346  # unrounded


def test_a_row_that_cannot_match_shows_both_values_and_a_reason(costs: Costs) -> None:
    text = as_text(costs)
    for method in ("single_task", "mti_net", "invpt", "diffusion_prediction"):
        assert f"  {method}: {REASONS[method]}" in text
    assert "219.640 (219)" in text
    assert "718.359 (817)" in text
    assert "  mtl_baseline: " not in text
    assert "idle.condition 11.956" in text
    assert "no reason is known" not in text


def test_networks_that_no_table_has_are_counted_too(costs: Costs) -> None:
    """JTR: the baseline's inference, and an auto-encoder that only its training has."""
    beyond = {(cell.benchmark, cell.method): cost for cell, cost in costs.beyond()}
    shown = {(line.benchmark, line.method, line.backbone) for line, _ in costs.lines()}
    trained = {(n.benchmark, n.method, n.backbone) for n in costs.networks(1e13)}
    assert {(cell.benchmark, cell.method, cell.backbone) for cell, _ in costs.beyond()} == trained - shown
    text, baseline = as_text(costs), costs.project.cell("nyud-onelabel-mtl_baseline")
    for name, millions in (("nyud", 24.989), ("cityscapes", 24.984)):
        cell = costs.project.cell(f"{name}-onelabel-jtr")
        cost, plain = costs.of(cell), costs.of(baseline.model_copy(update={"benchmark": name}))
        assert (cost.multiply_adds, cost.idle) == (plain.multiply_adds, {})
        assert sum(cost.training_only.values()) == cost.parameters - plain.parameters
        assert (cost.parameters - plain.parameters) / 1e6 == pytest.approx(millions, abs=5e-4)
        assert beyond.get((name, "jtr"), cost) == cost
        assert f"jtr on {name}: counted, but used in training alone (M): auto_encoder.encoder 14.7" in text
        assert any(line.split()[:3] == [name, "jtr", "resnet18"] for line in text.splitlines())


def test_gpu_hours(costs: Costs) -> None:
    cells = costs.grid.cells
    per_image = 607.815204864e9
    assert costs.hours(cells["pascal-full-mtl_baseline"], 1e13) == pytest.approx(3 * per_image * 4998 * 100 / 1e13 / 3600)
    assert costs.hours(cells["pascal-full-mtl_baseline"], 2e13) == costs.hours(cells["pascal-full-mtl_baseline"], 1e13) / 2
    assert costs.hours(cells["nyud-full-constant"], 1e13) == 0
    one, full = (costs.hours(cells[f"pascal-{setting}-single_task"], 1e13) for setting in ("onelabel", "full"))
    # one network per task, which sees all images; of a batch without its label it takes the forward pass alone, a third of a step
    none = [math.prod((4998 - labels - k) / (4998 - k) for k in range(6)) for labels in (1000, 999, 1000, 1000, 999)]
    assert one == pytest.approx(full * (1 - 2 / 3 * sum(none) / 5), rel=1e-3)
    text = hours_as_text(costs, 1e13)
    assert "Table 1:" in text
    assert "Assumed" in text
    for throughput in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match="--throughput is"):
            hours_as_text(costs, throughput)


def test_labels_are_those_of_the_published_mappings(shared_data: Path) -> None:
    found = sorted(shared_data.rglob("*_onelabel.tsv")) + sorted(shared_data.rglob("*_randomlabels.tsv"))
    if not found:
        pytest.skip(f"no mapping below {shared_data}")
    for path in found:
        name, setting = path.stem.split("_")
        data = benchmark(name)
        mask = read_mapping(path, data)
        assert data.masks is not None
        assert (len(mask.ids), tuple(mask.allowed.sum(0))) == (data.images["train"], data.masks.labels[setting])
        assert mask.tasks == tuple(data.outputs)
