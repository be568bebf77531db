"""Raw files -> the two shards of a benchmark."""

from dmtl.benchmarks.raw import SPLITS, Raw
from dmtl.data.shards import write_shard


def build_shards(raw: Raw) -> None:
    """Write `train.h5`, with the label masks of every setting, and `val.h5`.

    Raises:
        UserError: a raw file is missing, damaged or changed, or a mapping does not fit; no half shard is left behind.
    """
    root = raw.obtain()
    for split in SPLITS:
        write_shard(
            raw.paths.shard(raw.name, split),
            raw.samples(root, split),
            raw.ids(root, split),
            raw.module.TASKS,
            raw.data.size,
            masks=raw.masks(root) if split == "train" else {},
            about={"benchmark": raw.name, "split": split, "source": raw.data.source},
        )
