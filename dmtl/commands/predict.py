"""All tasks of your own images or videos, as colour pictures and arrays."""

import argparse
from pathlib import Path

from dmtl.commands.shared.precision import add_device, add_precision
from dmtl.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, folders, glob patterns, or video files")
    parser.add_argument("--model", type=Path, required=True, metavar="MODEL_FOLDER", help="such as models/<scale>/<cell>")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="gets a folder per image (dmtl/inference/prediction.py lists the files), or per video one with a video per task",
    )
    parser.add_argument("--task", action="append", metavar="NAME", help="only this task; may be given several times")
    parser.add_argument("--alpha", type=float, metavar="SHARE", help="also lay the colours over the photo, 0 to 1 of them")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images at a time through the network (default: 1)")
    add_device(parser)
    add_precision(parser)
    parser.add_argument("--processes", type=int, help="that read and write images (default: as many as pay; 0: this one)")


def run(arguments: argparse.Namespace) -> None:
    _require_sense(arguments)
    from dmtl.inference.predict import predict_files
    from dmtl.inference.predictor import Predictor
    from dmtl.inference.video import is_video, predict_video
    from dmtl.pictures.read import distinct_names

    videos = [Path(name) for name in arguments.images if is_video(Path(name))]
    images = [name for name in arguments.images if not is_video(Path(name))]
    predictor = Predictor(arguments.model, arguments.precision, arguments.device, arguments.task)
    for video, name in zip(videos, distinct_names(videos), strict=True):
        files = predict_video(video, predictor, arguments.out / name, arguments.batch, arguments.alpha)
        print(f"{video}: wrote {', '.join(map(str, files))}")
    if not images:
        return
    batch, alpha = arguments.batch, arguments.alpha
    written = predict_files(images, predictor, arguments.out, processes=arguments.processes, batch=batch, alpha=alpha)
    if written.folders:
        first, count = written.folders[0], len(written.folders)
        print(f"wrote {first / 'sheet.png'}" if count == 1 else f"wrote {count} folders in {arguments.out}, such as {first}")
    if written.failed:
        raise SystemExit(2)


def _require_sense(arguments: argparse.Namespace) -> None:
    if arguments.batch < 1:
        raise UserError(f"--batch {arguments.batch}: give a number from 1 up")
    if arguments.alpha is not None and not 0 <= arguments.alpha <= 1:
        raise UserError(f"--alpha {arguments.alpha:g}: give a share from 0 (the photo alone) to 1 (the colours alone)")
