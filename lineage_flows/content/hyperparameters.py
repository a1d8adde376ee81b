"""What a model was made with, by the names its library gives them: shown beside its fingerprint, and no part of that.

Knows scikit-learn's convention, boosters and statsmodels by the names of their classes, and imports none of them. Estimators are
asked past their methods: ``get_params`` may run code of the user's, or warn.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from lineage_flows.content.guard import attempt
from lineage_flows.content.naming import comes_from, mro, own_attributes, shown_name
from lineage_flows.content.properties import MOST_ENTRIES, plain_mapping
from lineage_flows.content.records import instance_state
from lineage_flows.content.statistics_models import is_result, result_hyperparameters

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["hyperparameters"]

_DEEPEST = 5
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_NESTED = ("kwargs", "_other_params")
"""Where XGBoost's and LightGBM's estimators keep the parameters that they have no name for."""
_names_known: WeakKeyDictionary[type, list[str]] = WeakKeyDictionary()
_TRAINING = ("booster", "objective", "num_class", "num_feature", "multi_strategy", "num_parallel_tree")


def hyperparameters(model: object) -> dict[str, JsonValue]:
    """The parameters of a model as JSON, those of estimators inside it as ``step__parameter``; empty when they are not known."""
    found, _ = attempt(_named, model)
    return plain_mapping(found or {})


def _named(model: Any) -> dict[str, object]:  # noqa: ANN401 - any model
    cls = type(model)
    if comes_from(cls, "lightgbm", "Booster"):
        return dict(model.params or {})
    if comes_from(cls, "xgboost", "Booster"):
        return _booster(json.loads(model.save_config())["learner"])
    if is_result(cls):
        return result_hyperparameters(model)
    found: dict[str, object] = {}
    for name, value in _parameters(model, "", 0):
        if len(found) > MOST_ENTRIES:
            break
        found[name] = value
    return found


def _booster(learner: dict[str, Any]) -> dict[str, object]:
    """XGBoost's own account of a booster: what its trees were grown with."""
    found = {**learner.get("learner_train_param", {}), **learner.get("learner_model_param", {})}
    found = {key: value for key, value in found.items() if key in _TRAINING}
    gradient = learner.get("gradient_booster", {})
    for group in ("gbtree_model_param", "tree_train_param"):
        found |= gradient.get(group, {})
    return found


def _parameters(model: object, prefix: str, depth: int) -> Iterator[tuple[str, object]]:
    state = instance_state(model)
    for name in _names(type(model)):
        if name not in state:
            continue
        value = state[name]
        if _is_estimator(value):
            yield prefix + name, shown_name(type(value))
            if depth < _DEEPEST:
                yield from _parameters(value, f"{prefix}{name}__", depth + 1)
        elif (steps := _steps(value)) and depth < _DEEPEST:
            for title, step in steps:
                yield prefix + title, shown_name(type(step)) if _is_estimator(step) else step
                yield from _parameters(step, f"{prefix}{title}__", depth + 1)
        else:
            yield prefix + name, value
    for name in _NESTED:
        more = state.get(name)
        if type(more) is dict:
            yield from ((prefix + key, value) for key, value in more.items() if type(key) is str)


def _names(cls: type) -> list[str]:
    """The parameters that a class is made with, those of its bases where it takes them on as ``**kwargs``."""
    if cls in _names_known:
        return _names_known[cls]
    found: dict[str, None] = {}
    for base in mro(cls):
        make = own_attributes(base).get("__init__")
        if not inspect.isfunction(make):
            continue
        parameters = list(inspect.signature(make).parameters.values())[1:]
        found |= dict.fromkeys(item.name for item in parameters if item.kind not in _VARIADIC)
        if not any(item.kind in _VARIADIC for item in parameters):
            break
    _names_known[cls] = list(found)
    return _names_known[cls]


def _is_estimator(value: object) -> bool:
    cls = type(value)
    return comes_from(cls, "sklearn", "BaseEstimator") or comes_from(cls, "xgboost", "XGBModel")


def _steps(value: object) -> list[tuple[str, object]]:
    """The named estimators of a pipeline, a vote, a column transformer; empty for any other list."""
    if type(value) is not list or not value or not all(type(item) is tuple and len(item) >= 2 for item in value):
        return []
    named = [(item[0], item[1]) for item in value]
    if all(type(title) is str for title, _ in named) and any(_is_estimator(step) for _, step in named):
        return named
    return []
