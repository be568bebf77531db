"""Every frame of a video predicted, and a video of each task's colours written; with PyAV, the extra `video`.

All frames get the same noise, so that what changes from frame to frame is the scene alone.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dmtl.errors import UserError
from dmtl.files import replacing
from dmtl.inference.prediction import Prediction
from dmtl.inference.predictor import Predictor
from dmtl.reading.images import MOST_PIXELS

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
# A file may be a list that leads to other files or addresses, whatever its name: no such format, and nothing but files.
ALLOWED = {"format_whitelist": "avi,m4v,matroska,webm,mov,mp4,mpeg,mpegts,mpegvideo", "protocol_whitelist": "file"}
DEFAULT_RATE = 25  # frames a second, of files that do not say


def is_video(path: Path) -> bool:
    """Whether a file's name ends as those of videos do."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def predict_video(path: Path, predictor: Predictor, folder: Path, batch: int = 1, alpha: float | None = None) -> list[Path]:
    """Write `folder/<task>.mp4` for each task, as long and as large as the video (sides made even), without its sound.

    Args:
        path: a video that PyAV reads.
        predictor: the network.
        folder: that gets the files; those of the same names are replaced.
        batch: frames that go through the network together.
        alpha: how much of the colours is laid over the frames; None: the colours alone.

    Returns:
        The files.

    Raises:
        ModuleNotFoundError: PyAV is not installed.
        UserError: the file is damaged, holds no video or too large frames; the folder cannot be written.
    """
    import av

    names = [task.name for task in predictor.tasks]
    written = {name: folder / f"{name}.mp4" for name in names}
    try:
        with ExitStack() as stack:
            source = stack.enter_context(av.open(str(path.absolute()), options=ALLOWED))
            if not source.streams.video:
                raise UserError(f"{path} holds no video")
            about = source.streams.video[0]
            _require_size(path, about.width, about.height)
            targets = {
                name: stack.enter_context(_Target(stack.enter_context(replacing(file)), about)) for name, file in written.items()
            }
            frames = (frame.to_ndarray(format="rgb24") for frame in source.decode(about))
            shown = tqdm(frames, f"predicting {path.name}", about.frames or None, unit="frame", disable=None)
            for prediction in _predictions(shown, predictor, path.stem, batch):
                for name, target in targets.items():
                    target.add(prediction.picture(name, alpha=1.0 if alpha is None else alpha))
            if not all(target.frames for target in targets.values()):
                raise UserError(f"{path} holds no frame that can be read")
    except av.error.FFmpegError as error:
        raise UserError(f"{path} is damaged or no video that can be read ({' '.join(str(error).split())[:160]})") from None
    return list(written.values())


class _Target:
    """A video file under way; closed, and so whole, when the block ends."""

    def __init__(self, path: Path, like: Any) -> None:
        import av

        self.container = av.open(str(path), "w", format="mp4")
        self.stream = self.container.add_stream("libx264", rate=like.average_rate or DEFAULT_RATE)
        self.stream.width, self.stream.height = (max(2, side - side % 2) for side in (like.width, like.height))
        self.stream.pix_fmt = "yuv420p"  # what every player shows; its colours have half the resolution, hence the even sides
        self.frames = 0

    def add(self, pixels: np.ndarray) -> None:
        import av

        height, width = self.stream.height, self.stream.width
        even = np.pad(pixels, ((0, max(0, height - len(pixels))), (0, max(0, width - pixels.shape[1])), (0, 0)), "edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even[:height, :width]), format="rgb24")
        self.container.mux(self.stream.encode(frame))
        self.frames += 1

    def __enter__(self) -> "_Target":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.frames:
            self.container.mux(self.stream.encode())
        self.container.close()


def _predictions(frames: Any, predictor: Predictor, name: str, batch: int) -> Iterator[Prediction]:
    waiting: list[np.ndarray] = []
    for frame in frames:
        waiting.append(frame)
        if len(waiting) == batch:
            yield from predictor.predictions(waiting, [name] * batch)
            waiting = []
    if waiting:
        yield from predictor.predictions(waiting, [name] * len(waiting))


def _require_size(path: Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise UserError(f"{path} has frames of more than {MOST_PIXELS / 1e6:.0f} million pixels: make it smaller")
