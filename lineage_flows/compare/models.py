"""Compares fitted models: what they were made with and what they learned, by the names their libraries give it.

Knows scikit-learn's interface, LightGBM, XGBoost, statsmodels and torch by the names of their classes and imports none. A model
of any other library is compared by its attributes, as every object is.
"""

from __future__ import annotations

import json
from typing import Any

from lineage_flows.compare.walk import Walk
from lineage_flows.content.models import booster_parameters, learned
from lineage_flows.content.naming import class_attribute, shown_name
from lineage_flows.content.reduction import reduce_value
from lineage_flows.content.statistics_models import estimates

__all__ = ["boosters", "estimators", "modules", "results", "tensors"]

_END_OF_TREES = "\nparameters:"
_NUMERIC = frozenset("0123456789+-.einfa ")
"""Characters that lists of numbers are written with in LightGBM's models; ``nan`` and ``inf`` among them."""


def estimators(walk: Walk, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - anything with scikit-learn's interface
    """Compare two estimators: parameters and what was learned, by attribute."""
    if type(a) is not type(b):
        walk.differ(where, f"{shown_name(type(a))} became {shown_name(type(b))}")
        return
    states = [reduced[2] if isinstance(reduced := reduce_value(item), tuple) else None for item in (a, b)]
    if not isinstance(states[0], dict) or not isinstance(states[1], dict):
        walk.differ(where, f"{shown_name(type(a))} cannot be looked into")
        return
    walk.named(learned(states[0]), learned(states[1]), where)


def boosters(walk: Walk, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - lightgbm.Booster or xgboost.Booster
    """Compare two boosters: their trees, each by the names of its fields, and the parameters of their training."""
    if class_attribute(type(a), "model_to_string") is not None:
        found = [
            {
                **_trees(item.model_to_string(num_iteration=-1)),
                "params": booster_parameters(item),
                "best_iteration": item.best_iteration,
                "best_score": item.best_score,
                "pandas_categorical": item.pandas_categorical,
            }
            for item in (a, b)
        ]
    else:
        found = [json.loads(bytes(item.save_raw(raw_format="json"))) for item in (a, b)]
    walk.compare(found[0], found[1], where)


def results(walk: Walk, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - statsmodels' results
    """Compare two fits of statsmodels: the estimates, then the settings and names of the model, then its data."""
    walk.compare(estimates(a), estimates(b), where)


def tensors(walk: Walk, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - torch.Tensor
    """Compare two tensors, wherever they lie."""
    if a.dtype != b.dtype:
        walk.alike(where, f"{a.dtype} became {b.dtype}")
    walk.compare(_array(a), _array(b), where)


def modules(walk: Walk, a: Any, b: Any, where: str) -> None:  # noqa: ANN401 - torch.nn.Module
    """Compare two modules: class, parameters and buffers by name."""
    if type(a) is not type(b):
        walk.differ(where, f"{shown_name(type(a))} became {shown_name(type(b))}")
    walk.compare(dict(a.state_dict()), dict(b.state_dict()), where)
    if str(a) != str(b):
        walk.texts(str(a), str(b), f"{where}/layers")


def _array(tensor: Any) -> Any:  # noqa: ANN401 - numpy's array of a tensor
    plain = tensor.detach().cpu()
    try:
        return plain.numpy()
    except TypeError:  # numpy has no bfloat16; single precision holds all of its numbers
        return plain.float().numpy()


def _trees(text: str) -> dict[str, Any]:
    """LightGBM's text form of a model as names and numbers: ``{"Tree=0": {"leaf_value": array, ...}}``."""
    found: dict[str, Any] = {}
    section: dict[str, Any] = found
    for line in text.partition(_END_OF_TREES)[0].splitlines():
        name, separator, value = line.partition("=")
        if name == "Tree" and separator:
            section = found.setdefault(f"tree {value}", {})
        elif name.startswith("tree_sizes"):
            continue  # how many characters each tree takes: not the same when a digit more is written
        elif separator:
            section[name] = _numbers(value)
    return found


def _numbers(text: str) -> Any:  # noqa: ANN401 - an array, or the text
    if not text.strip() or not set(text) <= _NUMERIC:
        return text
    import numpy as np

    try:
        return np.array([float(item) for item in text.split()])
    except ValueError:
        return text
