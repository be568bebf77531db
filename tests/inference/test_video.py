"""Videos in and out: as many frames, their size, their rate; and what is none."""

from pathlib import Path

import numpy as np
import pytest
from helpers.models import random_model

from dmtl.__main__ import main

av = pytest.importorskip("av", reason="the extra video (PyAV) is not installed")
pytestmark = pytest.mark.usefixtures("narrow")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    with av.open(str(tmp_path / "walk.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 66, 48, "yuv420p"
        for number in range(7):
            pixels = np.full((48, 66, 3), 30 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return tmp_path / "walk.mp4"


def test_a_video_gives_a_video_of_each_task(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = random_model(tmp_path / "model", "nyud-full-mtl_baseline", (32, 64))
    main(["predict", str(video), "--model", str(model), "--out", str(tmp_path / "out"), "--batch", "3"])
    assert capsys.readouterr().out.startswith(f"{video}: wrote ")
    made = sorted((tmp_path / "out" / "walk").iterdir())
    assert [path.name for path in made] == ["depth.mp4", "normals.mp4", "semseg.mp4"]
    for path in made:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
            assert (len(frames), frames[0].shape, float(stream.average_rate)) == (7, (48, 66, 3), 10)


def test_the_photo_alone_is_the_video_itself(video: Path, tmp_path: Path) -> None:
    model = random_model(tmp_path / "model", "nyud-full-constant", (32, 64))
    main(["predict", str(video), "--model", str(model), "--out", str(tmp_path / "out"), "--task", "depth", "--alpha", "0"])
    with av.open(str(tmp_path / "out" / "walk" / "depth.mp4")) as container:
        greys = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    np.testing.assert_allclose(greys, [30 * number for number in range(7)], atol=3)


def test_a_damaged_video_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    model = random_model(tmp_path / "model", "nyud-full-constant", (32, 64))
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(tmp_path / "bad.mp4"), "--model", str(model), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'bad.mp4'} is damaged or no video")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.*"))
