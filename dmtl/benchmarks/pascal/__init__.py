"""PASCAL-Context: five tasks on photos of any size (docs/data.md)."""

from dmtl.benchmarks.benchmark import Benchmark, Publication, PublishedMasks, ReleasedModel, xtc_file
from dmtl.benchmarks.pascal import encode, files, people, scenes, subjects
from dmtl.benchmarks.shared import raycast, scene, things
from dmtl.tasks import task

MASKS = PublishedMasks(
    folders=("pascal", "pascal_settings"),
    files=(
        xtc_file("pascal_settings/onelabel.npy", 574492, "527915d7728b4e9c39ec3651a54c68c1a37851108024e5f715150b049d62681e"),
        xtc_file("pascal_settings/randomlabels.npy", 1239323, "65247182ffdcc79e6c6be54ad2332cd4a2fa3b1d013305a02dd204b0e3f68a79"),
    ),
    sha256={
        "onelabel": "48b67e8d7f0fe72af18fff1ce5fcdde44a987358a7a9f5d2bf1a96d938f16b58",
        "randomlabels": "cdf992b830a99107ef9863a99d86bf9b187b55d243acf7fd8c6a0ef02f07ca9a",
    },
    # In the random-label setting human parts are only given to images that show people.
    labels={"onelabel": (1000, 999, 1000, 1000, 999), "randomlabels": (2450, 847, 2445, 2480, 2557)},
    task_names={"saliency": "sal", "boundary": "edge"},
    remarks={
        "randomlabels": "The paper prints semseg 450 and human parts 2553 for this file: 450 lacks its first digit, and 2553 is "
        "the number of images without saliency (4998 - 2445)."
    },
)

BENCHMARK = Benchmark(
    name="pascal",
    title="PASCAL",
    tasks=(
        task("semseg", classes=files.CLASSES),
        task("human_parts", classes=files.PARTS, colours="000000 e69f00 56b4e9 009e73 f0e442 0072b2 d55e00"),  # Okabe and Ito
        task("saliency", 2),
        task("normals", 3),
        task("boundary", 1),
    ),
    fit="pad",
    ids=files.ids,
    files=files.files,
    read=files.read,
    synthesise=scenes.write_tree,
    scenes=(scenes, subjects, people, encode, scene, things, raycast),
    images={"train": 4998, "val": 5105},
    archive=Publication("pascal/PASCALContext.tar.gz"),
    unpacked=("ImageSets",),
    masks=MASKS,
    by_hand=(
        "The archives at ETH (PASCAL_MT.tgz, PASCALContext.tar.gz) answer no more; a mirror by the authors of DiffusionMTL:",
        "https://hkustconnect-my.sharepoint.com/:u:/g/personal/hyeae_connect_ust_hk/ER57KyZdEdxPtgMCai7ioV0BXCmAhYzwFftCwkTiMmuM7w?e=2Ex4ab",
        "Open it in a browser and put the archive as it is into {folder}.",
        "Other re-uploads are known to be corrupt, or to lack normals_distill and sal_distill.",
    ),
    boundary_list=files.boundary_list,
    released=ReleasedModel("pascal-onelabel-diffusion_feature", (512, 512)),
)
