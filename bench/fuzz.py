"""Every reader of foreign bytes, given damaged ones: `python bench/fuzz.py [READER ...] [--seconds 120] [--seed 0]`.

Good files are made once; hypothesis then sets, inserts, repeats and cuts bytes of them, and every reader must give a value or a
UserError, within 10 s and 1 GiB. Each reader works in a process of its own, so a crash ends that one alone, for so
many seconds of processor time. Prints the number of files that were read; a file that was met otherwise is kept in FOLDER.
"""

import argparse
import gzip
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
import fuzz_files as files  # noqa: E402
from helpers.narrow_resnet import narrow_backbones  # noqa: E402
from helpers.project import tiny_params, write_project  # noqa: E402
from helpers.stages import run  # noqa: E402

from dmtl.benchmarks import benchmark  # noqa: E402
from dmtl.benchmarks.folder.labels import read_photo, stored_label  # noqa: E402
from dmtl.benchmarks.folder.listing import collection_splits  # noqa: E402
from dmtl.benchmarks.nyud import mat  # noqa: E402
from dmtl.benchmarks.shared.readers import load_mat, load_npy, load_pixels  # noqa: E402
from dmtl.config import Project, for_training, load_yaml  # noqa: E402
from dmtl.config.own import Collection  # noqa: E402
from dmtl.config.records import read_hardware, read_history, read_manifest, read_result  # noqa: E402
from dmtl.data.shards import Shard  # noqa: E402
from dmtl.errors import UserError  # noqa: E402
from dmtl.evaluation.gallery import load_gallery  # noqa: E402
from dmtl.metrics.per_image import load_per_image  # noqa: E402
from dmtl.models import load_model, read_description  # noqa: E402
from dmtl.pictures.read import read_image  # noqa: E402
from dmtl.prepare.archives import unpack  # noqa: E402
from dmtl.prepare.mapping_files import read_mapping  # noqa: E402
from dmtl.training.checkpoint import ResumeState  # noqa: E402
from dmtl.training.fingerprint import Fingerprint  # noqa: E402

CELL = "pascal-onelabel-mtl_baseline"
SECONDS, BYTES = 10, 1 << 30
WORDS = (
    b"NaN",
    b"-1", b"1e999", b"null", b"[]", b"{}", b"true", b'"../x"', b"9" * 30, b"*a", b"&a ", b"- ", b"\n", b"\x00", b"\xff" * 4,
    b"\xff\xff\xff\x7f", b"\x00" * 8, b"|O", b"<U", b"\x80\x04.", b"PK\x01\x02", b"\x1b", b'","', b": ",
)  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.sampled_from(("set", "insert", "delete", "repeat", "cut")),
        st.floats(0, 1, exclude_max=True),
        st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(WORDS)),
    ),
    min_size=1,
    max_size=5,
)
Edits = list[tuple[str, float, bytes]]


def changed(content: bytes, edits: Edits) -> bytes:
    """The bytes after each edit: its kind, its place as a share of the length, what is put there."""
    for kind, share, word in edits:
        at = int(share * len(content))
        if kind == "set":
            content = content[:at] + word + content[at + len(word) :]
        elif kind == "insert":
            content = content[:at] + word + content[at:]
        elif kind == "delete":
            content = content[:at] + content[at + 8 * len(word) :]
        elif kind == "repeat":
            content = content[: at + 64] + content[at:]
        else:
            content = content[:at]
    return content


