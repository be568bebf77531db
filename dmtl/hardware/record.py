"""The record of one device, written after every measurement, so that an interrupted one goes on where it was."""

from pathlib import Path
from typing import Any

import torch

from dmtl import __version__
from dmtl.config import Project
from dmtl.config.records import read_hardware
from dmtl.files import digest, write_json
from dmtl.hardware.machine import as_file_name, name_of
from dmtl.report.measured import folder_of

PARTS = ("peaks", "loading", "steps", "images")
WATCHED = ("scales", "optim", "plain", "diffusion", "multiscale", "consistency")  # blocks of params.yaml


class Record:
    """What was measured on a device, in `reports/hardware/`; what was measured with other settings is dropped.

    Args:
        project: whose networks are measured, at its scale.
        device: what they are measured on.

    Raises:
        UserError: there is a file, but it is damaged.
    """

    def __init__(self, project: Project, device: torch.device) -> None:
        scale, name = project.paths.scale, name_of(device)
        suffix = "" if scale == "paper" else f"-{scale}"
        self.file: Path = folder_of(project.paths.root) / f"{as_file_name(name)}{suffix}.json"
        head = {
            "device": {"name": name, "type": device.type, "torch": torch.__version__, "dmtl": __version__},
            "scale": scale,
            "settings": digest({key: project.params.get(key) for key in WATCHED})[:12],
        }
        kept = read_hardware(self.file) if self.file.is_file() else {}
        same = all(kept.get(key) == value for key, value in head.items())
        self.content: dict[str, Any] = head | {part: (kept.get(part, {}) if same else {}) for part in PARTS}

    def has(self, part: str, key: str) -> bool:
        """Whether it was measured, or found to be impossible."""
        return key in self.content[part]

    def note(self, part: str, key: str, value: Any) -> None:
        """Take up one measurement and write the file."""
        self.content[part][key] = value
        write_json(self.file, self.content)
