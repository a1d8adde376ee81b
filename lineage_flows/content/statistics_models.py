"""The rule for what statsmodels gives out of a fit: what was estimated, by which model, of which data.

Knows statsmodels by the names of its classes and imports none of them. Its results compute and remember as they are asked (a
summary, standard errors): their own state is not the same before and after, and no part of the token.
"""

from __future__ import annotations

from typing import Any

from lineage_flows.content.guard import attempt
from lineage_flows.content.hashing import name, node
from lineage_flows.content.naming import comes_from, type_name
from lineage_flows.content.records import instance_state
from lineage_flows.content.reduction import reduced_steps
from lineage_flows.content.registry import Steps
from lineage_flows.content.walk import Walk

__all__ = ["estimates", "is_result", "result_hyperparameters", "result_steps"]

_ESTIMATED = ("params", "normalized_cov_params", "scale", "cov_type", "k_ar", "sigma_u")
_DATA = ("endog", "exog")
_NO_SETTINGS = frozenset({"missing_idx", "model_spec", "design_info", "missing"})
"""Arguments of a model that are derived from its formula and data."""
_MOST_NAMES = 100


def is_result(cls: type) -> bool:
    """Whether instances are statsmodels' results of a fit."""
    return comes_from(cls, "statsmodels", "ResultsWrapper") or comes_from(cls, "statsmodels", "Results")


def result_steps(value: object, walk: Walk) -> Steps:
    """Token of a result: its class and its model's, the estimates, the model's settings and its data."""
    result, model = _parts(value)
    estimated = {key: _of(result, key) for key in _ESTIMATED}
    if model is None or estimated["params"] is None:
        return (
            yield from reduced_steps(value, walk)
        )  # of a version, or a kind, that is not built as is known: a weaker rule
    strength = walk.strength
    data = {key: _of(model, key) for key in _DATA}
    tokens = yield (estimated, data, _settings(model), _names(model, "endog_names"), _names(model, "exog_names"))
    # A family or a link is walked by the pickle rule; it is the model rule that answers for it.
    walk.strength = strength
    walk.weaken("model")
    return node(b"fit", name(type_name(type(result)), type_name(type(model))), *tokens)


def estimates(value: object) -> dict[str, object]:
    """What a fit estimated, by which model with which settings, of which data, by name; what there is not is left out."""
    result, model = _parts(value)
    found = {
        "class": f"{type_name(type(result))} of {type_name(type(model))}",
        **{key: _of(result, key) for key in _ESTIMATED},
        **_settings(model),
        **{key: _names(model, f"{key}_names") for key in _DATA},
        **{f"{key} (data)": _of(model, key) for key in _DATA},
    }
    return {key: item for key, item in found.items() if item is not None}


def result_hyperparameters(value: object) -> dict[str, object]:
    """Model, formula, names and settings of a fit."""
    result, model = _parts(value)
    settings = {key: item for key, item in _settings(model).items() if item is not None and not hasattr(item, "shape")}
    found = {
        "model": type(model).__qualname__,
        "endog": _names(model, "endog_names"),
        "exog": _names(model, "exog_names"),
        **settings,
        "cov_type": _of(result, "cov_type"),
    }
    return {key: item for key, item in found.items() if item is not None}


def _parts(value: object) -> tuple[object, object]:
    """A result without its wrapper, and its model; None where there is none."""
    result = instance_state(value).get("_results", value)
    return result, instance_state(result).get("model")


def _of(owner: object, key: str) -> Any:  # noqa: ANN401 - whatever it holds
    state = instance_state(owner)
    if key in state:
        return state[key]
    found, _ = attempt(getattr, owner, key, None)
    return None if callable(found) else found


def _settings(model: object) -> dict[str, object]:
    keys = instance_state(model).get("_init_keys")
    named = [str(key) for key in keys] if isinstance(keys, list | tuple) else []
    found = {key: _of(model, key) for key in named if key not in _NO_SETTINGS}
    return {**found, "formula": _of(model, "formula"), "order": _of(model, "order")}


def _names(model: object, key: str) -> object:
    names = _of(model, key)
    return list(names)[:_MOST_NAMES] if isinstance(names, list | tuple) else names if isinstance(names, str) else None
