"""The boundary metric on folders of files: 8-bit boundary maps against label maps, and per-image counts as text."""

import functools
import os
from pathlib import Path

import numpy as np

from dmtl.errors import UserError
from dmtl.metrics.boundary import MAX_DIST, THRESHOLDS, BoundaryCounts, boundary_counts, summarise
from dmtl.parallel import in_order
from dmtl.reading.images import opened

COUNTS_SUFFIX = ".counts.tsv"
_COLUMNS = ("threshold", "matched_gt", "gt", "matched_pred", "pred")
_LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B")

AnyPath = str | os.PathLike[str]


def evaluate_folders(
    soft_dir: AnyPath,
    label_dir: AnyPath,
    counts_dir: AnyPath | None = None,
    workers: int = 1,
    max_dist: float = MAX_DIST,
) -> dict[str, float]:
    """ODS, OIS and AP of a folder of boundary maps against a folder of label maps.

    soft_dir: 8-bit gray PNGs; label_dir: PNGs of the same names and sizes, 1 to 16 bits gray or with a palette;
    counts_dir: where `<name>.counts.tsv` of each image goes, made if missing; workers: processes, whose number does not change
    the result; max_dist: see `boundary_counts`.

    Returns what `summarise` does, and `images`. Raises UserError, naming the file, for a name that only one folder holds, for a
    file that is no such PNG, and for all that `boundary_counts` refuses.
    """
    names = _paired_names(Path(soft_dir), Path(label_dir))
    if workers < 1:
        raise UserError(f"workers is {workers}; give 1 or more processes")
    counts_to = None if counts_dir is None else _make_folder(Path(counts_dir))
    score_one = functools.partial(_score_files, Path(soft_dir), Path(label_dir), counts_to, max_dist)
    return {**summarise(in_order(score_one, names, "odsF", workers)), "images": len(names)}


def _score_files(soft_dir: Path, label_dir: Path, counts_dir: Path | None, max_dist: float, name: str) -> BoundaryCounts:
    soft = _read_png(soft_dir / name, ("L",), "an 8-bit gray boundary map")
    label = _read_png(label_dir / name, _LABEL_MODES, "a gray or palette label map")
    try:
        counts = boundary_counts(soft, label, max_dist)
    except UserError as error:
        raise UserError(f"{soft_dir / name}: {error}") from None
    if counts_dir is not None:
        write_counts(counts_dir / (Path(name).stem + COUNTS_SUFFIX), counts)
    return counts


def _paired_names(soft_dir: Path, label_dir: Path) -> list[str]:
    """File names of the PNGs, which must be the same in both folders."""
    soft, label = _png_names(soft_dir), _png_names(label_dir)
    if not soft:
        raise UserError(f"{soft_dir} holds no .png file; give the folder of boundary maps")
    for there, names, missing_in in ((soft_dir, soft - label, label_dir), (label_dir, label - soft, soft_dir)):
        if names:
            raise UserError(f"{missing_in} lacks {min(names)}, which {there} holds ({len(names)} such); both need the same names")
    return sorted(soft)


def _png_names(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give a folder of PNG files")
    return {path.name for path in folder.glob("*.png")}


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder} ({error.strerror}); name another for the counts") from None
    return folder


def _read_png(path: Path, modes: tuple[str, ...], expected: str) -> np.ndarray:
    try:
        with opened(path, ("PNG",)) as image:
            mode, array = image.mode, np.asarray(image)
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(f"{path} cannot be read as an image ({' '.join(str(error).split())[:160]}); write it again") from None
    if mode not in modes:
        raise UserError(f"{path} has image mode {mode} ({array.dtype}, shape {array.shape}), not that of {expected}; convert it")
    return array


def write_counts(path: AnyPath, counts: BoundaryCounts) -> None:
    """Write one image's counts as tab-separated text, a row per threshold: threshold, matched_gt, gt, matched_pred, pred.

    The file appears whole or not at all. Raises UserError where it cannot be written.
    """
    rows = ["\t".join(_COLUMNS)]
    for threshold, matched, predicted in zip(THRESHOLDS, counts.matched, counts.predicted, strict=True):
        rows.append(f"{threshold:.3f}\t{matched}\t{counts.truth}\t{matched}\t{predicted}")
    temporary = Path(f"{os.fspath(path)}.{os.getpid()}.tmp")
    try:
        temporary.write_text("\n".join(rows) + "\n", encoding="ascii", newline="\n")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written ({error.strerror}); name another place for the counts") from None
