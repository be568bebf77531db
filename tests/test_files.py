"""Files are there whole or not at all, alone and together; an error is told as it is, and nothing is left of killed processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.project import ROOT

from dmtl.errors import UserError, one_line_errors
from dmtl.files import HOST, read_json, replacing, temporary_name, together, write_json


def test_an_error_is_not_hidden_by_its_clean_up(tmp_path: Path) -> None:
    """A folder that is a file, whose temporary name cannot even be looked for."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"x.json could not be written \(File exists\)"):
        write_json(tmp_path / "file" / "x.json", {})
    with pytest.raises(UserError, match=r"x.json could not be written \(Not a directory\)"):
        write_json(tmp_path / "file" / "below" / "x.json", {})

    def fails() -> None:
        with replacing(tmp_path / "y") as temporary:
            temporary.mkdir()  # what `unlink` refuses
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fails()


def test_a_folder_of_the_files_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    with pytest.raises(UserError, match=r"x.json could not be written \(Is a directory\)"):
        write_json(tmp_path / "x.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_what_killed_processes_left_is_cleared(tmp_path: Path) -> None:
    """Of the same file and this machine; what a process that runs is writing stays."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = tmp_path / f".x.json.{HOST}-{gone.pid}.tmp"
    others = [tmp_path / name for name in (f".x.json.{HOST}-1.tmp", ".x.json.elsewhere-1.tmp", f".y.json.{HOST}-{gone.pid}.tmp")]
    for path in (left, *others):
        path.touch()
    write_json(tmp_path / "x.json", {})
    assert not left.exists()
    assert all(path.exists() for path in others)


def test_files_that_belong_together_are_all_new_or_all_old(tmp_path: Path) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b" / "b.json"
    with together():
        write_json(a, {"is": 1})
        assert not a.exists()
        write_json(b, {"is": 1})
    assert [read_json(path)["is"] for path in (a, b)] == [1, 1]

    @together()
    def meets_a_full_disk() -> None:
        write_json(a, {"is": 2})
        temporary_name(b).symlink_to("/dev/full")
        write_json(b, {"is": 2})

    @together()
    def is_interrupted() -> None:
        write_json(a, {"is": 3})
        raise KeyboardInterrupt

    with pytest.raises(UserError, match="No space left"):
        meets_a_full_disk()
    with pytest.raises(KeyboardInterrupt):
        is_interrupted()
    assert [read_json(path)["is"] for path in (a, b)] == [1, 1]
    assert not list(tmp_path.rglob(".*"))
    write_json(a, {"is": 4})
    assert read_json(a)["is"] == 4, "the block has ended"


def test_what_is_not_finite_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"score": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "/a/b"), "error: /a/b: No space left on device: "),
        (OSError(30, "Read-only file system"), "error: Read-only file system: "),
        (PermissionError(13, "Permission denied", "/a/b"), "error: /a/b: Permission denied: "),
        (KeyboardInterrupt(), "stopped by Ctrl-C: "),
        (SystemExit(143), "stopped by SIGTERM: "),
    ],
)
def test_it_ends_in_one_line(capsys: pytest.CaptureFixture[str], error: BaseException, said: str) -> None:
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise error
    assert end.value.code in (2, 130, 143)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(OSError, match="Bad file"), one_line_errors():
        raise OSError(9, "Bad file descriptor")


SLOW = """
import sys, time
from pathlib import Path
from dmtl.errors import one_line_errors
from dmtl.files import replacing, together
from dmtl.parallel import in_order
def work(item):
    (Path(sys.argv[1]) / f"begun{item}").touch()
    time.sleep(2)
if __name__ == "__main__":
    with one_line_errors(), together(), replacing(Path(sys.argv[1]) / "out") as temporary:
        temporary.touch()
        list(in_order(work, range(20), "work", workers=2))
"""


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_work_in_several_processes_ends_in_one_line(tmp_path: Path, number: signal.Signals, word: str) -> None:
    """Ctrl-C reaches all processes of a terminal; each would print a traceback."""
    (tmp_path / "slow.py").write_text(SLOW)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    while not (tmp_path / "begun1").exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number, said
    assert [line for line in said.splitlines() if "it/s" not in line and "image" not in line] == [
        f"stopped by {word}: run the same command again"
    ]
    assert not list(tmp_path.glob(".*.tmp"))
    assert not (tmp_path / "out").exists()
