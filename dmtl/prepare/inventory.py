"""`python -m dmtl data`: of every benchmark what is there, what is missing and what that costs, and what was verified."""

from collections.abc import Generator, Iterator
from pathlib import Path

from dmtl.benchmarks.benchmark import Publication
from dmtl.config import Project, for_download
from dmtl.config.records import read_manifest
from dmtl.errors import UserError
from dmtl.prepare.label_masks import content_sha256
from dmtl.prepare.mapping_files import read_mapping
from dmtl.prepare.obtain import SPLITS, Raw
from dmtl.prepare.places import downloads_path, file_record
from dmtl.prepare.publications import WEIGHTS, archives_in, weights_folder


def inventory(project: Project, verify: bool = False) -> str:
    """What is there of each benchmark that the project's scale names, of the label masks and of the ImageNet weights.

    Args:
        project: whose `scales.<scale>.data` says where things come from.
        verify: also hash every listed file again, which reads all of them.
    """
    lines: list[str] = []
    own = project.own
    for name in [own.name] if own else project.block(f"scales.{project.paths.scale}.data"):
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
    if missing and not raw.synthetic:
        yield from _how_to_get(raw)
    yield from _listed(raw, verify)
    yield from ["label masks: drawn with the seed"] if raw.synthetic else _masks(raw)


def _images(raw: Raw, root: Path) -> Generator[str, None, bool]:
    """Lines on the images of each split; returns whether some are missing."""
    yield f"folder: {root}"
    if raw.data.source != "local" and not root.is_dir():
        yield "images: none yet, the download stage makes or gets them"
        return True
    incomplete = False
    for split in SPLITS:
        ids, published = raw.ids(root, split), 0 if raw.synthetic else raw.benchmark.images.get(split, 0)
        files = dict.fromkeys(file for k in ids for file in raw.benchmark.files(root, split, k))
        paths = {file: raw.benchmark.place(root, file) for file in files}
        absent = {file: None for file, path in paths.items() if not path.is_file()}
        size = sum(path.stat().st_size for file, path in paths.items() if file not in absent)
        gap = f", files missing: {len(absent)}, such as {next(iter(absent))}" if absent else ""
        yield f"{split}: {len(ids)} {f'of {published} ' if published else ''}images, {_bytes(size)}{gap}"
        incomplete |= bool(absent) or len(ids) < published
    return incomplete


def _how_to_get(raw: Raw) -> Iterator[str]:
    folder = downloads_path(raw.paths.root) / raw.name
    waiting, publication = archives_in(folder), raw.benchmark.archive
    if waiting:
        yield f"to unpack: {', '.join(path.name for path in waiting)} in {folder}"
    elif publication and publication.url:
        yield f"to get (size {_bytes(publication.size)}): python -m dmtl data --get {raw.name}, from {publication.url}"
    for line in raw.benchmark.by_hand:
        yield f"  {line.format(folder=folder)}"


def _listed(raw: Raw, verify: bool) -> Iterator[str]:
    manifest = raw.paths.manifest(raw.name)
    if not manifest.is_file():
        yield f"verified: nothing yet; python stages/download.py {raw.name} lists every file with its SHA-256"
        return
    files = read_manifest(manifest)["files"]
    yield f"verified: {len(files)} files were listed with their SHA-256 in {manifest}; shards are built from just those"
    if verify:
        root = raw.location()
        changed = [name for name, record in files.items() if not _same(raw.benchmark.place(root, name), record)]
        yield f"verified now: {len(files) - len(changed)} unchanged" + (f", {len(changed)} not, {changed[0]}" if changed else "")


def _same(path: Path, record: dict[str, object]) -> bool:
    try:
        return file_record(path) == record
    except UserError:
        return False


def _masks(raw: Raw) -> Iterator[str]:
    masks = raw.benchmark.masks
    for setting in raw.benchmark.settings:
        if setting in ("full", "given"):
            continue
        try:
            path = raw.mapping_file(setting)
            mask = read_mapping(path, raw.benchmark) if path else None
        except UserError as error:
            yield f"label masks, {setting}: missing ({error})"
            if masks:
                yield f"  to get ({_bytes(sum(file.size or 0 for file in masks.files))}): python -m dmtl data --get mappings"
            continue
        if mask is None:
            yield f"label masks, {setting}: drawn with the seed"
            continue
        sha256 = content_sha256(mask)
        origin = "the user's own" if masks is None else "NOT the published one"
        if masks and sha256 == masks.sha256[setting]:
            origin = "as published, verified"
        yield f"label masks, {setting}: {origin}, SHA-256 {sha256[:12]}..., {mask.source}"


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
