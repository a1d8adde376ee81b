"""A SageMaker in memory, for what an honest endpoint cannot be made to do at a given call: every fault, at every place.

It keeps the rules that the keeper rests on: identity of artifacts by URI and source types, of the others by name; a repeated Create
or AddAssociation refused; properties replaced as a set; entities with associations not deleted. What it gets is checked against
botocore's own service model. The contract tests run over HTTP instead (test_contract).
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

_MODEL = botocore.session.get_session().get_service_model("sagemaker")
_KINDS = ("Artifact", "Action", "Context")


def refusal(code: str, message: str = "", status: int = 400) -> ClientError:
    """An error as botocore raises it."""
    said = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, "Operation")


class Double:
    """Stands for a botocore client. ``before`` and ``after`` are called around each call, and may raise."""

    def __init__(self, region: str = "eu-central-1", account: str = "123456789012") -> None:
        self.account = f"arn:aws:sagemaker:{region}:{account}"
        self.meta = SimpleNamespace(region_name=region, endpoint_url=f"https://api.sagemaker.{region}.amazonaws.com")
        self.entities: dict[str, dict[str, Any]] = {}
        self.edges: dict[tuple[str, str], str] = {}
        self.tags: dict[str, list[dict[str, str]]] = {}
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str, dict[str, Any]], None] = lambda operation, given: None
        self.after: Callable[[str, dict[str, Any]], None] = lambda operation, given: None
        self.hidden: set[str] = set()
        """ARNs that lists do not show yet."""
        self._lock = threading.Lock()
        self._now = datetime(2026, 11, 20, tzinfo=UTC)

    def close(self) -> None:
        """Nothing to close."""

    def __getattr__(self, method: str) -> Callable[..., dict[str, Any]]:
        operation = "".join(part.title() for part in method.split("_"))

        def call(**given: Any) -> dict[str, Any]:
            validate_parameters(given, _MODEL.operation_model(operation).input_shape)
            _check(given, _MODEL.operation_model(operation).input_shape)
            with self._lock:
                self.calls[operation] += 1
            self.before(operation, given)
            with self._lock:
                answer = self._answer(operation, given)
            self.after(operation, given)
            return answer

        return call

    def named(self, name: str) -> dict[str, Any]:
        """The one entity of a name or URI."""
        (found,) = [item for item in self.entities.values() if name in {item.get("Name"), item["Source"]["SourceUri"]}]
        return found

    def _answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        verb = next(
            word for word in ("Create", "Describe", "Update", "Delete", "List", "Add") if operation.startswith(word)
        )
        what = operation.removeprefix(verb)
        if what == "Association":
            return self._add(given)
        if what == "Associations":
            return self._list_edges(given)
        kind = next(kind for kind in _KINDS if what.startswith(kind))
        return getattr(self, f"_{verb.lower()}")(kind, given)

    def _create(self, kind: str, given: dict[str, Any]) -> dict[str, Any]:
        given = json.loads(json.dumps(given))
        tags = given.pop("Tags", [])
        name = given.get(f"{kind}Name")
        if kind == "Artifact":
            types = sorted((item["SourceIdType"], item["Value"]) for item in given["Source"].get("SourceTypes", []))
            key = json.dumps([given["Source"]["SourceUri"], types])
            arn = f"{self.account}:artifact/{abs(hash(key)):032x}"
        else:
            arn = f"{self.account}:{kind.lower()}/{name}"
        if arn in self.entities:
            raise refusal("ValidationException", f"{kind} with the same name or source already exists: {arn[:40]}")
        self._now += timedelta(milliseconds=1)
        self.entities[arn] = {
            **given, "kind": kind, "Name": name, f"{kind}Arn": arn, "CreationTime": self._now, "LastModifiedTime": self._now,
        }  # fmt: skip
        self.tags[arn] = tags
        return {f"{kind}Arn": arn}

    def _describe(self, kind: str, given: dict[str, Any]) -> dict[str, Any]:
        return json_copy(self._one(kind, given))

    def _update(self, kind: str, given: dict[str, Any]) -> dict[str, Any]:
        entity = self._one(kind, given)
        for key in ("ArtifactName", "Description", "Status", "Properties"):
            if key in given:
                entity[key] = json.loads(json.dumps(given[key]))
        return {f"{kind}Arn": entity[f"{kind}Arn"]}

    def _list(self, kind: str, given: dict[str, Any]) -> dict[str, Any]:
        found = [
            item
            for arn, item in self.entities.items()
            if item["kind"] == kind
            and arn not in self.hidden
            and given.get("SourceUri") in {None, item["Source"]["SourceUri"]}
            and given.get(f"{kind}Type") in {None, item[f"{kind}Type"]}
        ]
        found.sort(key=lambda item: item["CreationTime"], reverse=True)
        return self._page(f"{kind}Summaries", found, given)

    def _list_edges(self, given: dict[str, Any]) -> dict[str, Any]:
        found = [
            {"SourceArn": source, "DestinationArn": destination, "AssociationType": kind, "CreationTime": self._now}
            for (source, destination), kind in sorted(self.edges.items())
            if given.get("SourceArn") in {None, source}
            and given.get("DestinationArn") in {None, destination}
            and given.get("AssociationType") in {None, kind}
        ]
        return self._page("AssociationSummaries", found, given)

    @staticmethod
    def _page(field: str, found: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
        begin, size = int(given.get("NextToken", 0)), given.get("MaxResults", 10)
        more = {"NextToken": str(begin + size)} if begin + size < len(found) else {}
        return {field: [json_copy(item) for item in found[begin : begin + size]], **more}

    def _add(self, given: dict[str, Any]) -> dict[str, Any]:
        pair = given["SourceArn"], given["DestinationArn"]
        for arn in pair:
            if arn not in self.entities:
                raise refusal("ResourceNotFound", f"{arn} does not exist")
        if pair in self.edges:
            raise refusal("ValidationException", "Association already exists")
        self.edges[pair] = given["AssociationType"]
        return {"SourceArn": pair[0], "DestinationArn": pair[1]}

    def vanish(self, arn: str) -> None:
        """Somebody deletes an entity, its associations first."""
        del self.entities[arn]
        self.edges = {pair: kind for pair, kind in self.edges.items() if arn not in pair}

    def _one(self, kind: str, given: dict[str, Any]) -> dict[str, Any]:
        given_name = given.get(f"{kind}Arn") or given[f"{kind}Name"]
        arn = given_name if given_name.startswith("arn:") else f"{self.account}:{kind.lower()}/{given_name}"
        if arn not in self.entities:
            raise refusal("ResourceNotFound", f"{kind} {given_name} does not exist")
        return self.entities[arn]


def json_copy(item: dict[str, Any]) -> dict[str, Any]:
    """A copy two levels deep: what a caller changes must not change what stands."""
    return {key: dict(value) if isinstance(value, dict) else value for key, value in item.items()}


def _check(value: Any, shape: Any) -> None:
    """Longest, pattern and enumeration, which botocore does not check."""
    if shape.type_name == "structure":
        for name, item in value.items():
            _check(item, shape.members[name])
    elif shape.type_name == "map":
        assert len(value) <= shape.metadata.get("max", len(value)), shape.name
        for key, item in value.items():
            _check(key, shape.key)
            _check(item, shape.value)
    elif shape.type_name == "list":
        assert len(value) <= shape.metadata.get("max", len(value)), shape.name
        for item in value:
            _check(item, shape.member)
    elif shape.type_name == "string":
        assert len(value) <= shape.metadata.get("max", len(value)), (shape.name, value)
        assert not shape.enum or value in shape.enum, (shape.name, value)
        if pattern := shape.metadata.get("pattern"):
            plain = pattern.replace(r"\p{L}\p{Z}\p{N}", r"\w ")
            assert re.fullmatch(plain, value), (shape.name, value)
