"""NYUD-v2: three tasks on indoor scenes (docs/data.md)."""

from dmtl.benchmarks.benchmark import Benchmark, Publication, PublishedMasks, xtc_file
from dmtl.benchmarks.nyud import files, furniture, rooms
from dmtl.benchmarks.shared import raycast, scene, things
from dmtl.tasks import task

_META = "https://raw.githubusercontent.com/ankurhanda/nyuv2-meta-data/HEAD"
_LABELED = "https://horatio.cs.nyu.edu/mit/silberman/nyu_depth_v2/nyu_depth_v2_labeled.mat"

MASKS = PublishedMasks(
    folders=("nyud", "nyuv2_settings", "nyud_low"),
    files=(
        xtc_file("nyuv2_settings/onelabel.pth", 9908, "757b3a95e1bc5145c1e72a783a489539f4c52004de338cb9798d8e227df6f389"),
        xtc_file("nyuv2_settings/randomlabels.pth", 9908, "54e7bcbb739bb071d097fd77e4654ab830daeea41730fadaf0a4741ac7436a12"),
    ),
    sha256={
        "onelabel": "adfc42b70d176abb2b80ac503d0f37beae1e7af9dbaa216036030e30058c82b8",
        "randomlabels": "6ec748932e622aa45d1c9c8e38fbcf6308523d6c9f2584ef73fd86e933df9c00",
    },
    labels={"onelabel": (265, 265, 265), "randomlabels": (392, 408, 385)},
    numbered=True,
)

BENCHMARK = Benchmark(
    name="nyud",
    title="NYUD",
    tasks=(
        task(
            "semseg",
            classes=files.CLASSES,
            colours="663399 ff66cc ccff99 ff3300 990000 999966 cc66ff 66ff00 000033 993366 330000 ffcccc 0033ff",
        ),
        task("depth", 1),
        task("normals", 3),
    ),
    fit="resize",
    ids=files.ids,
    files=files.files,
    read=files.read,
    synthesise=rooms.write_tree,
    scenes=(furniture, rooms, scene, things, raycast),
    images={"train": 795, "val": 654},
    archive=Publication("nyud/nyuv2.zip", "https://www.dropbox.com/sh/86nssgwm6hm3vkb/AACrnUQ4GxpdrBbLjb6n-mWNa?dl=1"),
    further={
        "nyud-primary": (
            Publication("nyud/splits.mat", f"{_META}/splits.mat"),
            Publication("nyud/classMapping40.mat", f"{_META}/classMapping40.mat"),
            Publication("nyud/nyu_depth_v2_labeled.mat", _LABELED, 2_800_000_000),
        )
    },
    unpacked=("nyu_depth_v2_labeled.mat", "train"),
    masks=MASKS,
    by_hand=(
        "If Dropbox answers no more: python -m dmtl data --get nyud-primary, which gets nyu_depth_v2_labeled.mat (2.8 GB),",
        "splits.mat and classMapping40.mat; by hand, of https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html",
        "and https://github.com/ankurhanda/nyuv2-meta-data, all three into {folder}.",
    ),
)
