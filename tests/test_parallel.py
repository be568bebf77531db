"""Work in all cores: order, errors, and shards whose bytes do not depend on the number of processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmtl.config import Data, Paths
from dmtl.errors import UserError
from dmtl.parallel import AHEAD, Pool, in_order
from dmtl.prepare.obtain import Raw
from dmtl.prepare.shards import build_shards


def _square(number: int) -> int:
    if number == 7:
        raise UserError("seven is bad")
    if number == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_errors_come_through(workers: int) -> None:
    assert list(in_order(_square, range(6), "squares", workers)) == [0, 1, 4, 9, 16, 25]
    assert list(in_order(_square, [], "squares", workers)) == []
    with pytest.raises(UserError, match="seven is bad"):
        list(in_order(_square, [1, 7, 2], "squares", workers))


def test_a_killed_process_is_named() -> None:
    with pytest.raises(UserError, match="a working process was killed: is the memory full"):
        list(in_order(_square, [1, 8, 2], "squares", 2))


def test_a_pool_says_what_to_do_when_a_process_is_killed() -> None:
    with pytest.raises(UserError, match=r"was killed: is the memory full\? Take fewer"), Pool(1, "Take fewer") as pool:
        pool.submit(_square, 8).result()


def test_no_working_process_outlives_the_one_that_started_it() -> None:
    """As after a kill -9: whoever waits for its output waits for all that hold it."""
    script = "import os\nfrom dmtl.parallel import Pool\nwith Pool(2) as pool:\n    pool.submit(os.getpid).result()\n"
    script += "    print('working', flush=True)\n    input()\n"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.kill()
        process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("processes", [0, 1, 2])
def test_a_pool_calls_ahead_but_not_without_end(processes: int) -> None:
    """Nothing is taken from the items before there is room for it, so that results of many do not fill the memory."""
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in [0, 1, 2, 3, 4, 5, 6] * 5:
            taken += 1
            yield number

    with Pool(processes) as pool:
        for position, result in enumerate(pool.map(_square, items())):
            assert result == (position % 7) ** 2
            assert taken <= position + max(1, AHEAD * processes)
    assert taken == 35


def test_shards_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    data = Data(source="synthetic", size=(96, 96), train=3, val=1)
    raw = Raw("pascal", data, seed=0, paths=Paths(root=tmp_path, scale="test"))
    raw.write_manifest()
    built = []
    for workers in (1, 2):
        build_shards(raw, workers)
        built.append([raw.paths.shard("pascal", split).read_bytes() for split in ("train", "val")])
    assert built[0] == built[1]
