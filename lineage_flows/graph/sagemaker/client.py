"""SageMaker as a thing to call: made by boto3's own configuration, one connection pool for a process, errors turned into ours.

Knows boto3, and loads it with the first call. Region, profile, credentials and endpoint are boto3's own configuration
(``AWS_REGION``, ``AWS_PROFILE``, ``AWS_ENDPOINT_URL_SAGEMAKER``).
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from lineage_flows.errors import KeeperUnavailableError
from lineage_flows.graph.sagemaker.problems import explain, no_answer_of
from lineage_flows.graph.sagemaker.silence import Silence
from lineage_flows.redaction import bare_url

if TYPE_CHECKING:
    from lineage_flows.graph.sagemaker.account import Account

__all__ = ["WORKERS", "Client"]

WORKERS: Final = 8
"""How many calls are under way at once. SageMaker's rates are not published; more would only be throttled."""

_ATTEMPTS: Final = 5
_LONGEST_PAUSE: Final = 20.0
_PASSING: Final = frozenset({"throttled", "away"})
"""Problems that may be over in a moment."""

_random: Final = random.Random()  # noqa: S311 - spreads retries
"""botocore's own retries draw from the process's numbers, which are the flow's: a throttled delivery would change its results."""
_OF_AWS: Final = re.compile(r"\.(amazonaws\.com(\.cn)?|api\.aws)$")
"""Hosts of AWS's own: one region and account answer under several, over the internet and inside a private network."""
_PAGE: Final = 100


class Client:
    """Calls SageMaker. Safe for threads and forks: a forked child gets connections of its own.

    Args:
        make: makes a botocore client; boto3's own configuration when None.
        account: says the account of the credentials, where they have it; those that ``make`` used when None.
    """

    def __init__(self, make: Callable[[], Any] | None = None, account: Callable[[], str | None] | None = None) -> None:
        configured = _Configured()
        self._make = make or configured.client
        self._account = account or configured.account
        self._client: Any = None
        self._silence = Silence()
        self.account: Account | None = None
        """What writes have shown of whose account this is; none while this client has written nothing."""
        self._pid = 0
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        """How often each operation was called, retries of botocore's aside."""

    @property
    def place(self) -> str:
        """Region and endpoint.

        Raises:
            KeeperUnavailableError: no region is configured, or boto3 is not installed.
        """
        meta = self._connected().meta
        return f"{meta.region_name} at {bare_url(meta.endpoint_url)}"

    @property
    def home(self) -> str:
        """What tells the SageMaker that is called from another one: the region, and of a stand-in for AWS its address.

        Raises:
            KeeperUnavailableError: as ``place``.
        """
        meta = self._connected().meta
        return str(meta.region_name) if self._is_aws() else self.place

    @property
    def silent_seconds(self) -> float:
        """For how long nothing at all has answered what is asked; 0 when nothing is."""
        return self._silence.seconds

    @property
    def account_number(self) -> str | None:
        """The account that the credentials say they are of; None where they do not, or what is called is a stand-in for AWS.

        Costs no call of SageMaker. Credentials of a role, of IAM Identity Center or with ``AWS_ACCOUNT_ID`` say it, keys alone do
        not.

        Raises:
            KeeperUnavailableError: as ``place``.
        """
        self._connected()
        return self._account() if self._is_aws() else None

    def call(self, operation: str, resource: str, **parameters: object) -> dict[str, Any]:
        """Do a call, retried where that may help.

        Args:
            operation: by AWS's name (``CreateArtifact``).
            resource: what it is about, for the message of an error.
            parameters: of the operation.

        Raises:
            SageMakerError: it was refused, or failed.
            KeeperUnavailableError: SageMaker cannot be called at all.
        """
        client = self._connected()
        with self._lock:
            self.calls[operation] += 1
        for attempt in count(1):
            try:
                with self._silence.asking():
                    answer: dict[str, Any] = getattr(client, _method(operation))(**parameters)
            except Exception as error:  # of what is not SageMaker's answer, botocore's parser raises what Python does
                problem = explain(error, operation, resource, self.place)
                if problem.problem not in _PASSING or attempt == _ATTEMPTS:
                    raise problem from error
            else:
                break
            time.sleep(_random.random() * min(2.0 ** (attempt - 1), _LONGEST_PAUSE))
        return answer

    def asked(self, operation: str, resource: str, field: str, **parameters: object) -> str:
        """One text of the answer to a call; raises as ``call``, and when what answers is not SageMaker."""
        text = self.call(operation, resource, **parameters).get(field)
        if not isinstance(text, str) or not text:
            raise no_answer_of(operation, field, self.place)
        return text

    def listed(self, operation: str, field: str, **parameters: object) -> Iterator[dict[str, Any]]:
        """Everything that an operation lists, page after page, as it is asked for; raises as ``call``."""
        token: str | None = None
        seen: set[str] = set()
        while True:
            more = {"NextToken": token} if token else {}
            answer = self.call(operation, "*", **parameters, **more, MaxResults=_PAGE)
            if field not in answer:
                raise no_answer_of(operation, field, self.place)
            yield from answer[field]
            token = answer.get("NextToken")
            if not token:
                return
            if token in seen:
                raise no_answer_of(operation, "end", self.place)
            seen.add(token)

    def saw(self, arn: str) -> str:
        """The same ARN, which SageMaker gave out for something of ours, when it is of the right account.

        Raises:
            KeeperUnavailableError: it is of another.
        """
        if self.account is not None:
            self.account.saw(arn)
        return arn

    def close(self) -> None:
        """Let the connections go."""
        with self._lock:
            client, self._client = self._client, None
            if client is not None and self._pid == os.getpid():
                client.close()

    def _is_aws(self) -> bool:
        return bool(_OF_AWS.search(urlsplit(self._connected().meta.endpoint_url).hostname or ""))

    def _connected(self) -> Any:  # noqa: ANN401 - botocore makes its clients' classes as it goes
        if self._client is None or self._pid != os.getpid():
            if self._pid != os.getpid():
                self._lock = threading.Lock()  # the parent's may have been held when this process was forked off
            with self._lock:
                if self._client is None or self._pid != os.getpid():
                    client = self._make()
                    self._client, self._pid = client, os.getpid()
                    self.account, self._silence = None, Silence()
        return self._client


