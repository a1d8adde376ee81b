"""Puts the page of a run into Prefect's UI, in the background, once a root flow run.

Knows Prefect's client; must not know what the page says, nor delay or fail the run it speaks of.
"""

from __future__ import annotations

import contextlib
import contextvars
import re
import ssl
import threading
import unicodedata
from hashlib import sha256
from typing import TYPE_CHECKING

from lineage_flows.errors import DeliveryError
from lineage_flows.ui.markdown import render_run
from lineage_flows.ui.summary import replay_sentence, run_sentence
from lineage_flows.ui.text import clip

if TYPE_CHECKING:
    from collections.abc import Callable

    from lineage_flows.records import RunRecord

__all__ = ["TIMEOUT", "artifact_key", "publish"]

TIMEOUT = 5.0
"""Seconds after which the page is given up, so that a silent server holds a finished process back no longer."""

_KEY_LIMIT = 80
_DESCRIPTION_LIMIT = 500


def publish(record: RunRecord, *, on_error: Callable[[BaseException], None]) -> threading.Thread:
    """Post the run's page as a markdown artifact of its flow run; returns at once.

    Goes through Prefect's own client with the settings of the caller's context, and emits no event: that would cost
    the server as much again. The thread that is returned is no daemon, so that a script's last run gets its page before
    the process ends, and it lives no longer than ``TIMEOUT``.

    Args:
        record: the run, at its end.
        on_error: called at most once, in another thread, with the reason why there is no page; nothing is raised.
    """
    outcome = _Outcome(on_error)
    context = contextvars.copy_context()
    posting = threading.Thread(
        target=context.run, args=(_post, record, outcome), name="lineage-flows-page", daemon=True
    )
    waiting = threading.Thread(target=_wait, args=(posting, outcome), name="lineage-flows-page-wait", daemon=False)
    try:
        # Both are started here: a thread cannot be started any more while the interpreter waits for its last ones.
        posting.start()
        waiting.start()
    except RuntimeError as error:
        outcome.failed(error)
    return waiting


def artifact_key(flow_name: str) -> str:
    """The artifact's key, one a flow, so that Prefect shows the pages of its runs as versions of one artifact.

    Prefect allows lowercase letters, digits and dashes. A name that loses letters on the way, or is cut, gets a hash,
    so that two flows do not share a key by accident.
    """
    ascii_name = unicodedata.normalize("NFKD", flow_name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_name.lower()).strip("-")
    if len(slug) > _KEY_LIMIT or not slug or not flow_name.isascii():
        digest = sha256(flow_name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        slug = "-".join(part for part in (slug[:_KEY_LIMIT].rstrip("-"), digest) if part)
    return f"lineage-{slug}"


class _Outcome:
    """The first thing that is known about a page's fate; whatever comes later is not told again."""

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error
        self._lock = threading.Lock()
        self._known = False

    def succeeded(self) -> None:
        self._settle()

    def failed(self, error: BaseException) -> None:
        if self._settle():
            self._on_error(error)

    def _settle(self) -> bool:
        with self._lock:
            first, self._known = not self._known, True
        return first


def _post(record: RunRecord, outcome: _Outcome) -> None:
    try:
        _request(record)
    except Exception as error:  # noqa: BLE001 - a page that fails may not fail the run, whatever Prefect's client raises
        outcome.failed(error)
    else:
        outcome.succeeded()


def _wait(posting: threading.Thread, outcome: _Outcome) -> None:
    posting.join(TIMEOUT)
    if posting.is_alive():
        outcome.failed(
            DeliveryError(
                "the run's page did not reach Prefect's UI",
                why=f"no answer within {TIMEOUT:.0f} seconds",
                fix="see whether the Prefect server is overloaded; the lineage itself is not affected",
            )
        )


def _request(record: RunRecord) -> None:
    import httpx
    from prefect.settings import PREFECT_API_URL

    artifact = _artifact(record)
    if (PREFECT_API_URL.value() or "").startswith("http://"):
        # Loading the certificates that nothing is checked against costs more than all else here.
        with contextlib.suppress(httpx.ConnectError):  # with none, a redirection to https is refused
            _send(artifact, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            return
    _send(artifact)


def _send(artifact: dict[str, str], **settings: object) -> None:
    from prefect.client.orchestration import get_client

    # Other settings than those of the flow's own client give a client of our own, which nobody closes under our hands.
    with get_client(sync_client=True, httpx_settings={"timeout": TIMEOUT, **settings}) as client:
        client.request("POST", "/artifacts/", json=artifact)


def _artifact(record: RunRecord) -> dict[str, str]:
    run_id = record.flow.run_id
    sentences = (replay_sentence(record), run_sentence(record))
    return {
        "key": artifact_key(record.flow.flow_name),
        "type": "markdown",
        "description": clip(" ".join(sentence for sentence in sentences if sentence), _DESCRIPTION_LIMIT),
        "data": render_run(record, command=f"lineage-flows replay {run_id}"),
        "flow_run_id": run_id,
    }
