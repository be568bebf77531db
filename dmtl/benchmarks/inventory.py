"""`python -m dmtl data`: of every benchmark what is there, what is missing and what that costs, and what was verified."""

from collections.abc import Generator, Iterator
from pathlib import Path

from dmtl.benchmarks.mappings import PUBLISHED, content_sha256, read_mapping
from dmtl.benchmarks.publications import ARCHIVES, BY_HAND, MAPPINGS, WEIGHTS, Publication, archives_in, weights_folder
from dmtl.benchmarks.raw import SPLITS, Raw, find_mapping
from dmtl.benchmarks.sources import downloads_path, file_record, local_path
from dmtl.config import Project, for_download
from dmtl.errors import UserError
from dmtl.files import read_json

IMAGES = {"pascal": (4998, 5105), "nyud": (795, 654), "cityscapes": (2975, 500)}  # of train and val, as published


def inventory(project: Project, verify: bool = False) -> str:
    """What is there of each benchmark that the project's scale names, of the label masks and of the ImageNet weights.

    Args:
        project: whose `scales.<scale>.data` says where things come from.
        verify: also hash every listed file again, which reads all of them.
    """
    lines: list[str] = []
    for name in project.block(f"scales.{project.paths.scale}.data"):
        raw = Raw(name, *for_download(project, name), project.paths)
        lines += [f"{name}: source {raw.data.source}", *(f"  {line}" for line in _benchmark(raw, verify))]
    return "\n".join([*lines, "ImageNet weights:", *(f"  {line}" for line in _weights())])


def _benchmark(raw: Raw, verify: bool) -> Iterator[str]:
    try:
        root = raw.location()
        missing = yield from _images(raw, root)
    except UserError as error:
        yield f"missing: {error}"
        missing = True
    synthetic = raw.data.source == "synthetic"
    if missing and not synthetic:
        yield from _how_to_get(raw)
    yield from _listed(raw, verify)
    yield from ["label masks: drawn with the seed"] if synthetic else _masks(raw)


def _images(raw: Raw, root: Path) -> Generator[str, None, bool]:
    """Lines on the images of each split; returns whether some are missing."""
    yield f"folder: {root}"
    synthetic = raw.data.source == "synthetic"
    if raw.data.source != "local" and not root.is_dir():
        yield "images: none yet, the download stage makes or gets them"
        return True
    incomplete = False
    for split, published in zip(SPLITS, IMAGES[raw.name], strict=True):
        ids = raw.ids(root, split)
        files = dict.fromkeys(file for k in ids for file in raw.module.files(root, split, k))
        absent = {file: None for file in files if not (root / file).is_file()}
        size = sum((root / file).stat().st_size for file in files if file not in absent)
        gap = f", files missing: {len(absent)}, such as {next(iter(absent))}" if absent else ""
        yield f"{split}: {len(ids)} {'' if synthetic else f'of {published} '}images, {_bytes(size)}{gap}"
        incomplete |= bool(absent) or (not synthetic and len(ids) < published)
    return incomplete


def _how_to_get(raw: Raw) -> Iterator[str]:
    folder = downloads_path(raw.paths.root) / raw.name
    waiting, publication = archives_in(folder), ARCHIVES[raw.name]
    if waiting:
        yield f"to unpack: {', '.join(path.name for path in waiting)} in {folder}"
    elif publication.url:
        yield f"to get (size {_bytes(publication.size)}): python -m dmtl data --get {raw.name}, from {publication.url}"
    for line in BY_HAND[raw.name]:
        yield f"  {line.format(folder=folder)}"


def _listed(raw: Raw, verify: bool) -> Iterator[str]:
    manifest = raw.paths.manifest(raw.name)
    if not manifest.is_file():
        yield f"verified: nothing yet; python stages/download.py {raw.name} lists every file with its SHA-256"
        return
    files = read_json(manifest)["files"]
    yield f"verified: {len(files)} files were listed with their SHA-256 in {manifest}; shards are built from just those"
    if verify:
        root = raw.location()
        changed = [name for name, record in files.items() if not _same(root / name, record)]
        yield f"verified now: {len(files) - len(changed)} unchanged" + (f", {len(changed)} not, {changed[0]}" if changed else "")


def _same(path: Path, record: dict[str, object]) -> bool:
    try:
        return file_record(path) == record
    except UserError:
        return False


def _masks(raw: Raw) -> Iterator[str]:
    for setting in ("onelabel", "randomlabels"):
        try:
            local = raw.data.source == "local"
            folder = local_path(raw.paths.root, "mappings") if local else downloads_path(raw.paths.root) / "mappings"
            digest = content_sha256(mapping := read_mapping(find_mapping(folder, raw.name, setting)))
        except UserError as error:
            yield f"label masks, {setting}: missing ({error})"
            size = sum(file.size or 0 for file in MAPPINGS[raw.name])
            yield f"  to get ({_bytes(size)}): python -m dmtl data --get mappings"
        else:
            kind = "as published, verified" if digest == PUBLISHED[raw.name, setting] else "NOT the published one"
            yield f"label masks, {setting}: {kind}, SHA-256 {digest[:12]}..., {mapping.source}"


def _weights() -> Iterator[str]:
    for backbone, publication in WEIGHTS.items():
        yield f"{backbone}: {_file(publication, weights_folder())}"


def _file(publication: Publication, folder: Path) -> str:
    path = folder / publication.name
    if not path.is_file():
        return f"missing ({_bytes(publication.size)}): python -m dmtl data --get weights"
    verified = str(file_record(path)["sha256"]).startswith(str(publication.sha256))
    return f"{path}, {'verified' if verified else 'NOT the published file: delete it'}"


def _bytes(size: int | None) -> str:
    """A number of bytes as people read it."""
    if size is None:
        return "unknown"
    for unit, digits in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {digits}"
    return f"{size} bytes"
