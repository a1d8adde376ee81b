"""The order in which types without a rule of their own class are given one, and the rules of the standard library loaded.

Knows the modules of rules; what a rule does stands there.
"""

from __future__ import annotations

from collections.abc import Callable

from lineage_flows.content import callables  # noqa: F401 - registers its rules
from lineage_flows.content.containers import dict_subclass_steps, is_set, set_subclass_steps
from lineage_flows.content.models import (
    booster_steps,
    estimator_steps,
    is_booster,
    is_bunch,
    is_estimator,
    is_portfolio,
    is_search_tree,
    portfolio_steps,
    search_tree_steps,
)
from lineage_flows.content.pictures import image_token, is_image, is_plotly, plotly_steps
from lineage_flows.content.records import is_attrs, is_dataclass, is_named_tuple, record_steps
from lineage_flows.content.reduction import reduced_steps
from lineage_flows.content.refused import is_connection, is_iterator, refuse_connection, refuse_iterator
from lineage_flows.content.registry import Rule, add_predicates, without_parts
from lineage_flows.content.statistics_models import is_result, result_steps
from lineage_flows.content.torch_values import is_module, is_tensor, module_steps, tensor_token

PREDICATES: tuple[tuple[Callable[[type], bool], Rule], ...] = (
    (is_iterator, Rule(steps=without_parts(refuse_iterator))),
    (is_connection, Rule(steps=without_parts(refuse_connection))),
    (is_tensor, Rule(steps=without_parts(tensor_token))),
    (is_module, Rule(steps=module_steps)),
    (is_booster, Rule(steps=booster_steps)),
    (is_result, Rule(steps=result_steps)),
    (is_plotly, Rule(steps=plotly_steps)),
    (is_image, Rule(steps=without_parts(image_token))),
    (is_estimator, Rule(steps=estimator_steps)),
    (is_search_tree, Rule(steps=search_tree_steps)),
    (is_bunch, Rule(steps=dict_subclass_steps)),
    (is_portfolio, Rule(steps=portfolio_steps)),
    (is_named_tuple, Rule(steps=record_steps)),
    (is_dataclass, Rule(steps=record_steps)),
    (is_attrs, Rule(steps=record_steps)),
    (is_set, Rule(steps=set_subclass_steps)),
    (lambda _cls: True, Rule(steps=reduced_steps)),
)
"""Asked from the top; the last fits every type."""

add_predicates(PREDICATES)
