"""`dmtl init`: look at the data, say what is there, write a project; or look again and say what has changed."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dmtl.benchmarks.folder.guess import guess
from dmtl.config import OwnBenchmark, load_own
from dmtl.config.blocks import validated
from dmtl.errors import UserError
from dmtl.files import read_json, write_json
from dmtl.init.look import Look, Seen, look, splits_of, twice
from dmtl.init.recipe import Machine, Plan, plan
from dmtl.init.report import changes, table
from dmtl.init.write import INVENTORY, write_project
from dmtl.prepare.places import local_path

SHOWN = 10  # faults and notes of a kind
FEW = 5  # labels of a task


def run(folder: Path, data: Sequence[Path] | None, dry: bool, skip_broken: bool) -> None:
    """Make a project in `folder` of the collections in `data`; without those look at its own again.

    Raises:
        UserError: nothing can be made of what is there; the line says what to do.
    """
    if data is None:
        _again(folder, dry, skip_broken)
    else:
        _make(folder, data, dry, skip_broken)


def _make(folder: Path, data: Sequence[Path], dry: bool, skip_broken: bool) -> None:
    if folder.exists():
        raise UserError(f"{folder} exists: take another name, or leave --data out to look at its images again")
    places = _collections(folder, data)
    looks = {name: look(path, splits_of(path)) for name, path in places.items()}
    own, notes = described(_name(folder.name), looks, skip_broken)
    chosen = plan(_sizes(looks), _count(looks, "train"), list(own["tasks"]), Machine.here())
    own |= {"size": list(chosen.size), "fit": chosen.fit}
    own = {key: own[key] for key in ("name", "title", "size", "fit", "tasks", "collections")}
    print(table(looks, own))
    _tell([*notes, *_scarce(looks), *(note for one in looks.values() for note in one.notes)], "to check")
    _require_sound(looks, skip_broken)
    validated(OwnBenchmark, own, "benchmark.yaml")
    _print_plan(chosen, looks)
    if dry:
        print(f"nothing was written; without --dry-run this makes {folder}/")
        return
    write_project(folder, own, chosen, places, inventory(looks))
    print(f"made {folder}/: read {folder}/benchmark.yaml, then run\n  cd {folder} && dvc repro")


def _again(folder: Path, dry: bool, skip_broken: bool) -> None:
    own = load_own(folder)
    if own is None:
        raise UserError(f"{folder} is no project of own images: name the folders of the images with --data")
    looks = {}
    for name, collection in own.collections.items():
        folders = [files.folder for files in collection.tasks.values()]
        looks[name] = look(local_path(folder, name), collection, folders)
    print(table(looks, own.model_dump(mode="json")))
    _tell([note for one in looks.values() for note in one.notes], "to check")
    if skip_broken and any(one.broken for one in looks.values()):
        raise UserError(
            "list broken images under 'skip' in benchmark.yaml; --skip-broken writes that list for new projects alone"
        )
    _require_sound(looks, skip_broken=False)
    now, before = inventory(looks), read_json(folder / INVENTORY)
    changed = changes(before, now)
    print("\n".join(changed) if changed else "nothing has changed since the last look")
    if changed and not dry:
        write_json(folder / INVENTORY, now)
        print(f"next: cd {folder} && dvc repro")


def described(name: str, looks: Mapping[str, Look], skip_broken: bool) -> tuple[dict[str, Any], list[str]]:
    """The content of benchmark.yaml as far as it can be guessed, and what to check of it."""
    tasks: dict[str, Any] = {}
    collections: dict[str, Any] = {}
    notes: list[str] = []
    for collection, one in looks.items():
        files = {}
        for folder in one.folders:
            task, how, uncertain = guess(folder, one.of(folder))
            notes += [f"{collection}/{note}" for note in uncertain]
            key = _name(folder)
            if key in tasks and tasks[key]["kind"] != task["kind"]:
                raise UserError(
                    f"{one.root}: folder '{folder}' holds {task['kind']}, but that of another collection {tasks[key]['kind']}: "
                    "rename one of the folders"
                )
            tasks[key] = _merged(tasks.get(key), task)
            files[key] = how
        skipped = [image.stem for image in one.broken] if skip_broken else []
        splits = one.collection.model_dump(mode="json")["splits"]
        collections[collection] = {"splits": splits} | ({"skip": skipped} if skipped else {}) | {"tasks": files}
    if not tasks:
        raise UserError(f"no label is there beside the images of {', '.join(looks)}: put those of each task into a folder")
    return {"name": name, "title": name.replace("_", " ").capitalize(), "tasks": tasks, "collections": collections}, notes


def _merged(before: dict[str, Any] | None, task: dict[str, Any]) -> dict[str, Any]:
    """A task that several collections have: the classes of all."""
    if before is None or "classes" not in task:
        return before or task
    return before | {"classes": before["classes"] | task["classes"]}


def inventory(looks: Mapping[str, Look]) -> dict[str, Any]:
    """Collection -> split -> image -> file's folder -> [bytes, CRC-32]: what `dvc repro` makes the data anew for."""

    def records(images: Sequence[Seen], split: str) -> dict[str, Any]:
        return {
            image.stem: {folder: list(record) for folder, record in image.record.items()}
            for image in images
            if image.split == split
        }

    return {name: {split: records(one.images, split) for split in ("train", "val")} for name, one in looks.items()}


