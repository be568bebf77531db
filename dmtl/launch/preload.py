"""What the process that all workers are forked from imports, once: everything that trains and evaluates, but nothing that starts
threads or touches a GPU. It is killed with the launch, and its workers are told to stop, and save, when it dies."""

import signal

from dmtl.launch.stage_run import end_with_parent_by

end_with_parent_by(signal.SIGKILL)

import lightning_fabric  # noqa: E402, F401
import torch  # noqa: E402, F401
import torchvision  # noqa: E402, F401

import dmtl.evaluation.evaluate  # noqa: E402
import dmtl.evaluation.gallery  # noqa: E402
import dmtl.training.loop  # noqa: E402, F401
