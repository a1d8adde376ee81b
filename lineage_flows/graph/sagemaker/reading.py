"""Reads a graph out of SageMaker: entities, lists, associations and walks, in many calls side by side.

Knows calls and the model. SageMaker answers less than the embedded graph can: its lists know URI, type and name, and nothing of
properties, so that what is asked by a property is looked for in a list, newest first, and each hit described. SageMaker keeps
nothing of an association but its ends and its type: ``uses`` are empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, cast

from lineage_flows.errors import SageMakerError
from lineage_flows.graph.keeper import Direction
from lineage_flows.graph.model import Action, Artifact, Association, AssociationType, Context, Entity, LineageType
from lineage_flows.graph.sagemaker import wire
from lineage_flows.graph.sagemaker.client import WORKERS, Client
from lineage_flows.graph.sagemaker.components import component, is_component
from lineage_flows.graph.sagemaker.parallel import in_parallel
from lineage_flows.graph.sagemaker.writing import describe

__all__ = ["Reader"]

_RUN_TYPES: Final = frozenset({"FlowRun", "Replay"})
_ID_LENGTH: Final = 36
_KINDS: Final[dict[str, LineageType]] = {"artifact": "Artifact", "action": "Action", "context": "Context"}

_Summary = dict[str, Any]


class Reader:
    """One question's view of SageMaker: what was read once is not read again. Made anew for each question.

    Args:
        client: who is asked.
        namespace: of the jobs of this home, by which a run's URI is known without a search.
    """

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._entities: dict[str, Entity | None] = {}
        self._edges: dict[tuple[str | None, str | None], list[Association]] = {}

    def get(self, arns: Iterable[str]) -> dict[str, Entity]:
        """See ``Keeper``. A trial component is an action here; whatever else an association may end at is not known."""
        wanted = list(dict.fromkeys(arns))
        todo = [arn for arn in wanted if arn not in self._entities]
        for arn, entity, error in in_parallel(self._describe, todo, WORKERS):
            if error is not None:
                raise error
            self._entities[arn] = entity
        return {arn: entity for arn in wanted if (entity := self._entities[arn]) is not None}

    def list_artifacts(
        self, *, source_uri: str | None = None, artifact_types: Sequence[str] = (), limit: int | None = None
    ) -> list[Artifact]:
        """See ``Keeper``."""
        asked: list[dict[str, object]] = [{"ArtifactType": kind} for kind in artifact_types] or [{}]
        by_uri = {} if source_uri is None else {"SourceUri": source_uri}
        found = self._newest("Artifact", [by_uri | each for each in asked])
        return [entity for entity in self._described(found, limit) if isinstance(entity, Artifact)]

    def list_actions(
        self,
        *,
        run_id: str | None = None,
        action_types: Sequence[str] = (),
        flow: str | None = None,
        run_name: str | None = None,
        commit: str | None = None,
        name: str | None = None,
        roots_only: bool = False,
        limit: int | None = None,
    ) -> list[Action]:
        """See ``Keeper``."""

        def fits(entity: Entity) -> bool:
            return (
                isinstance(entity, Action)
                and (run_id is None or (entity.source_id or "").startswith(run_id))
                and (not action_types or entity.type in action_types)
                and (flow is None or entity.properties.get("flow") == flow)
                and (run_name is None or entity.properties.get("name") == run_name)
                and (commit is None or (entity.metadata.commit_id or "").startswith(commit))
                and (name is None or entity.name == name)
                and not (roots_only and "parentRunId" in entity.properties)
            )

        if name is not None:
            found: Iterable[str] = [action.arn for action in self._named("Action", name)]
        elif run_id is not None:
            found = self._of_run(run_id, action_types)
        elif flow is not None and action_types and _RUN_TYPES.issuperset(action_types):
            found = self._of_flow(flow)
        else:
            asked: list[dict[str, object]] = [{"ActionType": kind} for kind in action_types] or [{}]
            found = self._newest("Action", asked)
        return [entity for entity in self._described(found, limit, fits) if isinstance(entity, Action)]

    def list_contexts(self, *, name: str | None = None, limit: int | None = None) -> list[Context]:
        """See ``Keeper``."""
        if name is not None:
            return [entity for entity in self._named("Context", name) if isinstance(entity, Context)][:limit]
        return [
            entity for entity in self._described(self._newest("Context", [{}]), limit) if isinstance(entity, Context)
        ]

    def associations(
        self,
        *,
        sources: Iterable[str] | None = None,
        destinations: Iterable[str] | None = None,
        types: Sequence[AssociationType] = (),
    ) -> list[Association]:
        """See ``Keeper``. The end of which fewer are given is asked for, one call each."""
        starts = None if sources is None else set(sources)
        ends = None if destinations is None else set(destinations)
        if starts is not None and (ends is None or len(starts) <= len(ends)):
            found = self._of_ends([(arn, None) for arn in sorted(starts)])
        elif ends is not None:
            found = self._of_ends([(None, arn) for arn in sorted(ends)])
        else:
            found = self._of_ends([(None, None)])
        return _ordered(
            edge
            for edge in found
            if (starts is None or edge.source_arn in starts)
            and (ends is None or edge.destination_arn in ends)
            and (not types or edge.association_type in types)
        )

    def closure(self, arns: Iterable[str], direction: Direction, types: Sequence[AssociationType]) -> list[Association]:
        """See ``Keeper``. Breadth first, a level's entities side by side; QueryLineage ends at a depth of ten."""
        seen: set[str] = set()
        level = sorted(set(arns))
        found: dict[tuple[str, str, str], Association] = {}
        while level:
            seen.update(level)
            given = {"destinations": level} if direction == "up" else {"sources": level}
            edges = self.associations(types=types, **given)
            found |= {(edge.source_arn, edge.destination_arn, edge.association_type): edge for edge in edges}
            far = {edge.source_arn if direction == "up" else edge.destination_arn for edge in edges}
            level = sorted(far - seen)
        return _ordered(found.values())

    def search(self, text: str, *, limit: int | None = None) -> list[Entity]:
        """See ``Keeper``; in names, URIs, types and source ids. SageMaker's own Search does not cover lineage."""
        words = text.casefold().split()
        found: list[_Summary] = []
        for kind in _KINDS.values():
            found += [{"kind": kind, **item} for item in self._summaries(kind, {}) if _holds(item, words, kind)]
        found.sort(key=lambda item: (-item["CreationTime"].timestamp(), item[f"{item['kind']}Arn"]))
        return self._described((item[f"{item['kind']}Arn"] for item in found), limit)

    def _describe(self, arn: str) -> Entity | None:
        kind = _kind_of(arn)
        if kind is None:
            return component(self._client, arn) if is_component(arn) else None
        try:
            return wire.read(kind, describe(self._client, kind, arn))
        except SageMakerError as error:
            # An ARN of another account, region or graph is refused as invalid; it means nothing here either way.
            if error.problem in {"missing", "invalid"}:
                return None
            raise

    def _named(self, kind: LineageType, name: str) -> list[Entity]:
        try:
            entity = wire.read(kind, describe(self._client, kind, name))
        except SageMakerError as error:
            if error.problem in {"missing", "invalid"}:
                return []
            raise
        self._entities[entity.arn] = entity
        return [entity]

    def _described(
        self, arns: Iterable[str], limit: int | None, fits: Callable[[Entity], bool] = lambda entity: True
    ) -> list[Entity]:
        """Entities in the order of their ARNs, as many at a time as are read side by side, until there are enough."""
        found: list[Entity] = []
        rest = iter(dict.fromkeys(arns)) if not isinstance(arns, Iterator) else arns
        size = WORKERS if limit is None else max(1, min(WORKERS, limit))
        while batch := list(islice(rest, size)):
            if limit is not None and len(found) >= limit:
                break
            entities = self.get(batch)
            found += [entity for arn in batch if (entity := entities.get(arn)) is not None and fits(entity)]
        found.sort(key=lambda entity: entity.arn)
        found.sort(key=lambda entity: entity.created_at, reverse=True)
        return found[:limit]

    def _newest(self, kind: LineageType, asked: Sequence[dict[str, object]]) -> Iterator[str]:
        """ARNs of a kind, newest first: of one question as the list comes, of several when all of them are read."""
        if len(asked) == 1:
            yield from (item[f"{kind}Arn"] for item in self._summaries(kind, asked[0]))
            return
        found = [item for each in asked for item in self._summaries(kind, each)]
        found.sort(key=lambda item: item["CreationTime"], reverse=True)
        yield from (item[f"{kind}Arn"] for item in found)

    def _summaries(self, kind: LineageType, asked: dict[str, object]) -> Iterator[_Summary]:
        sorting = {"SortBy": "CreationTime", "SortOrder": "Descending"}
        return self._client.listed(f"List{kind}s", f"{kind}Summaries", **asked, **sorting)

    def _of_run(self, run_id: str, types: Sequence[str]) -> Iterator[str]:
        """A whole id is asked for by its URI; the start of one, or one of another namespace, is looked for in the list."""
        if len(run_id) == _ID_LENGTH:
            uris = [f"prefect://{self._namespace}/{what}/{run_id}" for what in ("flow-run", "task-run")]
            known = [arn for uri in uris for arn in self._newest("Action", [{"SourceUri": uri}])]
            if known:
                yield from known
                return
        asked: list[dict[str, object]] = [{"ActionType": kind} for kind in types] or [{}]
        for each in asked:
            for item in self._summaries("Action", each):
                if str((item.get("Source") or {}).get("SourceId", "")).startswith(run_id):
                    yield item["ActionArn"]

    def _of_flow(self, flow: str) -> Iterator[str]:
        """The runs of a flow, newest first: over the associations of its contexts, one a namespace."""
        contexts = [
            item["ContextArn"]
            for item in self._summaries("Context", {"ContextType": "Flow"})
            if (item.get("Source") or {}).get("SourceId") == flow
        ]
        edges = self.associations(destinations=contexts, types=("AssociatedWith",)) if contexts else []
        edges.sort(key=lambda edge: edge.created_at, reverse=True)
        yield from (edge.source_arn for edge in edges)

    def _of_ends(self, pairs: Sequence[tuple[str | None, str | None]]) -> list[Association]:
        todo = [pair for pair in pairs if pair not in self._edges]
        for pair, edges, error in in_parallel(self._list_edges, todo, WORKERS):
            if error is not None:
                raise error
            self._edges[pair] = edges or []
        return [edge for pair in pairs for edge in self._edges[pair]]

    def _list_edges(self, pair: tuple[str | None, str | None]) -> list[Association]:
        source, destination = pair
        if any(arn is not None and not _may_be_known(arn) for arn in pair):
            return []
        asked = {"SourceArn": source} if source is not None else {}
        asked |= {"DestinationArn": destination} if destination is not None else {}
        try:
            found = list(self._client.listed("ListAssociations", "AssociationSummaries", **asked))
        except SageMakerError as error:
            if error.problem in {"missing", "invalid"}:
                return []
            raise
        return [
            Association.model_construct(
                source_arn=item["SourceArn"],
                destination_arn=item["DestinationArn"],
                association_type=cast("AssociationType", item.get("AssociationType") or "AssociatedWith"),
                uses=(),
                created_at=wire.moment(item.get("CreationTime")),
            )
            for item in found
            if _may_be_known(item["SourceArn"]) and _may_be_known(item["DestinationArn"])
        ]


def _kind_of(arn: str) -> LineageType | None:
    """What an ARN names: the word that its last part begins with; None of a trial component, which the model does not have."""
    return _KINDS.get(arn.rpartition(":")[2].partition("/")[0]) if arn.startswith("arn:") else None


def _may_be_known(arn: str) -> bool:
    return _kind_of(arn) is not None or is_component(arn)


def _holds(item: _Summary, words: Sequence[str], kind: LineageType) -> bool:
    source = item.get("Source") or {}
    said = (item.get(f"{kind}Name"), item.get(f"{kind}Type"), source.get("SourceUri"), source.get("SourceId"))
    text = "\n".join(part for part in said if part).casefold()
    return all(word in text for word in words)


def _ordered(edges: Iterable[Association]) -> list[Association]:
    return sorted(edges, key=lambda edge: (edge.source_arn, edge.destination_arn, edge.association_type))
