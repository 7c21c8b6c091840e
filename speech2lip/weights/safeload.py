"""Reading files that a user downloaded, without ever running what is in them.

PyTorch files are read with `weights_only`; pickled numpy dictionaries (AD-NeRF's, the
authors' datasets) by an unpickler that knows arrays and plain containers and nothing else.
"""

from __future__ import annotations

import io
import pickle  # nosec B403 # for an unpickler that refuses everything but arrays and plain containers
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

from ..arrays import Unsound
from ..errors import UserError

Net = TypeVar("Net", bound=nn.Module)


def load_torch(path: Path, remedy: str, kind: str = "PyTorch file") -> Any:
    """Tensors and plain containers of a torch file, old or new format.

    remedy: what the user should do when the file cannot be used; ends the error's sentence.
    kind: what the sentence calls the file.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: {remedy}")
    try:
        _check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = f"it holds more than tensors and plain containers, or is damaged: {_first_line(error)}"
        raise UserError(f"{path} is not a sound {kind} ({reason}): {remedy}") from error
    except Exception as error:  # whatever PyTorch, pickle and zipfile make of a damaged file
        raise UserError(f"{path} is not a sound {kind} ({_first_line(error)}): {remedy}") from error


def _check_archive(path: Path) -> None:
    """Refuse archives that are larger inside than outside, and such whose checksums do not fit; PyTorch compares none."""
    if not zipfile.is_zipfile(path):
        return  # the format before PyTorch 1.6
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > path.stat().st_size:
            raise ValueError("it holds more than its size, which PyTorch never writes")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged[:80]} does not fit")


def check_finite(content: Any, name: str = "it") -> None:
    """Unsound for a tensor, anywhere in plain containers, that is no plain tensor of finite numbers."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            check_finite(value, str(key)[:80])
    elif isinstance(content, (list, tuple)):
        for value in content:
            check_finite(value, name)
    elif torch.is_tensor(content):
        if content.layout is not torch.strided or content.numel() * content.element_size() > _bytes_of(content):
            raise Unsound(f"{name} is larger than what is stored of it")
        if content.is_floating_point() and not torch.isfinite(content).all():
            raise Unsound(f"{name} holds infinite numbers, or what is no number")


def _bytes_of(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def load_state(path: Path, remedy: str) -> dict[str, Tensor]:
    """The state dictionary of a network: the file itself or its entry `state_dict`, `module.` prefixes removed."""
    content = load_torch(path, remedy)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content or not all(torch.is_tensor(v) for v in content.values()):
        raise UserError(f"{path} holds no network's weights (a dictionary of tensors): {remedy}")
    try:
        check_finite(content)
    except Unsound as error:
        raise UserError(f"{path} is not sound ({error}): {remedy}") from error
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def fill(module: Net, state: Mapping[str, Tensor], path: Path, remedy: str) -> Net:
    """Load a state into a module, in eval mode; says what does not fit. Returns the module."""
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    if missing:
        raise UserError(f"{path} lacks the weights {', '.join(missing[:3])} ({len(missing)} in all): {remedy}")
    for name, value in wanted.items():
        if name in state and state[name].shape != value.shape:
            raise UserError(
                f"{path} has {name} of shape {tuple(state[name].shape)}, needed is {tuple(value.shape)}: {remedy}"
            )
    module.load_state_dict({name: state.get(name, value) for name, value in wanted.items()})
    return module.eval()


class _ArrayUnpickler(pickle.Unpickler):
    """Knows numpy arrays, scalars and plain containers."""

    _ALLOWED = frozenset(
        {
            ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"), ("collections", "OrderedDict"),
            *((m, n) for m in ("numpy.core.multiarray", "numpy._core.multiarray") for n in ("_reconstruct", "scalar")),
        }
    )  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}")
        if module.startswith("numpy.") and not hasattr(np, "_core"):
            module = module.replace("numpy._core", "numpy.core")
        return super().find_class(module, name)


def load_pickled_dict(path: Path, remedy: str) -> dict[str, Any]:
    """A dictionary of arrays that `numpy.save` pickled into an .npy file."""
    if not path.is_file():
        raise UserError(f"{path} does not exist: {remedy}")
    try:
        content = path.read_bytes()
        stream = io.BytesIO(content)
        version = np.lib.format.read_magic(stream)
        if version[0] == 1:
            np.lib.format.read_array_header_1_0(stream)
        else:
            np.lib.format.read_array_header_2_0(stream)
        value = _ArrayUnpickler(stream).load()
        value = value.item() if isinstance(value, np.ndarray) and value.shape == () else value
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds more than arrays and plain containers ({_first_line(error)}) and was not read: {remedy}"
        ) from error
    except (ValueError, EOFError, OSError, KeyError, IndexError, AttributeError, TypeError, ImportError) as error:
        raise UserError(f"{path} is not a sound .npy file ({_first_line(error)}): {remedy}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds a {type(value).__name__}, needed is a dictionary of arrays: {remedy}")
    return value


def load_arrays(path: Path, remedy: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; pickled entries are refused."""
    if not path.is_file():
        raise UserError(f"{path} does not exist: {remedy}")
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except Exception as error:  # zipfile, zlib and numpy each raise their own kinds for a damaged file
        raise UserError(f"{path} is not a sound .npz file ({_first_line(error)}): {remedy}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
