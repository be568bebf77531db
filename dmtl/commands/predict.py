"""All tasks of your own images or videos, as colour pictures and arrays."""

import argparse
from pathlib import Path

from dmtl.commands.shared.arguments import model_folder, number, whole
from dmtl.commands.shared.precision import add_device, add_precision


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, folders, glob patterns, or video files")
    parser.add_argument("--model", type=model_folder, required=True, metavar="MODEL_FOLDER", help="such as models/<scale>/<cell>")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="gets a folder per image (dmtl/inference/prediction.py lists the files), or per video one with a video per task",
    )
    parser.add_argument("--task", action="append", metavar="NAME", help="only this task; may be given several times")
    parser.add_argument("--alpha", type=number(0, 1), metavar="SHARE", help="also lay the colours over the photo, 0 to 1 of them")
    parser.add_argument(
        "--batch", type=whole(1, 1024), default=1, metavar="N", help="images at a time through the network (default: 1)"
    )
    add_device(parser)
    add_precision(parser)
    parser.add_argument(
        "--processes", type=whole(0, 1024), help="that read and write images (default: as many as pay; 0: this one)"
    )


def run(arguments: argparse.Namespace) -> None:
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
