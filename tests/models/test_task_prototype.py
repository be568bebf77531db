"""Task prototypes: affinities, the losses that need no label, the retrieval, and the codebook."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers.networks import NYUD, batch_of, fresh

from dmtl.models.representation.codebook import Codebook
from dmtl.models.representation.prototypes import Retrieval, affinities, association_loss, triplet_loss
from dmtl.models.representation.quantiser import ImageAutoEncoder
from dmtl.models.representation.style import TaskPrototype

KEYS = torch.tensor([11, 12])
METHODS = ("task_prototype", "task_prototype_without_tke")


def _made(method: str = "task_prototype") -> TaskPrototype:
    model = fresh(method)
    assert isinstance(model, TaskPrototype)
    return model


def _features(tasks: int = 3, images: int = 2) -> torch.Tensor:
    return torch.randn(tasks, images, 8, 3, 4, generator=torch.Generator().manual_seed(3))


def test_affinities_are_the_softmax_of_cosines() -> None:
    features, prototypes = _features(), torch.randn(3, 8, generator=torch.Generator().manual_seed(4))
    shares = affinities(features, prototypes, 0.1)
    assert shares.shape == (3, 2, 3, 3, 4)
    cosines = torch.stack([F.cosine_similarity(features, v.view(1, 1, 8, 1, 1), dim=2) for v in prototypes], dim=2)
    assert torch.allclose(shares, (cosines / 0.1).log_softmax(2), atol=1e-4)
    assert torch.allclose(affinities(1000 * features, prototypes, 0.1), shares, atol=1e-3), "only directions count"
    largest = affinities(1000 * features, 1000 * prototypes, 1.0)
    assert largest.max() - largest.min() <= 2 + math.log(3), "a cosine is within -1 and 1, whatever the lengths"


def test_affinities_follow_an_exchange_of_tasks() -> None:
    features, prototypes, order = _features(), torch.randn(3, 8), torch.tensor([2, 0, 1])
    shares = affinities(features, prototypes, 0.1)
    assert torch.allclose(affinities(features[order], prototypes[order], 0.1), shares[order][:, :, order], atol=1e-5)


def test_a_feature_of_zeros_is_near_all_prototypes_alike() -> None:
    features = torch.zeros(3, 2, 8, 3, 4, requires_grad=True)
    shares = affinities(features, torch.randn(3, 8), 0.1)
    assert torch.allclose(shares, torch.full_like(shares, -math.log(3)))
    association_loss(shares).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_the_association_loss_is_that_of_the_own_prototype() -> None:
    assert association_loss(torch.full((3, 2, 3, 3, 4), 1 / 3).log()).item() == pytest.approx(math.log(3))
    eye = torch.eye(8)[:3]
    own = eye.view(3, 1, 8, 1, 1).expand(3, 2, 8, 3, 4)
    assert association_loss(affinities(own, eye, 0.1)).item() == pytest.approx(math.log(1 + 2 * math.exp(-10)), abs=1e-4)
    assert association_loss(affinities(own, eye.roll(1, 0), 0.1)).item() > 9


def test_the_triplet_by_hand() -> None:
    """Two tasks, two images: the same task in the next image, against the other task of the same image."""
    x, y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    features = torch.stack([torch.stack([x, y]), torch.stack([y, y])])[..., None, None]
    root = math.sqrt(2)
    # task 0: near sqrt 2 from both; far sqrt 2 in the first image, 0 in the second. task 1: near 0; far sqrt 2, then 0
    expected = (0.3 + (root + 0.3) + 0 + 0.3) / 4
    assert triplet_loss(features, 0.3).item() == pytest.approx(expected, abs=1e-5)
    assert triplet_loss(3 * features.expand(2, 2, 2, 3, 4), 0.3).item() == pytest.approx(expected, abs=1e-5)


def test_the_triplet_of_a_loop_over_images_and_tasks() -> None:
    """The nearest of several other tasks is the one that counts, and the next image's same task, the first's after the last."""
    features, expected = _features(4, 3), []
    pooled = features.mean((3, 4))
    pooled = pooled / pooled.norm(dim=2, keepdim=True)
    for i in range(3):
        for t in range(4):
            near = (pooled[t, i] - pooled[t, (i + 1) % 3]).norm()
            far = min((pooled[t, i] - pooled[u, i]).norm() for u in range(4) if u != t)
            expected.append(max(0.0, float(near - far) + 0.3))
    assert sum(loss > 0 for loss in expected) > 6
    assert triplet_loss(features, 0.3).item() == pytest.approx(sum(expected) / 12, rel=1e-5)


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize(("tasks", "images"), [(3, 1), (1, 4), (1, 1)])
def test_without_a_second_image_or_task_there_is_no_triplet(tasks: int, images: int, alike: bool) -> None:
    """Nor where the tasks are no farther from each other than the margin."""
    features = _features(tasks, images)
    features = (features[:1].repeat(tasks, 1, 1, 1, 1) if alike else features).requires_grad_()
    loss = triplet_loss(features, 0.3)
    loss.backward()
    assert loss.item() == 0
    assert features.grad is not None
    assert not features.grad.any()


def test_the_retrieval_adds_nothing_at_first_and_later_what_the_prototypes_say() -> None:
    torch.manual_seed(0)
    retrieval, features = Retrieval(8, 2, 2), torch.randn(2, 8, 5, 7)
    assert not retrieval(features, torch.randn(2, 8, 5, 7)).any()
    for parameter in retrieval.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    one, other = (retrieval(features, torch.randn(2, 8, 5, 7)) for _ in range(2))
    assert one.shape == features.shape
    assert not torch.allclose(one, other)


def test_what_is_read_is_each_positions_mixture_of_the_prototypes() -> None:
    """A V: by the shares of the softmax, of all tasks' prototypes; the queries are the features."""
    model, given = _made().eval(), []
    model.retrieval.register_forward_pre_hook(lambda _, args: given.append(args))
    images = torch.randn(2, 3, 32, 64)
    model.predict(images)
    ((queries, mixtures),) = given
    with torch.no_grad():
        shared = model.trunk(images)
        for t, task in enumerate(NYUD):
            feature = model.decoders.decoders[task](shared)
            assert torch.allclose(queries.unflatten(0, (3, 2))[t], feature, atol=1e-6)
            cosines = [F.cosine_similarity(feature, v.view(1, -1, 1, 1), dim=1, eps=1e-12) for v in model.prototypes]
            shares = (torch.stack(cosines) / 0.1).softmax(0)
            expected = sum(share[:, None] * v.view(1, -1, 1, 1) for share, v in zip(shares, model.prototypes, strict=True))
            assert torch.allclose(mixtures.unflatten(0, (3, 2))[t], expected, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_it_begins_as_the_baseline(method: str) -> None:
    model, baseline = _made(method), fresh("mtl_baseline")
    kept = {name: value for name, value in model.state_dict().items() if name.startswith(("trunk.", "decoders."))}
    baseline.load_state_dict(kept)
    images = torch.randn(2, 3, 32, 64)
    expected = baseline.eval().predict(images)["final"]
    assert all(torch.equal(maps, expected[task]) for task, maps in model.eval().predict(images)["final"].items())


@pytest.mark.parametrize(
    ("method", "terms"), list(zip(METHODS, ({"image", "association", "triplet"}, {"image", "triplet"}), strict=True))
)
def test_its_terms_see_no_label_and_no_head(method: str, terms: set[str]) -> None:
    model = _made(method).train()
    batch, other = batch_of("onelabel"), batch_of("onelabel")
    other.labels = {task: torch.ones_like(label) for task, label in other.labels.items()}
    losses, same = model(batch), model(other)
    assert set(losses) == set(NYUD) | terms
    assert all(torch.equal(losses[name], same[name]) for name in terms)
    torch.stack([losses[name] for name in sorted(terms)]).sum().backward()
    assert not any(p.grad is not None and p.grad.any() for p in model.decoders.heads.parameters())
    assert all(any(p.grad is not None and p.grad.any() for p in one.parameters()) for one in model.decoders.decoders.values())


def test_a_feature_gets_the_nearest_code() -> None:
    torch.manual_seed(0)
    codebook, features = Codebook(8, 16), 0.02 * torch.randn(2, 8, 3, 4)
    distances = (features.movedim(1, -1)[..., None, :] - codebook.codes).square().sum(-1)
    assert torch.equal(codebook.nearest(features), distances.argmin(-1))
    exact = codebook.codes[[3, 5]].detach()[..., None, None]
    assert codebook.nearest(exact).flatten().tolist() == [3, 5]


def test_the_image_teaches_codes_and_features_and_the_commitment_features_alone() -> None:
    torch.manual_seed(0)
    for commitment in (0.0, 0.25):
        auto_encoder = ImageAutoEncoder(8, 16, commitment)
        features = torch.randn(2, 8, 2, 3, requires_grad=True)
        auto_encoder(features, torch.randn(2, 3, 16, 24), KEYS).backward()
        used = set(auto_encoder.codebook.nearest(features).flatten().tolist())
        assert auto_encoder.codebook.codes.grad is not None
        assert features.grad is not None
        assert {k for k, row in enumerate(auto_encoder.codebook.codes.grad) if row.any()} <= used
        assert auto_encoder.codebook.codes.grad.any()
        assert features.grad.any()
    images, code_gradients = torch.randn(2, 3, 16, 24), []
    for commitment in (0.0, 100.0):
        torch.manual_seed(1)
        auto_encoder, features = ImageAutoEncoder(8, 16, commitment), torch.randn(2, 8, 2, 3)
        auto_encoder(features, images, KEYS).backward()
        code_gradients.append(auto_encoder.codebook.codes.grad)
    assert torch.equal(*code_gradients)


@pytest.mark.parametrize("method", METHODS)
def test_the_auto_encoder_is_no_part_of_the_predictions(method: str) -> None:
    model, images = _made(method).eval(), torch.randn(2, 3, 32, 64)
    expected = model.predict(images)["final"]
    for parameter in model.auto_encoder.parameters():
        parameter.data.fill_(float("nan"))
    assert all(torch.equal(maps, expected[task]) for task, maps in model.predict(images)["final"].items())
