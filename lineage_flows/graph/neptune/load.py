"""Neptune's bulk loader: begins a load of an export that lies in S3, and waits, with bounded patience, for what becomes of it.

Knows boto3's ``neptunedata`` and what its service model and Neptune's manual document of ``/loader``; must not know what is
loaded. What the loader's words mean is documented; that any status but those below is a failure is inferred.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from lineage_flows.errors import NeptuneLoadError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lineage_flows.graph.neptune.tables import Format

__all__ = ["PATIENCE", "Loaded", "bulk_load", "check_load"]

PATIENCE = 3600.0
"""Seconds to wait for a load to end, unless told otherwise."""

_COMPLETED = "LOAD_COMPLETED"
_UNDER_WAY = frozenset({"LOAD_NOT_STARTED", "LOAD_IN_QUEUE", "LOAD_IN_PROGRESS"})
_CONFLICTS = "LOAD_COMMITTED_W_WRITE_CONFLICTS"
_FORMATS: dict[Format, str] = {"gremlin": "csv", "opencypher": "opencypher"}
_PORT = 8182
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")
_HOST = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.neptune\.amazonaws\.com(?:\.cn)?$")
_ERRORS_A_PAGE = 50
_MOST_PAGES = 4
_POLLS = (1.0, 30.0)
"""Seconds between two looks at a load: the first time, and at most."""

_FIXES = {
    "LOAD_S3_ACCESS_DENIED_ERROR": "let the role read the bucket, and attach it to the cluster",
    "LOAD_S3_READ_ERROR": "load again; S3 could not be read for a moment",
    "LOAD_DATA_DEADLOCK": "load again; two threads of the loader waited for each other",
    _CONFLICTS: "load again; it likely goes through (records that are there are only counted)",
}


class Loaded(BaseModel):
    """A load that went through.

    Attributes:
        load_id: the loader's own name of it.
        records: how many records it holds, as Neptune counts them: one for each value, and not for each line.
        duplicates: how many of them were there already, or twice.
        seconds: how long Neptune was at it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    load_id: str
    records: int
    duplicates: int
    seconds: int


def bulk_load(
    source: str,
    *,
    endpoint: str,
    iam_role: str,
    style: Format,
    region: str | None = None,
    patience: float = PATIENCE,
    wait: Callable[[float], object] = time.sleep,
) -> Loaded:
    """Load an export into Neptune and wait until it is there.

    Args:
        source: where it lies (``s3://bucket/prefix/``), in the region of the cluster.
        endpoint: the cluster's (``https://my-cluster.….neptune.amazonaws.com:8182``); a bare host means https and port 8182.
        iam_role: ARN of the role by which Neptune reads the bucket; it has to be attached to the cluster.
        style: the export's load format.
        region: of cluster and bucket; None takes that of the endpoint's name, then that of boto3's settings.
        patience: seconds to wait for its end.
        wait: waits so many seconds.

    Raises:
        SettingsError: source, endpoint, role or region are none.
        NeptuneLoadError: it was refused, failed, or did not end in time; or the endpoint is not Neptune's. What was loaded until
            then stays in Neptune; loading the same again does no harm.
    """
    loader = _Loader(_checked(source, endpoint, iam_role), region)
    load_id = loader.begin(source, iam_role, style)
    return loader.wait(load_id, patience, wait)


def check_load(source: str, *, endpoint: str, iam_role: str, region: str | None = None) -> None:
    """Whether a load can be asked for at all, before anything is done for it; arguments as of ``bulk_load``.

    Raises:
        SettingsError: source, endpoint, role or region are none.
        NeptuneLoadError: boto3 is not installed.
    """
    _connect(_checked(source, endpoint, iam_role), region)


def _checked(source: str, endpoint: str, iam_role: str) -> str:
    """The endpoint's URL."""
    if not re.fullmatch(r"s3://[^/]+/.*[^/].*", source):
        raise SettingsError("--to", source, "a prefix in S3 (s3://bucket/prefix), from where alone Neptune loads")
    if not _ROLE.fullmatch(iam_role):
        raise SettingsError("--iam-role", iam_role, "the ARN of a role (arn:aws:iam::123456789012:role/NAME)")
    return _url(endpoint)


