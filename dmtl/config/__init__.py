"""params.yaml and grid.yaml as frozen, validated objects.

No value has a default here: what a run uses stands in the two files, where DVC tracks it. Each stage of the pipeline has one
loader (`for_download`, `for_shards`, ...), which reads only the blocks that dvc.yaml declares for that stage; a test holds the
two together.
"""

from dmtl.config.blocks import Block
from dmtl.config.grid import SETTINGS, Cell, Grid
from dmtl.config.methods import (
    FAMILIES,
    IMAGENET,
    Condition,
    Consistency,
    Diffusion,
    DiffusionNetwork,
    InfoTerms,
    JointTask,
    Latent,
    LatentVae,
    MultiScale,
    NetworkConfig,
    Normalisation,
    Plain,
    Representation,
    StableMtl,
    StepIntervals,
    TaskAttention,
)
from dmtl.config.own import Collection, Drawn, Lists, OwnBenchmark, OwnTask, TaskFiles
from dmtl.config.project import (
    Paths,
    Project,
    TrainingConfig,
    default_steps,
    for_download,
    for_report,
    for_shards,
    for_training,
    load_own,
    resolve,
)
from dmtl.config.recipe import Augmentation, Data, Optim, Recipe, ScaleCrop, ScalePadCrop
from dmtl.config.yaml_file import load_yaml, until_changed

__all__ = [
    "FAMILIES",
    "IMAGENET",
    "SETTINGS",
    "Augmentation",
    "Block",
    "Cell",
    "Collection",
    "Condition",
    "Consistency",
    "Data",
    "Diffusion",
    "DiffusionNetwork",
    "Drawn",
    "Grid",
    "InfoTerms",
    "JointTask",
    "Latent",
    "LatentVae",
    "Lists",
    "MultiScale",
    "NetworkConfig",
    "Normalisation",
    "Optim",
    "OwnBenchmark",
    "OwnTask",
    "Paths",
    "Plain",
    "Project",
    "Recipe",
    "Representation",
    "ScaleCrop",
    "ScalePadCrop",
    "StableMtl",
    "StepIntervals",
    "TaskAttention",
    "TaskFiles",
    "TrainingConfig",
    "default_steps",
    "for_download",
    "for_report",
    "for_shards",
    "for_training",
    "load_own",
    "load_yaml",
    "resolve",
    "until_changed",
]