def _collections(folder: Path, data: Sequence[Path]) -> dict[str, Path]:
    """Collection -> its folder."""
    places: dict[str, Path] = {}
    for path in data:
        name, full = _name(path.resolve().name), path.resolve()
        if not full.is_dir():
            raise UserError(f"{path} is no folder")
        if folder.resolve().is_relative_to(full):
            raise UserError(f"{folder} would lie in {path}, which is never written to: make the project elsewhere")
        if full in places.values():
            raise UserError(f"{path} is named twice")
        if name in places:
            raise UserError(f"{places[name]} and {full} would both be called '{name}': rename one of them")
        places[name] = full
    return places


def _name(text: str) -> str:
    """A name for files and cells: lower-case letters, digits and underscores."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40].rstrip("_")
    return name if name[:1].isalpha() else f"data_{name}".rstrip("_")


def _sizes(looks: Mapping[str, Look]) -> list[tuple[int, int]]:
    sizes = [image.size for one in looks.values() for image in one.images if image.size is not None]
    if not sizes:
        raise UserError("no image can be read: see the faults of the first with --dry-run on a smaller folder")
    return sizes


def _count(looks: Mapping[str, Look], split: str) -> int:
    return sum(image.split == split for one in looks.values() for image in one.images)


def _tell(lines: Sequence[str], title: str) -> None:
    if lines:
        print(f"{title}:")
        print("\n".join(f"  {line}" for line in lines[:SHOWN]))
        if len(lines) > SHOWN:
            print(f"  ... and {len(lines) - SHOWN} more")


def _require_sound(looks: Mapping[str, Look], skip_broken: bool) -> None:
    """UserError where data are broken or lack what a training needs."""
    faults = [fault for one in looks.values() for image in one.broken for fault in image.faults]
    if faults and not skip_broken:
        _tell(faults, "faults")
        raise UserError(
            f"of the files {len(faults)} are broken or do not fit, such as: {faults[0]}; mend them, or leave their images "
            "out with --skip-broken"
        )
    for line in twice(list(looks.values())):
        raise UserError(line)
    for split, what in (("train", "training"), ("val", "test")):
        images = [image for one in looks.values() for image in one.images if image.split == split and not image.faults]
        if not any(image.labels for image in images):
            raise UserError(f"no {what} image has any label: put labels beside the images, or give other splits")
        counts = Counter(folder for image in images for folder in image.labels)
        for folder in {folder for one in looks.values() for folder in one.folders}:
            if not counts[folder]:
                raise UserError(f"no {what} image has a label of '{folder}': give some one, or take the folder away")


def _scarce(looks: Mapping[str, Look]) -> Iterator[str]:
    """What has few labels, a line each."""
    images = [image for one in looks.values() for image in one.images if image.split == "train"]
    if unlabelled := [image.stem for image in images if not image.labels]:
        yield f"{len(unlabelled)} of {len(images)} training images, such as {unlabelled[0]}, have no label at all"
    for folder, count in Counter(folder for image in images for folder in image.labels).items():
        if count < FEW:
            yield f"{folder}: {count} training label{'s' if count > 1 else ''}, too few to learn more than them by heart"


def _print_plan(chosen: Plan, looks: Mapping[str, Look]) -> None:
    recipe, images = chosen.recipe, _count(looks, "train")
    steps = recipe["epochs"] * (images // recipe["batch"])
    start = "pretrained" if recipe["pretrained"] else "from scratch"
    print(
        f"plan: {chosen.size[0]}x{chosen.size[1]} ({chosen.fit}), {chosen.backbone} {start}, "
        f"width {recipe['width']}, {recipe['epochs']} epochs of {images} images in batches of {recipe['batch']} "
        f"({steps} steps a network), {recipe['precision']}"
    )
