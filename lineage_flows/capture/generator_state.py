"""Reads and sets the state of the global random generators: Python's, numpy's legacy one, torch's.

Knows the generators and, for speed, where their state lies in memory. Reading never advances a generator, and never imports one.
Before memory is trusted, the place is found by trying it on a generator of our own; where that fails, the public functions serve.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import random
import struct
import sys
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

from lineage_flows.errors import ContentError

__all__ = ["FORMAT", "READERS", "Reading", "loaded_numpy_random", "set_state"]

FORMAT = "random-state"
"""Format of a blob that holds a state: JSON with ``generator`` and what that generator needs; arrays as hexadecimal."""

Reading = tuple[object, ...]
"""A state in a form that is cheap to compare; equal readings of one generator are equal states."""

_WORDS = 624
_WORD_BYTES = 4 * _WORDS
_MAGIC = -1.2345678901234567e-89
"""A number that is found in memory only where it was put."""


def loaded_numpy_random() -> ModuleType | None:
    """The module of numpy's random numbers, if it is loaded; numpy itself loads it only when it is used."""
    return sys.modules.get("numpy.random") if "numpy.random.mtrand" in sys.modules else None


# ------------------------------------------------------------------------------------------------------ Python's random


def read_python() -> Reading:
    """State of the generator behind ``random.random()``."""
    generator = random.getstate.__self__  # type: ignore[attr-defined]
    offset = _python_offset()
    if offset is None:
        return random.getstate()
    # Position first, then the words, as they lie in the object; the second Gaussian of a pair waits in an attribute.
    return ctypes.string_at(id(generator) + offset, 4 + _WORD_BYTES), generator.gauss_next


def write_python(reading: Reading) -> dict[str, Any]:
    """A reading as JSON can hold it."""
    if isinstance(reading[0], bytes):
        (position,) = struct.unpack("=I", reading[0][:4])
        words, gauss = _little(reading[0][4:]), reading[1]
    else:
        _, state, gauss = reading
        assert isinstance(state, tuple)
        words, position = struct.pack(f"<{_WORDS}I", *state[:-1]), state[-1]
    return {
        "generator": "python",
        "version": 3,
        "words": words.hex(),
        "position": position,
        "gauss": None if gauss is None else float(gauss).hex(),  # type: ignore[arg-type]
    }


def set_python(state: dict[str, Any]) -> None:
    """Set what ``write_python`` wrote."""
    words = struct.unpack(f"<{_WORDS}I", bytes.fromhex(state["words"]))
    gauss = None if state["gauss"] is None else float.fromhex(state["gauss"])
    random.setstate((state["version"], (*words, state["position"]), gauss))


@lru_cache(maxsize=1)
def _python_offset() -> int | None:
    """Where position and words lie in a ``random.Random``; None when this interpreter keeps them otherwise."""
    if sys.implementation.name != "cpython":
        return None
    import _random

    probe = random.Random(20240229)  # noqa: S311 - its state is looked for, nothing is drawn from it
    probe.random()
    version, state, _ = probe.getstate()
    memory = ctypes.string_at(id(probe), _random.Random.__basicsize__)
    offset = memory.find(struct.pack(f"={1 + _WORDS}I", state[-1], *state[:-1]))
    return offset if version == 3 and offset > 0 else None


# --------------------------------------------------------------------------------------------------- numpy's legacy one


def read_numpy() -> Reading | None:
    """State of the generator behind ``numpy.random.normal()``; None while numpy's random numbers are not loaded."""
    if loaded_numpy_random() is None:
        return None
    generator = sys.modules["numpy.random.mtrand"]._rand
    bits = generator._bit_generator
    places = _numpy_places()
    if places is None or type(bits).__name__ != "MT19937":
        return (json.dumps(_encode(generator.get_state(legacy=False)), sort_keys=True),)
    with bits.lock:  # another thread may be drawing without the interpreter's lock
        words = ctypes.string_at(bits.ctypes.state_address, _WORD_BYTES + 4)
        gauss = ctypes.string_at(id(generator) + places, 16)
    return words, gauss


def write_numpy(reading: Reading) -> dict[str, Any]:
    """A reading as JSON can hold it."""
    if len(reading) == 1:
        return {"generator": "numpy", **json.loads(str(reading[0]))}
    raw, waiting = reading
    assert isinstance(raw, bytes)
    assert isinstance(waiting, bytes)
    (position,) = struct.unpack("=i", raw[_WORD_BYTES:])
    has_gauss, gauss = struct.unpack("@id", waiting)
    key = {"array": _little(raw[:_WORD_BYTES]).hex(), "dtype": "<u4"}
    return {
        "generator": "numpy",
        "bit_generator": "MT19937",
        "state": {"key": key, "pos": position},
        "has_gauss": has_gauss,
        "gauss": {"float": gauss.hex()},
    }