class _Loader:
    def __init__(self, url: str, region: str | None) -> None:
        self._url = url
        self._client, self._region = _connect(url, region)

    def begin(self, source: str, iam_role: str, style: Format) -> str:
        """The id of a new load."""
        own: dict[str, Any] = (
            # A property that has another value by now gets it; as it is, the loader would take that for an error.
            {"updateSingleCardinalityProperties": True, "parserConfiguration": {"allowEmptyStrings": "true"}}
            if style == "gremlin"
            # The manual's advice against threads that wait for each other.
            else {"userProvidedEdgeIds": True, "parallelism": "MEDIUM"}
        )
        with self._explained("does not take the load"):
            said = self._client.start_loader_job(
                source=source,
                format=_FORMATS[style],
                s3BucketRegion=self._region,
                iamRoleArn=iam_role,
                mode="NEW",
                failOnError=True,
                queueRequest=True,
                **own,
            )
        load_id = _part(said.get("payload"), "loadId")
        if not isinstance(load_id, str) or not load_id:
            raise self._not_neptune("it named no load")
        return load_id

    def wait(self, load_id: str, patience: float, wait: Callable[[float], object]) -> Loaded:
        """The end of a load."""
        deadline, pause = time.monotonic() + patience, _POLLS[0]
        while True:
            overall = self._status(load_id)
            status = str(overall.get("status"))
            if status == _COMPLETED:
                return Loaded(
                    load_id=load_id,
                    records=_number(overall, "totalRecords"),
                    duplicates=_number(overall, "totalDuplicates"),
                    seconds=_number(overall, "totalTimeSpent"),
                )
            if status not in _UNDER_WAY:
                raise self._failed(load_id, status, overall)
            left = deadline - time.monotonic()
            if left <= 0:
                raise NeptuneLoadError(
                    f"Neptune has not ended load {load_id} within {patience:g} s",
                    why=f"it is {status}",
                    fix=f"it goes on without this program; see it at {self._url}/loader/{load_id}, or give it more --patience",
                    load_id=load_id,
                    status=status,
                )
            wait(min(pause, left))
            pause = min(pause * 2, _POLLS[1])

    def _status(self, load_id: str) -> Mapping[str, Any]:
        with self._explained(f"does not say what becomes of load {load_id}", load_id):
            said = self._client.get_loader_job_status(loadId=load_id)
        overall = _part(said.get("payload"), "overallStatus")
        if not isinstance(overall, Mapping) or not isinstance(overall.get("status"), str):
            raise self._not_neptune("it said no status of the load")
        return overall

    def _failed(self, load_id: str, status: str, overall: Mapping[str, Any]) -> NeptuneLoadError:
        feeds, refused = self._details(load_id)
        counts = [
            f"{count} {what}"
            for key, what in (
                ("parsingErrors", "could not be parsed"),
                ("datatypeMismatchErrors", "have a value of another type"),
                ("insertErrors", "could not be inserted"),
            )
            if (count := _number(overall, key))
        ]
        shown = [*counts, *feeds, *refused[:5]] + ([f"and {len(refused) - 5} more"] if len(refused) > 5 else [])
        known = next((fix for word, fix in _FIXES.items() if word == status or any(word in feed for feed in feeds)), "")
        return NeptuneLoadError(
            f"Neptune did not load the export: {status} (load {load_id})",
            why="; ".join(shown) or "it gave no reason",
            fix=known or "mend what it names and load again; what was loaded stays, and does no harm",
            load_id=load_id,
            status=status,
            refused=tuple(refused),
        )

    def _details(self, load_id: str) -> tuple[list[str], list[str]]:
        """What the loader says of files and of records; whatever it does not say is left out, as the load has failed anyway."""
        feeds: list[str] = []
        refused: list[str] = []
        for page in range(1, _MOST_PAGES + 1):
            try:
                with self._explained("does not say why"):
                    said = self._client.get_loader_job_status(
                        loadId=load_id, details=True, errors=True, page=page, errorsPerPage=_ERRORS_A_PAGE
                    )
            except NeptuneLoadError as error:
                return feeds, [*refused, f"more is not known: {error.why or error.what}"]
            payload = said.get("payload")
            if page == 1:
                failed = _part(payload, "failedFeeds")
                feeds = [f"{feed.get('status')} of {feed.get('fullUri')}" for feed in _mappings(failed)]
            logs = _mappings(_part(_part(payload, "errors"), "errorLogs"))
            refused += [_record(log) for log in logs]
            if len(logs) < _ERRORS_A_PAGE:
                break
        return feeds, refused

    @contextmanager
    def _explained(self, what: str, load_id: str | None = None) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            yield
        except ClientError as error:
            code, message = _said(error)
            if code.isdecimal() and not code.startswith(
                "5"
            ):  # Neptune and IAM say a word; a gateway in between may fail
                raise self._not_neptune(f"it answered {code}") from error
            raise NeptuneLoadError(
                f"Neptune at {self._url} {what}",
                why=f"{code}: {message}"[:600],
                fix=_fix(code, message),
                load_id=load_id,
            ) from error
        except (ResponseParserError, ValueError, AttributeError, TypeError) as error:
            # What is no document of Neptune's shapes fails inside botocore, in whatever way.
            raise self._not_neptune(_one_line(error)) from error
        except BotoCoreError as error:
            raise NeptuneLoadError(
                f"Neptune at {self._url} cannot be asked",
                why=_one_line(error),
                fix="a cluster is reached from inside its VPC; check endpoint, security group and credentials",
                load_id=load_id,
            ) from error

    def _not_neptune(self, why: str) -> NeptuneLoadError:
        return NeptuneLoadError(
            f"what answers at {self._url} is not Neptune", why=why, fix="give --load the cluster's own endpoint"
        )


