"""What every operation has at hand: the graph, the account's limits, and the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lineage_flows.endpoint.answer_cache import AnswerCache
from lineage_flows.endpoint.moments import utc_now
from lineage_flows.endpoint.query_lineage import Answer as Walked
from lineage_flows.endpoint.query_lineage import Query
from lineage_flows.endpoint.search_pages import Ranking
from lineage_flows.endpoint.store import Store

__all__ = ["Answer", "Backend", "Handler", "Quotas", "Request"]

Request = dict[str, Any]
"""A request's members by name, validated: moments are RFC 3339 texts, the rest is as in JSON."""

Answer = dict[str, Any]
"""An answer's members by name, as JSON has them: moments are seconds since 1970. None is left out."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """How many of each an account may have; None for as many as there is room for. The defaults are AWS's.

    Attributes:
        count_recorded: whether what flows recorded counts as well. AWS counts what is made by hand, and not what SageMaker
            creates itself; so it does not, unless told.
    """

    actions: int | None = 3000
    artifacts: int | None = 6000
    associations: int | None = 6000
    contexts: int | None = 500
    count_recorded: bool = False

    def of(self, kind: str) -> int | None:
        """The quota of a kind: ``Action``, ``Artifact``, ``Association``, ``Context``."""
        limits = {
            "Action": self.actions,
            "Artifact": self.artifacts,
            "Association": self.associations,
            "Context": self.contexts,
        }
        return limits[kind]


@dataclass(frozen=True, slots=True)
class Backend:
    """The state behind the operations.

    Attributes:
        store: the graph.
        quotas: the account's limits.
        now: gives moments as the graph writes them.
        walked: answers of QueryLineage whose pages may be asked for.
        searched: the same of Search, by the request without its page.
    """

    store: Store
    quotas: Quotas = field(default_factory=Quotas)
    now: Callable[[], str] = utc_now
    walked: AnswerCache[Query, Walked] = field(default_factory=AnswerCache)
    searched: AnswerCache[bytes, Ranking] = field(default_factory=AnswerCache)


Handler = Callable[[Backend, Request], Answer]
"""An operation. It raises ``errors.ServiceError`` when it cannot be done, and has changed nothing then."""