def set_numpy(state: dict[str, Any]) -> None:
    """Set what ``write_numpy`` wrote; a bit generator of another kind is put in place first."""
    numbers: Any = importlib.import_module("numpy.random")
    wanted = _decode({key: value for key, value in state.items() if key != "generator"})
    generator: Any = sys.modules["numpy.random.mtrand"]._rand
    if type(generator._bit_generator).__name__ != wanted["bit_generator"]:
        numbers.set_bit_generator(getattr(numbers, wanted["bit_generator"])(0))
    generator.set_state(wanted)


@lru_cache(maxsize=1)
def _numpy_places() -> int | None:
    """Where a ``RandomState`` keeps the second Gaussian of a pair, after its flag; None when memory looks otherwise than known."""
    if sys.implementation.name != "cpython":
        return None
    # Not `numpy.random`: right after its import, when this is first asked, it is not yet an attribute of numpy.
    numbers: Any = sys.modules["numpy.random"]
    probe = numbers.RandomState(numbers.MT19937(20240229))  # given an integer, it would draw entropy first
    words = probe.get_state(legacy=False)["state"]["key"]
    probe.set_state(("MT19937", words, 17, 1, _MAGIC))
    memory = ctypes.string_at(id(probe), type(probe).__basicsize__)
    offset = memory.find(struct.pack("@id", 1, _MAGIC))
    bits = probe._bit_generator
    found = ctypes.string_at(bits.ctypes.state_address, _WORD_BYTES + 4)
    return offset if offset > 0 and found == words.astype("=u4").tobytes() + struct.pack("=i", 17) else None


# ----------------------------------------------------------------------------------------------------------------- torch


def read_torch() -> Reading | None:
    """State of torch's generators: the processor's, and each CUDA device's when CUDA is in use; None while torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_rng_state"):  # half imported
        return None
    states = [torch.get_rng_state()]
    if torch.cuda.is_initialized():
        states += torch.cuda.get_rng_state_all()
    return tuple(bytes(state.cpu().numpy()) for state in states)


def write_torch(reading: Reading) -> dict[str, Any]:
    """A reading as JSON can hold it."""
    states = [state.hex() for state in reading if isinstance(state, bytes)]
    return {"generator": "torch", "cpu": states[0], "cuda": states[1:]}


def set_torch(state: dict[str, Any]) -> None:
    """Set what ``write_torch`` wrote; devices that this machine does not have are passed over."""
    import torch

    def tensor(text: str) -> Any:  # noqa: ANN401 - torch may not be there to name its types
        return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)

    torch.set_rng_state(tensor(state["cpu"]))
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([tensor(text) for text in state["cuda"]][: torch.cuda.device_count()])


# --------------------------------------------------------------------------------------------------------------- tables

READERS: dict[str, tuple[Callable[[], Reading | None], Callable[[Reading], dict[str, Any]]]] = {
    "python": (read_python, write_python),
    "numpy": (read_numpy, write_numpy),
    "torch": (read_torch, write_torch),
}
"""Field of ``RandomStates`` -> how its generator is read, and how a reading is written."""

_SETTERS: dict[str, Callable[[dict[str, Any]], None]] = {"python": set_python, "numpy": set_numpy, "torch": set_torch}


def set_state(data: bytes) -> None:
    """Set a generator to a state that was written; its library is imported when it is not loaded.

    Raises:
        ContentError: not a state, or one of a library that is not installed.
    """
    try:
        state = json.loads(data)
        _SETTERS[state["generator"]](state)
    except ImportError as error:
        raise ContentError("a random state cannot be restored", why=str(error), fix="install that library") from error
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ContentError("a random state cannot be restored", why=f"it is not one ({error})") from error


def _little(words: bytes) -> bytes:
    """Words as they lie in this machine's memory, in little-endian order."""
    return words if sys.byteorder == "little" else struct.pack(f"<{_WORDS}I", *struct.unpack(f">{_WORDS}I", words))


def _encode(value: Any) -> Any:  # noqa: ANN401 - numpy's dictionaries of states
    """A state of numpy's as JSON, exactly: arrays and floats as hexadecimal."""
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if hasattr(value, "dtype") and bool(getattr(value, "ndim", 0)):
        little = value.astype(value.dtype.newbyteorder("<"))
        return {"array": little.tobytes().hex(), "dtype": little.dtype.str}
    if isinstance(value, float):
        return {"float": float(value).hex()}
    return value if isinstance(value, str) else int(value)


def _decode(value: Any) -> Any:  # noqa: ANN401 - as above
    if not isinstance(value, dict):
        return value
    if "array" in value:
        import numpy as np

        return np.frombuffer(bytes.fromhex(value["array"]), dtype=value["dtype"]).astype(
            np.dtype(value["dtype"]).newbyteorder("=")
        )
    if "float" in value:
        return float.fromhex(value["float"])
    return {key: _decode(item) for key, item in value.items()}