def _connect(url: str, region: str | None) -> tuple[Any, str]:
    """A client, and the region of cluster and bucket."""
    try:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError as error:
        raise NeptuneLoadError(
            "Neptune cannot be asked", why="boto3 is not installed", fix="pip install 'lineage-flows[aws]'"
        ) from error
    session = boto3.Session()
    named = _HOST.search(urlsplit(url).hostname or "")
    chosen = region or (named[1] if named else session.region_name)
    if not chosen:
        raise SettingsError("--region", None, "the region of the cluster and of the bucket")
    options: dict[str, Any] = {
        "connect_timeout": 10,
        "read_timeout": 60,
        "retries": {"total_max_attempts": 5, "mode": "standard"},
    }
    if session.get_credentials() is None:  # a cluster without IAM authentication asks for none
        options["signature_version"] = UNSIGNED
    client = session.client("neptunedata", endpoint_url=url, region_name=chosen, config=Config(**options))
    return client, chosen


def _url(endpoint: str) -> str:
    text = endpoint if "://" in endpoint else f"https://{endpoint}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SettingsError("--load", endpoint, "the endpoint of a cluster (https://HOST:8182)")
    return f"{parts.scheme}://{parts.hostname}:{port or _PORT}"


def _said(error: Any) -> tuple[str, str]:  # noqa: ANN401 - botocore has no types
    """Code and message of a refusal. Neptune's own message is ``detailedMessage``; what is before it (IAM) says ``message``."""
    response = error.response
    about = response.get("Error", {})
    message = response.get("detailedMessage") or about.get("Message") or ""
    return str(response.get("code") or about.get("Code") or ""), " ".join(str(message).split())


def _fix(code: str, message: str) -> str:
    if "AccessDenied" in code and "Load" not in code:
        return "let the credentials do neptune-db:StartLoaderJob and neptune-db:GetLoaderJobStatus on the cluster"
    if "role" in message.lower() or code in {"LoadUrlAccessDeniedException", "S3Exception"}:
        return "attach the role of --iam-role to the cluster and let it read the bucket, which lies in the cluster's region"
    if code == "TooManyRequestsException":
        return "load again later; the cluster has more to do than it can"
    return "see what Neptune says, and load again"


def _record(log: Mapping[str, Any]) -> str:
    number = log.get("recordNum")
    where = f"{log.get('fileName')}" + (f", record {number}" if number else "")
    return " ".join(f"{log.get('errorCode')} in {where}: {log.get('errorMessage')}".split())


def _part(value: object, key: str) -> Any:  # noqa: ANN401 - a JSON document of a server
    return value.get(key) if isinstance(value, Mapping) else None


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _number(overall: Mapping[str, Any], key: str) -> int:
    value = overall.get(key)
    return value if isinstance(value, int) else 0


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
