"""Methods, one file each; a method's name is its file's name, so there is no list to keep."""

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_model as load_safetensors
from safetensors.torch import save
from torch import nn
from torch.overrides import TorchFunctionMode

from dmtl.config import NetworkConfig
from dmtl.config.blocks import validated
from dmtl.config.records import Description, checked_record, differing
from dmtl.errors import UserError
from dmtl.files import read_json, replacing
from dmtl.models.shared.method import Method

LARGEST_NETWORK = 8 << 30  # bytes of weights; four times the largest of the tables
_TYPES = {torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL"}  # of weights, of counters, as safetensors calls them


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


class _Weightless(TorchFunctionMode):
    """What `torch.empty` makes, as layers make their weights, takes no room (device `meta`).

    All else stays on the CPU, and normal draws are left out: on `meta` both would make torch import its compiler, for seconds.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in (torch.Tensor.normal_, nn.init.normal_):
            return args[0] if args else kwargs["tensor"]
        if function is torch.empty and kwargs.get("device") is None:
            kwargs = kwargs | {"device": "meta"}
        return function(*args, **kwargs)


def hollow(network: NetworkConfig) -> Method:
    """A network whose weights take no room (device `meta`): for names, shapes and costs. Raises UserError as `build`."""
    with _Weightless():
        model = build(network)
    return model.to("meta")


def load_model(folder: str | Path) -> Method:
    """The trained network of a model folder (`model.json` and `model.safetensors`), in evaluation mode on the CPU.

    Args:
        folder: what a training or `import-official` wrote.

    Raises:
        UserError: a file is missing, damaged or does not fit the other.
    """
    folder = Path(folder)
    file = folder / "model.safetensors"
    try:
        network = NetworkConfig.model_validate(read_description(folder)["network"])
        stored = _tensors(file)
        _require_fitting(file, stored, _tensors_of(network))
        model = build(network)
        for part in model.training_only:
            delattr(model, part)
        load_safetensors(model, file)
    except (OSError, KeyError, ValidationError, RuntimeError, ValueError) as error:
        raise UserError(f"{folder} holds no complete model: {' '.join(str(error).split())[:300]}; train it again") from None
    except Exception as error:  # safetensors raises a bare class of its own for a damaged file
        if type(error).__module__.startswith("safetensors"):
            raise UserError(f"{file} is damaged ({error}); train it again") from None
        raise
    _require_finite(file, model)
    return model.eval()


_Tensors = dict[str, tuple[str, tuple[int, ...]]]  # name -> type, as safetensors calls it, and shape


def _tensors(file: Path) -> _Tensors:
    """What a safetensors file says that it holds; no tensor is read."""
    with safe_open(file, "pt") as opened:
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  # it is no mapping
        return {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}


def _tensors_of(network: NetworkConfig) -> _Tensors:
    """What a network of that description holds, found without room for its weights.

    Raises:
        UserError: it has more weights than any network here.
    """
    model = hollow(network)
    state = {name: value for name, value in model.state_dict().items() if name.partition(".")[0] not in model.training_only}
    if (size := sum(value.numel() * value.element_size() for value in state.values())) > LARGEST_NETWORK:
        raise UserError(f"model.json describes a network of {size >> 30} GiB: it cannot be as it was trained")
    return {name: (_TYPES.get(value.dtype, str(value.dtype)), tuple(value.shape)) for name, value in state.items()}


def _require_fitting(file: Path, stored: _Tensors, expected: _Tensors) -> None:
    """UserError where the file holds what the network has not; what it lacks is told where it is loaded."""
    for name, (kind, shape) in stored.items():
        if name not in expected:
            raise UserError(f"{file} holds '{name}', which the network of model.json has not: train it again")
        if expected[name] != (kind, shape):
            wanted = f"{expected[name][0]} {expected[name][1]}"
            raise UserError(f"{file}: '{name}' is {kind} {shape}, but the network of model.json has {wanted}: train it again")


def _require_finite(file: Path, model: Method) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(f"{file}: '{name}' holds NaN or infinity: train it again")


def save_weights(folder: Path, model: Method) -> None:
    """Write model.safetensors of a model folder: all that predictions need."""
    state = {name: value for name, value in model.state_dict().items() if name.partition(".")[0] not in model.training_only}
    with replacing(folder / "model.safetensors") as temporary:
        temporary.write_bytes(save({name: value.contiguous().cpu() for name, value in state.items()}))


def read_description(folder: Path) -> dict[str, Any]:
    """model.json of a model folder, as it was written, after `dmtl.config.records.Description` has looked at it.

    Raises:
        UserError: it is missing, damaged, no description of a network, or of another one than was trained.
    """
    path = folder / "model.json"
    content = read_json(path)
    description = checked_record(path, content, Description)
    if description.training is not None:
        _require_trained(path, description.network, description.training.get("options"))
    return content


def _require_trained(path: Path, network: NetworkConfig, trained: Any) -> None:
    """UserError unless a network's options are those that its training was given, or what its method makes of them."""
    said = network.model_dump(mode="json")
    if not differing("", said["options"], trained):
        return
    given = said | {"options": _put_into(said["options"], trained)}
    taken = hollow(validated(NetworkConfig, given, f"{path}: training")).config
    for name, ours, theirs in differing("network.options", said["options"], taken.model_dump(mode="json")["options"]):
        raise UserError(f"{path}: {name} is {ours!r}, but the training was of {theirs!r}: train it again")


def _put_into(options: Any, trained: Any) -> Any:
    """Options with the values of those that were trained, where both have them."""
    if isinstance(options, dict) and isinstance(trained, dict):
        return {key: _put_into(value, trained[key]) if key in trained else value for key, value in options.items()}
    return trained