class Good:
    """The good files, and what reads each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        project = folder / "project"
        write_project(project, tiny_params())
        grid = yaml.safe_load((project / "grid.yaml").read_text())
        grid |= {"benchmarks": ["pascal"], "cells": {CELL: grid["cells"][CELL]}, "extra": {}}
        (project / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
        with narrow_backbones():
            for stage, target in (("download", "pascal"), ("shards", "pascal"), ("train", CELL), ("evaluate", CELL)):
                run(project, f"stages/{stage}.py", target)
        self.model, self.results = project / "models" / "demo" / CELL, project / "results" / "demo"
        self.project = project

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def readers(self) -> dict[str, tuple[list[bytes], Callable[[bytes, Path], object]]]:
        """Name -> good contents, and what makes something of a content in an empty folder."""
        description, weights = self.read(self.model / "model.json"), self.read(self.model / "model.safetensors")
        result, statistics = self.results / f"{CELL}.json", self.results / f"{CELL}.npz"
        gallery = self.results / f"{CELL}.gallery.npz"
        measured = (
            b'{"device": {"name": "x", "type": "cuda"}, "scale": "paper", "peaks": {"a": 1.0}, "loading": {"nyud": {"0": 1.0}}, '
            b'"steps": {"a": {"parts": {"x": 1.0}, "batch": 1}, "b": {"failed": "x"}}, "images": {"a": {"ms": 1.0}}}'
        )
        return {
            "shard": ([self.read(self.project / f"data/shards/demo/pascal/{name}.h5") for name in ("val", "train")], _shard),
            "model.json": ([description], lambda content, folder: _model(content, weights, folder)),
            "weights": (
                [weights[: _head(weights) + 2000], weights],
                lambda content, folder: _model(description, content, folder),
            ),
            "statistics": ([self.read(statistics), files.unpacked_npz(statistics)], _at("x.npz", load_per_image)),
            "gallery": ([self.read(gallery), files.unpacked_npz(gallery)], _at("x.npz", load_gallery)),
            "result": ([self.read(result)], _at("x.json", lambda path: read_result(path, CELL))),
            "history": ([self.read(self.model / "history.json")], _at("x.json", read_history)),
            "manifest": ([self.read(self.project / "data/raw/demo/pascal.json")], _at("x.json", read_manifest)),
            "measurements": ([measured], _at("x.json", read_hardware)),
            "checkpoint": ([files.checkpoint()], _resume),
            "params.yaml": ([self.read(self.project / "params.yaml")], lambda content, folder: self._params(content, folder)),
            "yaml": ([b"a: &a [1, 2, {b: c}]\nd: *a\ne: {<<: {f: 1}}\n"], _at("x.yaml", load_yaml)),
            "mat": (files.mats(), _at("x.mat", lambda path: load_mat(path, "x"))),
            "hdf5 mat": ([files.labeled_mat(self.folder)], _frame),
            "pictures": (files.pictures(), _picture),
            "npy": (files.npys(), _at("x.npy", lambda path: load_npy(path, (4, 4)))),
            "archives": (files.archives(), _unpacked),
            "archives in gzip": (files.archives()[:1], lambda content, folder: _unpacked(gzip.compress(content, 1), folder)),
            "mappings": (files.mappings(), _at("x.pth", read_mapping)),
            "lists": ([b"a\nb.png\n# c\n\nd\n"], _list),
            "pascal tree": ([b"2008_000001\n2008_000002\n"], _pascal),
        }

    def _params(self, content: bytes, folder: Path) -> None:
        shutil.copy(self.project / "grid.yaml", folder)
        (folder / "params.yaml").write_bytes(content)
        for_training(Project(folder), CELL)


def _at(name: str, reader: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def read(content: bytes, folder: Path) -> object:
        (folder / name).write_bytes(content)
        return reader(folder / name)

    return read


def _shard(content: bytes, folder: Path) -> None:
    (folder / "x.h5").write_bytes(content)
    shard = Shard(folder / "x.h5")
    for k in range(min(2, len(shard))):
        shard.image(k)
        shard.original_size(k)
        for task in shard.outputs:
            shard.label(task, k)
    shard.label_mask("onelabel")


def _head(weights: bytes) -> int:
    return 8 + int.from_bytes(weights[:8], "little")


def _model(description: bytes, weights: bytes, folder: Path) -> None:
    (folder / "model.json").write_bytes(description)
    (folder / "model.safetensors").write_bytes(weights)
    read_description(folder)
    load_model(folder)


def _resume(content: bytes, folder: Path) -> None:
    with ResumeState(folder, "demo/x", Fingerprint({}, "a", "b")) as resume:
        (resume.folder / "checkpoint.pt").write_bytes(content)
        resume.load()


def _frame(content: bytes, folder: Path) -> None:
    (folder / mat.LABELED).write_bytes(content)
    scipy.io.savemat(folder / mat.CLASSES40, {"mapClass": np.ones((1, 894), np.uint8)})
    mat.read(folder, "nyu0001", (32, 48))


def _picture(content: bytes, folder: Path) -> None:
    failed = []
    for ending in ("png", "jpg"):
        path = folder / f"x.{ending}"
        path.write_bytes(content)
        for reader in (read_image, read_photo, stored_label, lambda one: load_pixels(one, ("RGB", "L", "P"))):
            try:
                reader(path)
            except UserError as error:
                failed.append(error)
    if failed:
        raise failed[0]


def _unpacked(content: bytes, folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "x.tar").write_bytes(content)
    try:
        unpack([folder / "in" / "x.tar"], folder / "in" / "tree")
    finally:
        assert [path.name for path in folder.iterdir()] == ["in"], "it wrote outside"
        assert {path.name for path in (folder / "in").iterdir()} <= {"x.tar", "tree", ".tree.lock"}, "something is left"


def _list(content: bytes, folder: Path) -> None:
    (folder / "image").mkdir()
    for name in ("a", "b", "d", "v"):
        (folder / "image" / f"{name}.png").touch()
    (folder / "a.txt").write_bytes(content)
    (folder / "b.txt").write_bytes(b"v\n")
    task = {"depth": {"folder": "depth", "scale": 1.0}}
    collection_splits(folder, Collection.model_validate({"splits": {"train": "a.txt", "val": "b.txt"}, "tasks": task}))


def _pascal(content: bytes, folder: Path) -> None:
    lists = folder / "ImageSets" / "Context"
    lists.mkdir(parents=True)
    for name in ("train", "val", "test_new"):
        (lists / f"{name}.txt").write_bytes(content)
    one = benchmark("pascal")
    one.ids(folder, "train")
    assert one.boundary_list is not None
    one.boundary_list(folder, None)


def fuzz(good: Good, name: str, seconds: float, round_: int, keep: Path) -> None:
    """One reader for so many seconds of processor time; ends with status 1 where something was found."""
    warnings.simplefilter("ignore")
    contents, reader = good.readers()[name]
    counts = {"read": 0, "refused": 0}
    until = time.process_time() + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 6 * SECONDS,) * 2)  # ends what a library does without end
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def one(content: bytes) -> None:
        nonlocal held
        begun = time.process_time()
        (keep / name.replace(" ", "-")).write_bytes(content)  # so that what crashes the process is there
        with tempfile.TemporaryDirectory(dir=good.folder) as folder:
            try:
                reader(content, Path(folder))
                counts["read"] += 1
            except UserError:
                counts["refused"] += 1
        assert time.process_time() - begun < SECONDS, "too slow"
        now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert (now - held) * 1024 < BYTES, "too much memory"
        held = now

    with narrow_backbones():
        while time.process_time() < until:
            round_ += 1

            @seed(round_)
            @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(st.sampled_from(contents), EDITS)
            def search(content: bytes, edits: Edits) -> None:
                if time.process_time() < until:
                    one(changed(content, edits))

            search()
    (keep / name.replace(" ", "-")).unlink()
    print(f"{name}: {counts['read']} read, {counts['refused']} refused, {seconds:.0f} s", flush=True)


def main() -> None:
    """All readers, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", metavar="READER")
    parser.add_argument("--seconds", type=float, default=120, help="of processor time for each (120)")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other files (0)")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "fuzz", help="gets what was met otherwise")
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    context, found = multiprocessing.get_context("fork"), []
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        good = Good(Path(folder))
        for name in arguments.readers or list(good.readers()):
            process: Any = context.Process(target=fuzz, args=(good, name, arguments.seconds, arguments.seed, arguments.keep))
            process.start()
            process.join()
            if process.exitcode:
                found.append(name)
                print(f"{name}: ended with {process.exitcode}; the file is in {arguments.keep}", flush=True)
    sys.exit(f"found: {', '.join(found)}" if found else 0)


if __name__ == "__main__":
    main()
