"""The blocks of the methods' families, and the configuration of a network, which model.json keeps."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from dmtl.config.blocks import AboveZero, Block, Positive, ZeroOrMore, Zooms
from dmtl.errors import UserError

Widths = Annotated[tuple[AboveZero, AboveZero, AboveZero, AboveZero, AboveZero], Field(strict=False)]


class Plain(Block):
    """`plain`: the multi-task and single-task baselines (docs/methods.md, "mtl_baseline")."""

    decoder_blocks: Positive
    single_task_images: Literal["all", "labelled"]  # those that single-task networks see; losses are of labelled ones alone


class Condition(Block):
    """What the denoiser is conditioned on, and whether gradients pass through it."""

    source: Literal["predictions", "per_task_predictions", "features"]
    detach: bool


class DiffusionNetwork(Block):
    """`diffusion.network`: everything of the denoiser but the number of steps."""

    decoder_blocks: Positive
    blocks: Positive  # cross-attention blocks
    heads: Positive
    token_stride: Positive  # side of the square of 1/8-scale positions that one token stands for
    schedule: Literal["sqrt_linear", "linear"]
    beta_start: Annotated[float, Field(gt=0, lt=1)]
    beta_end: Annotated[float, Field(gt=0, lt=1)]
    sampler: Literal["posterior", "direct"]
    initial_weight: ZeroOrMore  # of the initial predictions' loss
    prediction: Condition
    feature: Condition


class Diffusion(Block):
    """`diffusion`: DiffusionMTL's denoising network (the paper's Section 3.2)."""

    steps: Positive
    network: DiffusionNetwork


class MultiScale(Block):
    """`multiscale`: MTI-Net and InvPT (docs/methods.md, "mti_net" and "invpt")."""

    initial_weight: ZeroOrMore  # of the loss of each prediction before the final one
    heads: Positive  # InvPT's attention


class CrossTask(Block):
    """`consistency.xtc`: the mapping network into a joint space of all tasks (docs/methods.md, "xtc")."""

    resolution: Literal["eighth", "full"]  # of the maps it sees: the predictions' own, or the images'
    widths: Widths  # of its five groups of layers, times the width
    gumbel_tau: AboveZero  # temperature of the sampled classes
    film_halving: Positive  # epochs until gamma and beta's own learning rate is halved


class SelfConsistency(Block):
    """`consistency.semi_supervised`: which of a prediction the other view is taught (docs/methods.md, "semi_supervised")."""

    weight: ZeroOrMore
    confidence: Annotated[float, Field(ge=0, lt=1)]  # probability above which a class is a pseudo-label
    largest_difference: AboveZero  # of depths and normals that are drawn together


class ConsistencyOnBenchmark(Block):
    """`consistency.benchmarks.<benchmark>`: what XTC's authors chose for each benchmark (docs/methods.md, "xtc")."""

    weight: ZeroOrMore  # of the cross-task loss
    film_rate: AboveZero  # first learning rate of gamma and beta
    flip: bool  # whether the second view may be mirrored


class Consistency(Block):
    """`consistency`: the baseline's network with a loss between two views or tasks; `on` is one of `benchmarks`."""

    decoder_blocks: Positive
    zooms: Zooms  # of the second view
    xtc: CrossTask
    semi_supervised: SelfConsistency
    on: ConsistencyOnBenchmark


Family = Literal["plain", "diffusion", "consistency", "multiscale"]
Options = Plain | Diffusion | Consistency | MultiScale
FAMILIES: dict[str, type[Block]] = {
    "plain": Plain,
    "diffusion": Diffusion,
    "consistency": Consistency,
    "multiscale": MultiScale,
}


AnyOptions = TypeVar("AnyOptions", Plain, Diffusion, Consistency, MultiScale)


Channels = Annotated[tuple[float, float, float], Field(strict=False)]  # of red, green and blue


class Normalisation(Block):
    """What a network's images are normalised with: those in [0, 1] less `mean`, divided by `std`."""

    mean: Channels
    std: Channels


IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class NetworkConfig(Block):
    """All that is needed to rebuild a network; written into model.json."""

    method: str
    family: Family
    backbone: str
    width: Positive
    outputs: dict[str, Positive]  # task -> channels, in the benchmark's order
    kinds: dict[str, dict[str, Any]] = Field(default_factory=dict)  # what a task is whose name `dmtl.tasks` does not know
    options: Options
    normalisation: Normalisation = IMAGENET  # that of the backbone's pretraining

    def options_as(self, kind: type[AnyOptions]) -> AnyOptions:
        """The options of the method's family.

        Raises:
            UserError: the cell gives the method another family.
        """
        if isinstance(self.options, kind):
            return self.options
        raise UserError(f"method '{self.method}' takes the options {kind.__name__}, but its cell says family '{self.family}'")