class _Configured:
    """boto3's own configuration."""

    def __init__(self) -> None:
        self._session: Any = None

    def client(self) -> Any:  # noqa: ANN401 - as above
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, NoRegionError
        except ImportError as error:
            raise KeeperUnavailableError(
                "SageMaker cannot be called",
                why=str(error),
                fix="install what calls it: pip install 'lineage-flows[aws]'",
            ) from error
        config = Config(
            retries={"mode": "adaptive", "total_max_attempts": 1},  # its rate limiter alone: see ``_random``
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=WORKERS + 2,
            user_agent_extra="lineage-flows",
        )
        try:
            # A session of our own: boto3's default one is the flow's, and not safe for threads. boto3 does not read AWS_REGION.
            self._session = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
            return self._session.client("sagemaker", config=config)
        except NoRegionError as error:
            raise KeeperUnavailableError(
                "SageMaker cannot be called", why="no AWS region is configured", fix="set AWS_REGION"
            ) from error
        except (BotoCoreError, ValueError) as error:
            raise KeeperUnavailableError(
                "SageMaker cannot be called",
                why=" ".join(str(error).split()),
                fix="check AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL_SAGEMAKER",
            ) from error

    def account(self) -> str | None:
        try:
            number = getattr(self._session.get_credentials(), "account_id", None)
        except Exception:  # noqa: BLE001 - credentials that cannot be had are told of by the call that needs them
            return None
        return str(number) if number else None


def _method(operation: str) -> str:
    """boto3's name of an operation: ``create_artifact`` of ``CreateArtifact``."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
