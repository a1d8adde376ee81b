"""Rules for torch's tensors and modules, and for the state dictionaries made of them.

Knows torch by the names of its classes and imports nothing of it. Where a tensor lies (which GPU) and whether it asks for gradients
is no part of its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineage_flows.content.hashing import name, node
from lineage_flows.content.naming import comes_from, type_name
from lineage_flows.content.reduction import reduce_value, reduced_steps
from lineage_flows.content.registry import Look, Steps
from lineage_flows.content.walk import Walk

__all__ = ["is_module", "is_tensor", "look_at_state", "look_at_tensor", "module_steps", "tensor_token"]

_NOT_LEARNED = frozenset({"training", "_is_full_backward_hook", "_compiled_call_impl"})
"""State of a module that says how it is used at the moment."""
_HOOKS = ("_hooks", "_hooks_with_kwargs", "_hooks_always_called", "_pre_hooks")


def is_tensor(cls: type) -> bool:
    """Whether instances are torch's tensors or parameters."""
    return comes_from(cls, "torch", "Tensor")


def is_module(cls: type) -> bool:
    """Whether instances are torch's modules."""
    return comes_from(cls, "torch", "Module")


def tensor_token(value: Any, _walk: Walk) -> bytes:  # noqa: ANN401 - torch's Tensor
    """Token of a tensor: its dtype and values, wherever they lie."""
    import numpy as np

    from lineage_flows.content.arrays import array_token

    plain = value.detach().cpu()
    try:
        array = np.asarray(plain.numpy())
    except TypeError:  # numpy has no bfloat16: the bits stand for it
        array = np.frombuffer(bytes(plain.contiguous().untyped_storage()), dtype=np.uint8)
    shape = ",".join(map(str, value.shape))
    return node(b"tensor", name(str(value.dtype), shape), array_token(array))


def module_steps(value: object, walk: Walk) -> Steps:
    """Token of a module: class, settings, parameters and buffers, of the modules in it too; hooks aside."""
    reduction = reduce_value(value)
    state = reduction[2] if isinstance(reduction, tuple) else None
    if type(state) is not dict:
        return (yield from reduced_steps(value, walk))
    strength = walk.strength
    kept = {key: item for key, item in state.items() if key not in _NOT_LEARNED and not key.endswith(_HOOKS)}
    (token,) = yield (kept,)
    walk.strength = strength
    walk.weaken("model")
    return node(b"module", name(type_name(type(value))), token)


def look_at_tensor(value: Any) -> Look:  # noqa: ANN401 - torch's Tensor
    """What is shown of a tensor."""
    shape = tuple(int(extent) for extent in value.shape)
    size = int(value.numel()) * int(value.element_size())
    return Look("DataSet" if shape and max(shape) > 1 else "Value", size=size, shape=shape)


def look_at_state(value: Mapping[Any, Any]) -> Look | None:
    """What is shown of a state dictionary, which is a model: names to tensors, and nothing else."""
    if not value or not all(type(key) is str and is_tensor(type(item)) for key, item in value.items()):
        return None
    size = sum(int(item.numel()) * int(item.element_size()) for item in value.values())
    return Look("Model", size=size, shape=(len(value),))
