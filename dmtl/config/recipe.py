"""The blocks of `scales` and `optim`: data, how every method is trained on a benchmark, how losses are balanced."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from dmtl.config.blocks import AboveZero, Block, Name, Positive, Processes, Width, ZeroOrMore, Zooms

Side = Annotated[int, Field(ge=32, le=8192)]  # the backbone halves it five times
Size = Annotated[tuple[Side, Side], Field(strict=False)]  # (height, width)


Share = Annotated[float, Field(gt=0, le=16)]  # of an image's side


def _rising(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError("the first is larger than the second: give [from, to]")
    return span


class Data(Block):
    """`scales.<scale>.data.<benchmark>`: where raw files come from and what the shards hold."""

    source: Literal["synthetic", "local", "download"]
    size: Size  # of the images in the shards, pixels
    train: Positive | None  # synthetic: how many scenes; else: how many of the images at most (null: all)
    val: Positive | None

    @model_validator(mode="after")
    def _counts(self) -> "Data":
        if self.source == "synthetic" and (self.train is None or self.val is None):
            raise ValueError("source synthetic needs the number of scenes: train and val")
        return self


class ScaleCrop(Block):
    """MTAN's and XTC's augmentation: a random zoom at full size, then a flip."""

    kind: Literal["scale_crop"]
    zooms: Zooms
    flip: bool


class ScalePadCrop(Block):
    """ATRC's augmentation: random scale, crop to the shard's size, flip, photometric distortion, padding."""

    kind: Literal["scale_pad_crop"]
    scales: Annotated[tuple[Share, Share], Field(strict=False), AfterValidator(_rising)]  # from, to
    cat_max_ratio: Annotated[float, Field(gt=0, le=1)]  # a crop is redrawn while one class has a larger share of it
    crop_by_hidden_label: bool  # as released, crops are tested with hidden class maps too: a small label leak
    flip: bool
    photometric: bool


Augmentation = Annotated[ScaleCrop | ScalePadCrop, Field(discriminator="kind")]


class Recipe(Block):
    """`scales.<scale>.train.<benchmark>`: network size and recipe of every method on one benchmark (the paper's A.2)."""

    width: Width  # channels after the fusion and in every decoder and denoiser
    pretrained: bool  # ImageNet weights for the backbone
    epochs: Positive
    batch: Annotated[int, Field(ge=1, le=65536)]
    learning_rate: AboveZero
    weight_decay: ZeroOrMore
    clip: AboveZero  # largest norm of the gradient
    poly_power: ZeroOrMore  # learning rate times (1 - epoch / epochs) ** poly_power
    precision: Literal["32-true", "bf16-mixed"]
    augmentation: Augmentation
    workers: Processes  # loading processes
    threads: (
        Annotated[int, Field(ge=1, le=1024)] | None
    )  # of the CPU; another number gives other last digits; null: as many as the machine has cores
    devices: Annotated[int, Field(ge=1, le=256)]  # of one machine; together they train the batch
    strategy: Literal["auto", "ddp"]  # auto: ddp where there are several devices
    compile: bool | Literal["reduce-overhead"]  # torch.compile of trunk and decoders; the latter also by CUDA graphs
    task_weights: dict[Name, ZeroOrMore]


class Uncertainty(Block):
    """`optim.uncertainty`: learned log-variances."""

    learning_rate: AboveZero  # Adam's, the same in every epoch


class Cagrad(Block):
    """`optim.cagrad`: conflict-averse descent."""

    c: ZeroOrMore  # radius about the mean gradient, as a share of its norm


class Dibs(Block):
    """`optim.dibs`: DiBS-MTL (docs/methods.md, "Balancing")."""

    iterations: Annotated[int, Field(ge=1, le=10_000)]
    rate: AboveZero  # of each iteration, as a share of the ball's radius


class Optim(Block):
    """`optim`: how the losses of several tasks become one gradient, in every training."""

    label_balance: Literal["per_image", "none"]  # T / |L_i| for the losses of image i, or 1
    balance: Literal["fixed", "uncertainty", "isolation", "pcgrad", "mgda", "imtl_g", "aligned_mtl", "cagrad", "upgrad", "dibs"]
    uncertainty: Uncertainty
    cagrad: Cagrad
    dibs: Dibs
