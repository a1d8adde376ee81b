"""Rules for fitted models: scikit-learn's and who follows its interface, LightGBM's and XGBoost's boosters, skfolio's portfolios.

Knows these libraries by the names of their classes and imports none. A model's token is its class, the parameters it was made
with and what it learned, part by part; never its pickle, which is not the same twice.
"""

from __future__ import annotations

import functools
from typing import Any

from lineage_flows.content.hashing import name, node
from lineage_flows.content.naming import class_attribute, comes_from, type_name
from lineage_flows.content.reduction import reduce_value, reduced_steps
from lineage_flows.content.registry import Steps
from lineage_flows.content.statistics_models import is_result
from lineage_flows.content.torch_values import is_module
from lineage_flows.content.walk import Walk

__all__ = [
    "booster_parameters",
    "booster_steps",
    "estimator_steps",
    "is_booster",
    "is_bunch",
    "is_estimator",
    "is_model",
    "is_portfolio",
    "is_search_tree",
    "learned",
    "portfolio_steps",
    "search_tree_steps",
]

_NOT_LEARNED = {"_sklearn_version", "refit_time_", "_stop_words_id"}
"""Attributes of estimators that say when, by what or at which address they were fitted, not what was learned."""

_TIMES = "_time"
"""End of the keys of ``cv_results_`` that hold how long a fit took."""

_THREADS = {"num_threads", "num_thread", "nthread", "nthreads", "n_jobs"}
"""LightGBM parameters that name the machine's width; its trees do not depend on them."""

_TREE_STATE = 13
_TREE_COUNTERS = range(7, 11)
"""Where in the state of a search tree the numbers of trims, leaves, splits and calls are (scikit-learn 1.3 to 1.9)."""

_END_OF_TREES = "\nparameters:"


def is_estimator(cls: type) -> bool:
    """Whether instances have scikit-learn's interface: its base class, or ``get_params`` and ``fit``."""
    return comes_from(cls, "sklearn", "BaseEstimator") or (_has(cls, "get_params") and _has(cls, "fit"))


def is_model(cls: type) -> bool:
    """Whether instances are models: estimators, boosters, statsmodels' results, torch modules, what has ``fit`` and ``predict``."""
    if is_estimator(cls) or is_booster(cls) or (_has(cls, "fit") and _has(cls, "predict")):
        return True
    return is_result(cls) or is_module(cls)


def estimator_steps(value: object, walk: Walk) -> Steps:
    """Token of an estimator: its class, and its state without what says when or by what it was fitted."""
    strength = walk.strength
    reduction = reduce_value(value)
    if isinstance(reduction, str):
        return node(b"global", name(type_name(type(value)), reduction))
    function, arguments, state, items, pairs, setter = reduction
    if type(state) is dict:
        state = learned(state)
    tokens = yield (function, arguments, state, items, pairs, setter)
    # What a model is made of is walked by the pickle rule too; it is the model rule that answers for it.
    walk.strength = strength
    walk.weaken("model")
    return node(b"model", name(type_name(type(value))), *tokens)


def learned(state: dict[str, object]) -> dict[str, object]:
    """The state of an estimator without what says nothing about what was learned."""
    return {key: _learned(key, item) for key, item in state.items() if not _is_incidental(key, item)}


def _is_incidental(key: str, item: object) -> bool:
    """Whether an attribute says nothing about what was learned.

    A random generator that an estimator keeps for itself is often numpy's global one, which moves on with every draw of the
    program; one that is a parameter counts.
    """
    if key in _NOT_LEARNED:
        return True
    cls = type(item)
    own = key.startswith("_") or key.endswith("_")
    return own and (comes_from(cls, "numpy", "RandomState") or comes_from(cls, "numpy", "Generator"))


def _learned(key: str, item: object) -> object:
    if key == "cv_results_" and type(item) is dict:
        return {entry: result for entry, result in item.items() if not str(entry).endswith(_TIMES)}
    return item


def booster_parameters(value: Any) -> dict[str, object]:  # noqa: ANN401 - lightgbm.Booster
    """The parameters of a booster's training, without those that say how many threads it took."""
    return {key: item for key, item in (value.params or {}).items() if key not in _THREADS}


def booster_steps(value: Any, walk: Walk) -> Steps:  # noqa: ANN401 - lightgbm.Booster
    """Token of a booster: its trees and parameters."""
    if class_attribute(type(value), "model_to_string") is None:
        return (yield from _xgboost_steps(value, walk))
    trees = value.model_to_string(num_iteration=-1).partition(_END_OF_TREES)[0]
    tokens = yield (trees, booster_parameters(value), value.best_iteration, value.best_score, value.pandas_categorical)
    walk.weaken("model")
    return node(b"booster", *tokens)


def _xgboost_steps(value: Any, walk: Walk) -> Steps:  # noqa: ANN401 - xgboost.Booster
    """XGBoost's own portable form of a model, which has no parameters of training; of an unknown version, by the weaker rule."""
    if class_attribute(type(value), "save_raw") is None:
        return (yield from reduced_steps(value, walk))
    (token,) = yield (bytes(value.save_raw(raw_format="ubj")),)
    walk.weaken("model")
    return node(b"booster", name("xgboost"), token)


def portfolio_steps(value: object, walk: Walk) -> Steps:
    """The name that skfolio makes of a portfolio's address in memory, when nobody names it, is left out."""
    reduction = reduce_value(value)
    made = reduction[0] if isinstance(reduction, tuple) else None
    if type(made) is not functools.partial or not str(made.keywords.get("name", "")).isdigit():
        return (yield from reduced_steps(value, walk))
    walk.weaken("pickle")
    tokens = yield (made.func, {key: item for key, item in made.keywords.items() if key != "name"})
    return node(b"portfolio", *tokens)


def search_tree_steps(value: object, walk: Walk) -> Steps:
    """Token of scikit-learn's k-d and ball trees, without the counters that every query moves on."""
    reduction = reduce_value(value)
    state = reduction[2] if isinstance(reduction, tuple) else None
    if type(state) is not tuple or len(state) != _TREE_STATE:
        return (yield from reduced_steps(value, walk))
    walk.weaken("model")
    kept = [item for place, item in enumerate(state) if place not in _TREE_COUNTERS]
    (token,) = yield (kept,)
    return node(b"search tree", name(type_name(type(value))), token)


def is_bunch(cls: type) -> bool:
    """Whether instances are scikit-learn's dictionaries with attributes, which lose what is no item when they are pickled."""
    return comes_from(cls, "sklearn", "Bunch")


def is_search_tree(cls: type) -> bool:
    """Whether instances are scikit-learn's trees for neighbours."""
    return comes_from(cls, "sklearn", "BinaryTree") or comes_from(cls, "sklearn", "BinaryTree64")


def is_booster(cls: type) -> bool:
    """Whether instances are LightGBM's or XGBoost's own models."""
    return comes_from(cls, "lightgbm", "Booster") or comes_from(cls, "xgboost", "Booster")


def is_portfolio(cls: type) -> bool:
    """Whether instances are skfolio's portfolios."""
    return comes_from(cls, "skfolio", "BasePortfolio")


def _has(cls: type, method: str) -> bool:
    """Whether the class itself offers a method; an instance is not asked, since asking may run its own code."""
    return class_attribute(cls, method) is not None
