"""Raw files -> the two shards of a benchmark."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dmtl.parallel import in_order
from dmtl.prepare.obtain import SPLITS, Raw
from dmtl.prepare.packing import Packed, pack, write_shard

IMAGES_PER_CALL = 8  # a process reads the benchmark's description once a call


def build_shards(raw: Raw, workers: int | None = None) -> None:
    """Write `train.h5`, with the label masks of every setting, and `val.h5`; their bytes do not depend on the number of workers.

    Args:
        raw: the benchmark's raw files, with their manifest.
        workers: processes; None takes every core.

    Raises:
        UserError: a raw file is missing, damaged or changed, or a mapping does not fit; no half shard is left behind.
    """
    root = raw.obtain()
    for split in SPLITS:
        ids, test = raw.ids(root, split), split == "val"
        about: dict[str, Any] = {"benchmark": raw.name, "split": split, "source": raw.data.source}
        listed = raw.boundary_list(root) if test else None
        if raw.benchmark.described is not None:
            about["described"] = json.dumps(raw.benchmark.described)
        if listed is not None:
            about["boundary_list"] = listed.title
        write_shard(
            raw.paths.shard(raw.name, split),
            _packed(raw, root, split, ids, workers),
            ids,
            raw.benchmark.tasks,
            masks={} if test else raw.masks(root),
            about=about,
            boundary_listed=listed.holds(ids) if listed is not None else None,
            labelled=raw.labelled(root, split),
        )


def _packed(raw: Raw, root: Path, split: str, ids: list[str], workers: int | None) -> Iterator[Packed]:
    records = raw.records()
    items = [(name, {file: records.get(file) for file in raw.benchmark.files(root, split, name)}) for name in ids]
    return in_order(partial(_pack_one, raw, root, split), items, f"{raw.name}: {split}", workers, per_call=IMAGES_PER_CALL)


def _pack_one(raw: Raw, root: Path, split: str, item: tuple[str, dict[str, Any]]) -> Packed:
    return pack(raw.sample(root, split, *item), raw.data.size, raw.benchmark.fit, raw.benchmark.tasks)
