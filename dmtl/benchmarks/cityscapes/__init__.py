"""Cityscapes: two tasks on street scenes (docs/data.md)."""

from dmtl.benchmarks.benchmark import Benchmark, Publication, PublishedMasks, xtc_file
from dmtl.benchmarks.cityscapes import files, streets, traffic
from dmtl.benchmarks.shared import raycast, scene, things
from dmtl.tasks import task

_DROPBOX = "https://www.dropbox.com/sh/gaw6vh6qusoyms6/AADwWi0Tp3E3M4B2xzeGlsEna?dl=1"
_FILE = "3ded35572b875fc36865354418b7f3c1ef23628d00987f8b5d260de8f0aa90d0"
_MASK, _COUNTS = "90083d8778f066db16ca6d81659a540a92fbedd01252d0a50e0505d2a3ab6ebd", (1487, 1488)

MASKS = PublishedMasks(  # with two tasks both settings are the same, and one file is published
    folders=("cityscapes", "cityscapes_settings"),
    files=(xtc_file("cityscapes_settings/onelabel.pth", 24168, _FILE),),
    sha256={"onelabel": _MASK, "randomlabels": _MASK},
    labels={"onelabel": _COUNTS, "randomlabels": _COUNTS},
    numbered=True,
    published_as={"randomlabels": "onelabel"},
)

BENCHMARK = Benchmark(
    name="cityscapes",
    title="Cityscapes",
    tasks=(
        task(
            "semseg",
            classes=files.CLASSES,
            colours="804080 464646 999999 6b8e23 4682b4 dc143c 00008e",  # road, building, pole, vegetation, sky, person, car
        ),
        task("depth", 1, high=0.5, largest_error=0.05, unit="disparity / 65535"),
    ),
    fit="resize",
    ids=files.ids,
    files=files.files,
    read=files.read,
    synthesise=streets.write_tree,
    scenes=(streets, traffic, scene, things, raycast),
    images={"train": 2975, "val": 500},
    archive=Publication("cityscapes/cityscapes.zip", _DROPBOX, 651_000_000),
    unpacked=("leftImg8bit", "train"),
    masks=MASKS,
    by_hand=(
        "If Dropbox answers no more: https://www.cityscapes-dataset.com/downloads needs a login and forbids passing files on.",
        "Take leftImg8bit_trainvaltest.zip (11 GB), gtFine_trainvaltest.zip (241 MB) and disparity_trainvaltest.zip (3.5 GB),",
        "and put them as they are into {folder}.",
    ),
)
