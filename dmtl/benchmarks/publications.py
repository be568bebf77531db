"""What has been published where, as far as it can still be had (datasets-and-metrics 1.1 to 1.4), and getting it.

Downloads lie in the folder given as `downloads` (DMTL_DOWNLOADS or local.yaml), else in `data/raw/downloads`: each benchmark's
archives in `<benchmark>/`, what was unpacked of them in `<benchmark>/tree/`, label masks in `mappings/`.
"""

from dataclasses import dataclass
from pathlib import Path

from dmtl.benchmarks.archives import ENDINGS, unpack
from dmtl.benchmarks.download import fetch
from dmtl.errors import UserError, nearest

_XTC = "https://raw.githubusercontent.com/VICO-UoE/MTPSL/HEAD/data"


@dataclass(frozen=True)
class Publication:
    """One file as someone publishes it.

    Attributes:
        name: where it is kept, below the downloads folder.
        url: where it is fetched from; None if only by hand.
        size: bytes; None if unknown.
        sha256: hexadecimal, or its first digits; None if unknown.
    """

    name: str
    url: str | None = None
    size: int | None = None
    sha256: str | None = None


ARCHIVES = {
    "pascal": Publication("pascal/PASCALContext.tar.gz"),
    "nyud": Publication("nyud/nyuv2.zip", "https://www.dropbox.com/sh/86nssgwm6hm3vkb/AACrnUQ4GxpdrBbLjb6n-mWNa?dl=1"),
    "cityscapes": Publication(
        "cityscapes/cityscapes.zip", "https://www.dropbox.com/sh/gaw6vh6qusoyms6/AADwWi0Tp3E3M4B2xzeGlsEna?dl=1", 651_000_000
    ),
}
_NYU_META = "https://raw.githubusercontent.com/ankurhanda/nyuv2-meta-data/HEAD"
NYUD_PRIMARY = (
    Publication("nyud/splits.mat", f"{_NYU_META}/splits.mat"),
    Publication("nyud/classMapping40.mat", f"{_NYU_META}/classMapping40.mat"),
    Publication(
        "nyud/nyu_depth_v2_labeled.mat",
        "http://horatio.cs.nyu.edu/mit/silberman/nyu_depth_v2/nyu_depth_v2_labeled.mat",
        2_800_000_000,
    ),
)
MAPPINGS = {
    "pascal": (
        Publication(
            "mappings/pascal_settings/onelabel.npy",
            f"{_XTC}/pascal_settings/onelabel.npy",
            574492,
            "527915d7728b4e9c39ec3651a54c68c1a37851108024e5f715150b049d62681e",
        ),
        Publication(
            "mappings/pascal_settings/randomlabels.npy",
            f"{_XTC}/pascal_settings/randomlabels.npy",
            1239323,
            "65247182ffdcc79e6c6be54ad2332cd4a2fa3b1d013305a02dd204b0e3f68a79",
        ),
    ),
    "nyud": (
        Publication(
            "mappings/nyuv2_settings/onelabel.pth",
            f"{_XTC}/nyuv2_settings/onelabel.pth",
            9908,
            "757b3a95e1bc5145c1e72a783a489539f4c52004de338cb9798d8e227df6f389",
        ),
        Publication(
            "mappings/nyuv2_settings/randomlabels.pth",
            f"{_XTC}/nyuv2_settings/randomlabels.pth",
            9908,
            "54e7bcbb739bb071d097fd77e4654ab830daeea41730fadaf0a4741ac7436a12",
        ),
    ),
    "cityscapes": (
        Publication(
            "mappings/cityscapes_settings/onelabel.pth",
            f"{_XTC}/cityscapes_settings/onelabel.pth",
            24168,
            "3ded35572b875fc36865354418b7f3c1ef23628d00987f8b5d260de8f0aa90d0",
        ),
    ),
}
# torchvision's first ImageNet weights, which a pretrained trunk starts from; the names end with the first digits of the SHA-256.
WEIGHTS = {
    "resnet18": Publication(
        "resnet18-f37072fd.pth", "https://download.pytorch.org/models/resnet18-f37072fd.pth", 46830571, "f37072fd"
    ),
    "resnet50": Publication(
        "resnet50-0676ba61.pth", "https://download.pytorch.org/models/resnet50-0676ba61.pth", 102530333, "0676ba61"
    ),
}
# What to do where a login or a dead link stands in the way, a line each.
BY_HAND = {
    "pascal": (
        "The archives at ETH (PASCAL_MT.tgz, PASCALContext.tar.gz) answer no more; a mirror by the authors of DiffusionMTL:",
        "https://hkustconnect-my.sharepoint.com/:u:/g/personal/hyeae_connect_ust_hk/ER57KyZdEdxPtgMCai7ioV0BXCmAhYzwFftCwkTiMmuM7w?e=2Ex4ab",
        "Open it in a browser and put the archive as it is into {folder}.",
        "Other re-uploads are known to be corrupt, or to lack normals_distill and sal_distill.",
    ),
    "nyud": (
        "If Dropbox answers no more: python -m dmtl data --get nyud-primary, which gets nyu_depth_v2_labeled.mat (2.8 GB),",
        "splits.mat and classMapping40.mat; by hand, of https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html",
        "and https://github.com/ankurhanda/nyuv2-meta-data, all three into {folder}.",
    ),
    "cityscapes": (
        "If Dropbox answers no more: https://www.cityscapes-dataset.com/downloads needs a login and forbids passing files on.",
        "Take leftImg8bit_trainvaltest.zip (11 GB), gtFine_trainvaltest.zip (241 MB) and disparity_trainvaltest.zip (3.5 GB),",
        "and put them as they are into {folder}.",
    ),
}


