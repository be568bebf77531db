"""The blocks of the methods' families, and the configuration of a network, which model.json keeps."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from dmtl.config.blocks import AboveZero, Block, Heads, Layers, Name, Positive, Sha256, Steps, Width, ZeroOrMore, Zooms
from dmtl.errors import UserError

Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(gt=0, le=16)]  # of the width
Widths = Annotated[tuple[Factor, Factor, Factor, Factor, Factor], Field(strict=False)]


class TeacherControl(Block):
    """`plain.teacher_control`: what a student learns from a trained baseline (docs/methods.md, "teacher_control")."""

    threshold: Share  # confidence above which a pixel is a pseudo-label, of a task that has none of its own
    thresholds: dict[Name, Share]  # of tasks, as they stand under `thresholds` for the benchmark
    boundary_weight: ZeroOrMore  # of boundary's pseudo-labels, beside its task weight
    feature_weight: ZeroOrMore


class Plain(Block):
    """`plain`: the multi-task and single-task baselines (docs/methods.md, "mtl_baseline")."""

    decoder_blocks: Layers
    single_task_images: Literal["all", "labelled"]  # those that single-task networks see; losses are of labelled ones alone
    teacher_control: TeacherControl | None = None  # of that method alone


class Condition(Block):
    """What the denoiser is conditioned on, and whether gradients pass through it."""

    source: Literal["predictions", "per_task_predictions", "features"]
    detach: bool


class StepIntervals(Block):
    """`diffusion.network.step_intervals`: which estimates of the denoiser have a loss (docs/methods.md, "step_intervals")."""

    denoises: Literal["predictions", "features"]  # whose network it is: Prediction or Feature Diffusion's
    weights: Literal["last", "equal", "uw"]
    intervals: Steps  # at most: as many as there are steps where those are fewer
    cost: Literal["timestep", "snr", "log_snr"]  # in which the steps of an interval lie close together
    uw_rate: AboveZero  # learning rate of the intervals' log-variances
    detach: bool  # the state that a step gets from the one before


class LatentVae(Block):
    """`diffusion.network.latent.vae`: the autoencoder of label images (docs/methods.md, "latent_regression_vae")."""

    channels: Annotated[int, Field(ge=1, le=256)]  # of a latent
    # channels of its convolutions at the image's size, at 1/2 and at 1/4, times the width
    widths: Annotated[tuple[Factor, Factor, Factor], Field(strict=False)]
    kl_weight: ZeroOrMore


class Latent(Block):
    """`diffusion.network.latent`: labels as images, images as latents (docs/methods.md, "latent_regression")."""

    sharpness: AboveZero  # a class's logit, a squared distance between colours
    coefficients: Annotated[int, Field(ge=1, le=64)]  # of the transform of an 8x8 block, in each channel
    detach: bool  # whether gradients pass through the condition
    vae: LatentVae


class TaskAttention(Block):
    """`diffusion.network.task_attention`: attention over the other tasks (docs/methods.md, "task_attention")."""

    heads: Heads
    mask: Share  # probability that one of the others is left out in training


class StableUNet(Block):
    """`diffusion.network.stable_mtl.unet`: a UNet2DConditionModel of diffusers, where there is no prior."""

    # channels of its levels, times the width; all but the last attend
    widths: Annotated[tuple[Factor, ...], Field(strict=False, min_length=2, max_length=6)]
    layers: Annotated[int, Field(ge=1, le=4)]  # of a level


class StableVae(Block):
    """`diffusion.network.stable_mtl.vae`: an AutoencoderKL of diffusers, where there is no prior."""

    widths: Annotated[tuple[Factor, Factor, Factor, Factor], Field(strict=False)]  # at the image's size, 1/2, 1/4 and 1/8
    layers: Annotated[int, Field(ge=1, le=4)]  # of a level
    kl_weight: ZeroOrMore


class StableAttention(TaskAttention):
    """`diffusion.network.stable_mtl.task_attention`: the same at each self-attention of the UNet."""

    hidden: Factor  # width of what asks, times that of the UNet's first level


class Prior(Block):
    """`diffusion.network.stable_mtl.prior`: which weights of Stable Diffusion a training begins from, by their SHA-256."""

    unet: Sha256
    vae: Sha256


class StableMtl(Block):
    """`diffusion.network.stable_mtl`: Stable Diffusion's networks (docs/methods.md, "stable_mtl")."""

    prior: Prior | None  # with one, the networks have its sizes, whatever the widths below
    sharpness: AboveZero  # a class's logit, a squared distance between colours
    tokens: Annotated[int, Field(ge=1, le=256)]  # learned vectors that tell the UNet its task
    unet: StableUNet
    vae: StableVae
    task_attention: StableAttention


class DiffusionNetwork(Block):
    """`diffusion.network`: everything of the denoiser but the number of steps."""

    decoder_blocks: Layers
    blocks: Layers  # cross-attention blocks
    heads: Heads
    token_stride: Annotated[int, Field(ge=1, le=1024)]  # side of the square of 1/8-scale positions that one token stands for
    schedule: Literal["sqrt_linear", "linear"]
    beta_start: Annotated[float, Field(gt=0, lt=1)]
    beta_end: Annotated[float, Field(gt=0, lt=1)]
    sampler: Literal["posterior", "direct"]
    initial_weight: ZeroOrMore  # of the initial predictions' loss
    prediction: Condition
    feature: Condition
    step_intervals: StepIntervals | None = None  # only the methods that have losses at several steps need it
    latent: Latent | None = None  # only those that regress latents need it
    task_attention: TaskAttention
    stable_mtl: StableMtl | None = None  # of that method alone


