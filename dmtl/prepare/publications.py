"""Getting what has been published (docs/data.md), as far as it can still be downloaded.

Downloads lie in the folder given as `downloads` (DMTL_DOWNLOADS or local.yaml), else in `data/raw/downloads`: each benchmark's
archives in `<benchmark>/`, what was unpacked of them in `<benchmark>/tree/`, mapping files in `mappings/`.
"""

from pathlib import Path

from dmtl.benchmarks import Benchmark, all_benchmarks
from dmtl.benchmarks.benchmark import Publication
from dmtl.errors import UserError, nearest
from dmtl.prepare.archives import ENDINGS, unpack
from dmtl.prepare.download import LARGEST, fetch

# torchvision's first ImageNet weights, which a pretrained trunk starts from; the names end with the first digits of the SHA-256.
WEIGHTS = {
    "resnet18": Publication(
        "resnet18-f37072fd.pth", "https://download.pytorch.org/models/resnet18-f37072fd.pth", 46830571, "f37072fd"
    ),
    "resnet50": Publication(
        "resnet50-0676ba61.pth", "https://download.pytorch.org/models/resnet50-0676ba61.pth", 102530333, "0676ba61"
    ),
}


def get_benchmark(downloads: Path, benchmark: Benchmark) -> Path:
    """The folder with a benchmark's raw files, downloaded and unpacked as far as they are not there.

    Raises:
        UserError: they cannot be downloaded, and are not there; or `fetch` and `unpack` say what is wrong.
    """
    folder, publication = downloads / benchmark.name, benchmark.archive
    if not (folder / "tree").is_dir() and not _by_hand(folder, benchmark):
        archives = archives_in(folder)
        if not archives and (publication is None or publication.url is None):
            raise UserError(
                f"{benchmark.name} cannot be downloaded: 'python -m dmtl data' says what to do; its archive belongs into {folder}"
            )
        unpack(archives or [_get(publication, downloads)], folder / "tree")
    return benchmark_folder(downloads, benchmark)


def benchmark_folder(downloads: Path, benchmark: Benchmark) -> Path:
    """Where a downloaded benchmark's raw files are, or will be: unpacked, or as someone put them there."""
    folder = downloads / benchmark.name
    return folder if _by_hand(folder, benchmark) else _innermost(folder / "tree")


def archives_in(folder: Path) -> list[Path]:
    """The archives that lie in a folder, in order."""
    return sorted(path for path in folder.glob("*") if path.name.endswith(ENDINGS))


def get_mappings(downloads: Path, benchmark: Benchmark) -> None:
    """XTC's mapping files of a benchmark below `downloads`, downloaded as far as they are not there, each checked."""
    for publication in benchmark.masks.files if benchmark.masks else ():
        _get(publication, downloads)


def get_weights() -> list[Path]:
    """torchvision's ImageNet weights of both backbones, where torchvision looks for them."""
    return [_get(publication, weights_folder()) for publication in WEIGHTS.values()]


def weights_folder() -> Path:
    """Where torchvision keeps weights (TORCH_HOME moves it)."""
    from torch.hub import get_dir

    return Path(get_dir()) / "checkpoints"


def get(downloads: Path, what: str) -> None:
    """Download a benchmark with its mapping files, what else one offers by a name, `mappings` of all, or `weights`.

    Raises:
        UserError: there is nothing of that name, or it cannot be downloaded.
    """
    benchmarks = {benchmark.name: benchmark for benchmark in all_benchmarks()}
    further = {name: files for benchmark in benchmarks.values() for name, files in benchmark.further.items()}
    if what == "weights":
        get_weights()
    elif what == "mappings":
        for benchmark in benchmarks.values():
            get_mappings(downloads, benchmark)
    elif what in further:
        for publication in further[what]:
            _get(publication, downloads)
    elif what in benchmarks:
        get_mappings(downloads, benchmarks[what])
        get_benchmark(downloads, benchmarks[what])
    else:
        raise UserError(f"nothing is known of '{what}'; {nearest(what, [*benchmarks, *further, 'mappings', 'weights'])}")


def _get(publication: Publication | None, folder: Path) -> Path:
    assert publication is not None
    assert publication.url is not None
    largest = 2 * publication.size if publication.size else LARGEST  # sizes of what is packed anew each time are rounded
    return fetch(publication.url, folder / publication.name, publication.sha256, largest=largest)


def _by_hand(folder: Path, benchmark: Benchmark) -> bool:
    """Whether a benchmark's files themselves were put there, rather than archives of them."""
    return any((folder / name).exists() for name in benchmark.unpacked)


def _innermost(tree: Path) -> Path:
    """The tree without the folders that hold nothing but one other."""
    while tree.is_dir() and len(inside := list(tree.iterdir())) == 1 and inside[0].is_dir():
        tree = inside[0]
    return tree