def get_benchmark(downloads: Path, benchmark: str) -> Path:
    """The folder with a benchmark's raw files, downloaded and unpacked as far as they are not there.

    Raises:
        UserError: they can only be had by hand, and are not there; or `fetch` and `unpack` say what is wrong.
    """
    folder, publication = downloads / benchmark, ARCHIVES[benchmark]
    if not (folder / "tree").is_dir() and not _by_hand(folder):
        archives = archives_in(folder)
        if not archives and publication.url is None:
            say = "python -m dmtl data"
            raise UserError(f"{benchmark} can only be had by hand: '{say}' says from where; its archive belongs into {folder}")
        unpack(archives or [_get(publication, downloads)], folder / "tree")
    return benchmark_folder(downloads, benchmark)


def benchmark_folder(downloads: Path, benchmark: str) -> Path:
    """Where a downloaded benchmark's raw files are, or will be: unpacked, or as someone put them there."""
    folder = downloads / benchmark
    return folder if _by_hand(folder) else _innermost(folder / "tree")


def archives_in(folder: Path) -> list[Path]:
    """The archives that lie in a folder, in order."""
    return sorted(path for path in folder.glob("*") if path.name.endswith(ENDINGS))


def get_mappings(downloads: Path, benchmark: str) -> Path:
    """The folder with XTC's label masks of a benchmark, downloaded as far as they are not there, each checked."""
    for publication in MAPPINGS[benchmark]:
        _get(publication, downloads)
    return downloads / "mappings"


def get_weights() -> list[Path]:
    """torchvision's ImageNet weights of both backbones, where torchvision looks for them."""
    return [_get(publication, weights_folder()) for publication in WEIGHTS.values()]


def weights_folder() -> Path:
    """Where torchvision keeps weights (TORCH_HOME moves it)."""
    from torch.hub import get_dir

    return Path(get_dir()) / "checkpoints"


def get(downloads: Path, what: str) -> None:
    """Download a benchmark with its label masks, or `nyud-primary`, or `mappings` of all, or `weights`.

    Raises:
        UserError: there is nothing of that name, or it cannot be had.
    """
    if what == "weights":
        get_weights()
    elif what == "nyud-primary":
        for publication in NYUD_PRIMARY:
            _get(publication, downloads)
    elif what == "mappings":
        for benchmark in MAPPINGS:
            get_mappings(downloads, benchmark)
    elif what in ARCHIVES:
        get_mappings(downloads, what)
        get_benchmark(downloads, what)
    else:
        raise UserError(f"nothing is known of '{what}'; {nearest(what, [*ARCHIVES, 'nyud-primary', 'mappings', 'weights'])}")


def _get(publication: Publication, folder: Path) -> Path:
    assert publication.url is not None
    return fetch(publication.url, folder / publication.name, publication.sha256)


def _by_hand(folder: Path) -> bool:
    """Whether a benchmark's files themselves were put there, rather than archives of them."""
    return any((folder / name).exists() for name in ("nyu_depth_v2_labeled.mat", "leftImg8bit", "ImageSets", "train"))


def _innermost(tree: Path) -> Path:
    """The tree without the folders that hold nothing but one other."""
    while tree.is_dir() and len(inside := list(tree.iterdir())) == 1 and inside[0].is_dir():
        tree = inside[0]
    return tree