class Diffusion(Block):
    """`diffusion`: DiffusionMTL's denoising network (the paper's Section 3.2)."""

    steps: Steps
    network: DiffusionNetwork


class MultiScale(Block):
    """`multiscale`: MTI-Net and InvPT (docs/methods.md, "mti_net" and "invpt")."""

    initial_weight: ZeroOrMore  # of the loss of each prediction before the final one
    heads: Heads  # InvPT's attention


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


class JointTask(Block):
    """`consistency.jtr`: the auto-encoder of all tasks together (docs/methods.md, "jtr")."""

    distance: ZeroOrMore  # weight of what labelled and predicted tasks are apart in the joint code
    encoder_distance: ZeroOrMore  # of that distance where it trains the auto-encoder, times `distance`
    reconstruction: ZeroOrMore  # weight of what the auto-encoder loses
    resolution: Literal["eighth", "full"]  # of the maps it sees: the predictions' own, or the images'
    widths: Widths  # of its five groups of layers, times the width
    gumbel_tau: AboveZero  # temperature of the sampled classes
    # mean and deviation that depths are bounded with: of the visible training labels, or these two
    depth: Literal["visible"] | Annotated[tuple[float, AboveZero], Field(strict=False)]


class InfoTerms(Block):
    """`consistency.info_mtl`: two terms of information (docs/methods.md, "info_mtl")."""

    alpha: ZeroOrMore  # weight of what two views have in common; 0: there is no second view
    temperature: AboveZero
    beta: ZeroOrMore  # weight of what the decoders' features tell
    noise: ZeroOrMore  # scale of the features' noise in training


class ConsistencyOnBenchmark(Block):
    """`consistency.benchmarks.<benchmark>`: what XTC's authors chose for each benchmark (docs/methods.md, "xtc")."""

    weight: ZeroOrMore  # of the cross-task loss
    film_rate: AboveZero  # first learning rate of gamma and beta
    flip: bool  # whether further views may be mirrored


class Consistency(Block):
    """`consistency`: the baseline's network with a loss between two views or tasks; `on` is one of `benchmarks`."""

    decoder_blocks: Layers
    zooms: Zooms  # of the further views
    xtc: CrossTask
    semi_supervised: SelfConsistency
    jtr: JointTask
    info_mtl: InfoTerms | None = None  # of that method alone
    on: ConsistencyOnBenchmark


class Prototypes(Block):
    """`representation.task_prototype`: prototypes and what is learned beside the tasks (docs/methods.md, "task_prototype")."""

    image: ZeroOrMore  # weight of L_tae
    association: ZeroOrMore  # of L_tke
    triplet: ZeroOrMore  # of L_tc
    temperature: AboveZero  # of the softmax over prototypes
    margin: ZeroOrMore  # of L_tc
    blocks: Positive  # of the retrieval
    heads: Positive
    codes_per_channel: Positive  # size of the codebook over the width
    commitment: ZeroOrMore  # of features to their codes, within L_tae


class Dual(Block):
    """`representation.dual_encoder`: shared and own encoders (docs/methods.md, "dual_encoder")."""

    own_width: ZeroOrMore  # channels of a task's own feature over the width; 0: there is none
    similarity: Literal["adaptive", "mean"]  # what the tasks' shared layers are drawn to: a learned one, or their mean
    weight: ZeroOrMore  # of that
    size: ZeroOrMore  # of the squares of these layers
    orthogonality: ZeroOrMore  # of the correlations of own and shared features


class Representation(Block):
    """`representation`: the baseline's network with terms on its features or the layers that read them."""

    decoder_blocks: Positive
    task_prototype: Prototypes
    dual_encoder: Dual


Family = Literal["plain", "diffusion", "consistency", "multiscale", "representation"]
Options = Plain | Diffusion | Consistency | MultiScale | Representation
FAMILIES: dict[str, type[Block]] = {
    "plain": Plain,
    "diffusion": Diffusion,
    "consistency": Consistency,
    "multiscale": MultiScale,
    "representation": Representation,
}


AnyOptions = TypeVar("AnyOptions", Plain, Diffusion, Consistency, MultiScale, Representation)


Colours = Annotated[tuple[float, float, float], Field(strict=False)]  # of red, green and blue
Channels = Annotated[int, Field(ge=1, le=1024)]  # of a network's output


class Normalisation(Block):
    """What a network's images are normalised with: those in [0, 1] less `mean`, divided by `std`."""

    mean: Colours
    std: Annotated[tuple[AboveZero, AboveZero, AboveZero], Field(strict=False)]


IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class NetworkConfig(Block):
    """All that is needed to rebuild a network; written into model.json."""

    method: Name
    family: Family
    backbone: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")]
    width: Width
    outputs: Annotated[dict[Name, Channels], Field(min_length=1, max_length=64)]  # task -> channels, in the benchmark's order
    kinds: dict[str, dict[str, Any]] = Field(default_factory=dict)  # what a task is whose name `dmtl.tasks` does not know
    options: Options
    normalisation: Normalisation = IMAGENET  # that of the backbone's pretraining

    @model_validator(mode="after")
    def _kinds_are_named(self) -> "NetworkConfig":
        for task, kind in self.kinds.items():
            if task not in self.outputs or not isinstance(kind.get("name"), str):
                raise ValueError(f"kinds.{task} is of no task that it predicts, or has no name")
        return self

    def options_as(self, kind: type[AnyOptions]) -> AnyOptions:
        """The options of the method's family.

        Raises:
            UserError: the cell gives the method another family.
        """
        if isinstance(self.options, kind):
            return self.options
        raise UserError(f"method '{self.method}' takes the options {kind.__name__}, but its cell says family '{self.family}'")
