"""Methods, one file each; a method's name is its file's name, so there is no list to keep."""

import importlib
import pkgutil
from pathlib import Path

from pydantic import ValidationError
from safetensors.torch import load_model as load_safetensors
from safetensors.torch import save

from dmtl.config import NetworkConfig
from dmtl.errors import UserError
from dmtl.files import read_json, replacing
from dmtl.models.shared.method import Method


def method_names() -> list[str]:
    """The methods there are: the modules of this package."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg)


def build(network: NetworkConfig) -> Method:
    """A freshly initialised network.

    Raises:
        UserError: there is no such method.
    """
    if network.method not in method_names():
        raise UserError(f"no method '{network.method}' in dmtl/models; there are: {', '.join(method_names())}")
    return importlib.import_module(f"dmtl.models.{network.method}").build(network)


def load_model(folder: str | Path) -> Method:
    """The trained network of a model folder (`model.json` and `model.safetensors`), in evaluation mode on the CPU.

    Args:
        folder: what a training or `import-official` wrote.

    Raises:
        UserError: a file is missing, damaged or does not fit the other.
    """
    folder = Path(folder)
    description = read_description(folder)
    try:
        model = build(NetworkConfig.model_validate(description["network"]))
        for part in model.training_only:
            delattr(model, part)
        load_safetensors(model, folder / "model.safetensors")
    except (OSError, KeyError, ValidationError, RuntimeError, ValueError) as error:
        raise UserError(f"{folder} holds no complete model: {' '.join(str(error).split())[:300]}; train it again") from None
    except Exception as error:  # safetensors raises a bare class of its own for a damaged file
        if type(error).__module__.startswith("safetensors"):
            raise UserError(f"{folder / 'model.safetensors'} is damaged ({error}); train it again") from None
        raise
    return model.eval()


def save_weights(folder: Path, model: Method) -> None:
    """Write model.safetensors of a model folder: all that predictions need."""
    state = {name: value for name, value in model.state_dict().items() if name.partition(".")[0] not in model.training_only}
    with replacing(folder / "model.safetensors") as temporary:
        temporary.write_bytes(save({name: value.contiguous().cpu() for name, value in state.items()}))


def read_description(folder: Path) -> dict:
    """model.json of a model folder."""
    return read_json(folder / "model.json")
