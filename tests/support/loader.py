"""A server that speaks ``/loader`` of Neptune's data API, as its service model and manual say: it reads the files from S3 and
checks them. Faults are set on it."""

from __future__ import annotations

import re
import tempfile
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from tests.support.neptune import Loaded, read_export
from tests.support.served import Asked, Served

ROLE = "arn:aws:iam::123456789012:role/neptune-reads"
_STYLES = {"csv": "gremlin", "opencypher": "opencypher"}
_BOOLEANS = {"failOnError", "queueRequest", "updateSingleCardinalityProperties", "userProvidedEdgeIds"}
_FIELDS = _BOOLEANS | {"source", "format", "region", "iamRoleArn", "mode", "parallelism", "parserConfiguration"}


class Loader(Served):
    """Use as a context manager.

    Attributes:
        s3: a boto3 client of the S3 it reads from.
        states: statuses that are said before the load is looked at, one a question; the last is said for ever if ``hangs``.
        throttled: so many requests are answered with 429 first.
        errors: error logs with which every load fails.
        graph: what was loaded last.
        started: bodies of the loads that were begun.
        asked: how often a status was asked for.
    """

    def __init__(self, s3: Any, region: str = "us-east-1") -> None:
        self.s3 = s3
        self.region = region
        self.states: list[str] = []
        self.hangs = False
        self.throttled = 0
        self.errors: list[dict[str, Any]] = []
        self.feed = "LOAD_FAILED"
        self.graph: Loaded | None = None
        self.started: list[dict[str, Any]] = []
        self.asked = 0
        self._loads: dict[str, dict[str, Any]] = {}
        super().__init__()

    def answered(self, asked: Asked) -> tuple[int, bytes]:
        status, document = (
            self.post(asked.path, orjson.loads(asked.body)) if asked.method == "POST" else self.get(asked.path)
        )
        return status, orjson.dumps(document)

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if refused := self._busy():
            return refused
        assert path == "/loader"
        if unknown := body.keys() - _FIELDS:
            return _error(400, "InvalidParameterException", f"unknown parameters {sorted(unknown)}")
        if body["format"] not in _STYLES:
            return _error(400, "InvalidParameterException", f"format {body['format']}")
        if body["format"] == "opencypher" and body.get("updateSingleCardinalityProperties"):
            return _error(400, "InvalidParameterException", "updateSingleCardinalityProperties is not for openCypher")
        if body["region"] != self.region:
            return _error(
                400, "BadRequestException", "Failed to start load because source region differs from the cluster's"
            )
        if body["iamRoleArn"] != ROLE:
            return _error(
                400,
                "BadRequestException",
                f"Failed to start load because of access denied to role {body['iamRoleArn']}",
            )
        load_id = str(uuid.uuid4())
        self.started.append(body)
        self._loads[load_id] = {"body": body, "states": list(self.states)}
        return 200, {"status": "200 OK", "payload": {"loadId": load_id}}

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        if refused := self._busy():
            return refused
        self.asked += 1
        parts = urlsplit(path)
        options = {key: values[0] for key, values in parse_qs(parts.query).items()}
        load = self._loads.get(unquote(parts.path.removeprefix("/loader/")))
        if load is None:
            return _error(404, "BulkLoadIdNotFoundException", "there is no such load")
        if load["states"]:
            state = load["states"][0] if self.hangs and len(load["states"]) == 1 else load["states"].pop(0)
            return 200, {
                "status": "200 OK",
                "payload": {"feedCount": [{state: 1}], "overallStatus": self._overall(state, load)},
            }
        if "state" not in load:
            self._load(load)
        payload: dict[str, Any] = {
            "feedCount": [{load["state"]: 1}],
            "overallStatus": self._overall(load["state"], load),
        }
        if options.get("details") == "true" and load["state"] != "LOAD_COMPLETED":
            payload["failedFeeds"] = [{**payload["overallStatus"], "status": self.feed}]
        if options.get("errors") == "true":
            page, size = int(options.get("page", 1)), int(options.get("errorsPerPage", 10))
            logs = load["errors"][(page - 1) * size : page * size]
            payload["errors"] = {"startIndex": (page - 1) * size + 1, "endIndex": page * size, "errorLogs": logs}
        return 200, {"status": "200 OK", "payload": payload}

    def _load(self, load: dict[str, Any]) -> None:
        """Read the files, as the loader does, and note what is wrong with them."""
        match = re.fullmatch(r"s3://([^/]+)/(.+)", load["body"]["source"])
        assert match
        load["errors"] = list(self.errors)
        with tempfile.TemporaryDirectory() as folder:
            for item in self.s3.list_objects_v2(Bucket=match[1], Prefix=match[2]).get("Contents", []):
                self.s3.download_file(match[1], item["Key"], str(Path(folder, item["Key"].rpartition("/")[2])))
            try:
                self.graph = read_export(Path(folder), _STYLES[load["body"]["format"]])
            except (AssertionError, ValueError) as error:
                log = {"errorCode": "PARSING_ERROR", "errorMessage": str(error).splitlines()[0], "recordNum": 1}
                load["errors"].append({**log, "fileName": load["body"]["source"]})
        load["state"] = "LOAD_FAILED" if load["errors"] else "LOAD_COMPLETED"

    def _overall(self, state: str, load: dict[str, Any]) -> dict[str, Any]:
        errors = load.get("errors", [])
        count = sum(2 + len(own) for _, own in self.graph.vertices.values()) if self.graph and not errors else 0
        return {
            "fullUri": load["body"]["source"],
            "runNumber": 1,
            "retryNumber": 0,
            "status": state,
            "totalTimeSpent": 3,
            "startTime": 1662131463,
            "totalRecords": count,
            "totalDuplicates": 0,
            "parsingErrors": sum(log["errorCode"] == "PARSING_ERROR" for log in errors),
            "datatypeMismatchErrors": 0,
            "insertErrors": sum(log["errorCode"] != "PARSING_ERROR" for log in errors),
        }

    def _busy(self) -> tuple[int, dict[str, Any]] | None:
        if not self.throttled:
            return None
        self.throttled -= 1
        return _error(429, "TooManyRequestsException", "too many requests")


def _error(status: int, code: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"code": code, "requestId": str(uuid.uuid4()), "detailedMessage": message}
