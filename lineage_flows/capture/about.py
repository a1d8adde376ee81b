"""Reads what a flow or task is declared to be, who started a run, and where Prefect's interface shows it.

Knows Prefect's flows, tasks and runs; must not know what becomes of the facts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from lineage_flows.record_about import JobAbout, RunOrigin
from lineage_flows.redaction import generation, hide_user, redact

if TYPE_CHECKING:
    from prefect import Flow, Task
    from prefect.client.schemas.objects import FlowRun

__all__ = ["flow_about", "origin_of", "owners_of", "task_about", "task_run_url"]

_LONGEST = 4_000
_PLAIN = (str, int, float, tuple)
_tasks: WeakKeyDictionary[Any, tuple[tuple[object, ...], JobAbout]] = WeakKeyDictionary()
_OWNER_TAGS = ("owner:", "owner=")


def flow_about(flow: Flow[..., Any], tags: Iterable[str], owners: tuple[str, ...]) -> JobAbout:
    """What a flow is declared to be.

    Args:
        flow: Prefect's flow.
        tags: of the run; ``owner:NAME`` names an owner.
        owners: those that the settings name.
    """
    return JobAbout(
        documentation=_text(flow.description),
        owners=owners_of(tags, owners),
        version=_text(flow.version),
        retries=_whole(flow.retries),
        retry_delays=_seconds(flow.retry_delay_seconds),
        timeout=_second(flow.timeout_seconds),
        persist_result=flow.persist_result if isinstance(flow.persist_result, bool) else None,
        task_runner=_runner(flow.task_runner),
    )


def task_about(task: Task[..., Any], tags: tuple[str, ...], owners: tuple[str, ...]) -> JobAbout:
    """What a task is declared to be; see ``flow_about``. The same object while that does not change: a task may run often."""
    delays: object = task.retry_delay_seconds
    declared: tuple[object, ...]
    declared = (task.description, task.version, task.retries, delays, task.retry_jitter_factor, task.timeout_seconds)
    declared += (task.cache_policy, task.cache_expiration, task.persist_result, tags, owners, generation())
    known = _tasks.get(task)
    if known is not None and all(map(_is_same, known[0], declared)):
        return known[1]
    expiration = task.cache_expiration
    about = JobAbout(
        documentation=_text(task.description),
        owners=owners_of(tags, owners),
        version=_text(task.version),
        retries=_whole(task.retries),
        retry_delays=_seconds(task.retry_delay_seconds) if task.retries else (),
        retry_jitter=_second(task.retry_jitter_factor),
        timeout=_second(task.timeout_seconds),
        cache_policy=_cache_policy(task.cache_policy),
        cache_expiration=None if expiration is None else expiration.total_seconds(),
        persist_result=task.persist_result if isinstance(task.persist_result, bool) else None,
    )
    # A list may change and stay the same object.
    if not isinstance(delays, list):
        _tasks[task] = declared, about
    return about


def _is_same(known: object, value: object) -> bool:
    return known is value or (type(known) is type(value) and type(value) in _PLAIN and known == value)


def owners_of(tags: Iterable[str], owners: tuple[str, ...]) -> tuple[str, ...]:
    """The owners that tags (``owner:team-x``) and settings name, each once; of nobody else is it certain."""
    named = (tag[len(_OWNER_TAGS[0]) :].strip() for tag in tags if tag.lower().startswith(_OWNER_TAGS))
    return tuple(dict.fromkeys(owner for owner in (*named, *owners) if owner))


def origin_of(flow_run: FlowRun) -> RunOrigin:
    """Who or what started a flow run, as far as Prefect says."""
    creator = flow_run.created_by
    deployment = flow_run.deployment_id
    return RunOrigin(
        type=getattr(creator, "type", None),
        id=str(creator.id) if creator is not None and creator.id is not None else None,
        name=getattr(creator, "display_value", None),
        auto_scheduled=bool(flow_run.auto_scheduled),
        work_queue=flow_run.work_queue_name,
        worker=os.environ.get("PREFECT__WORKER_NAME") if deployment is not None else None,
        deployment_version=flow_run.deployment_version,
        run_url=_url("flow-run", flow_run.id),
        flow_url=_url("flow", flow_run.flow_id),
        deployment_url=None if deployment is None else _url("deployment", deployment),
    )


def task_run_url(run_id: str) -> str | None:
    """Where Prefect's interface shows a task run."""
    return _url("task-run", run_id)


def _url(kind: str, identity: object) -> str | None:
    base = _ui(os.getpid())
    form = _formats().get(kind)
    return None if base is None or form is None else f"{base}/{form.format(obj_id=identity)}"


@lru_cache(maxsize=1)
def _formats() -> dict[str, str]:
    try:
        from prefect.utilities.urls import UI_URL_FORMATS
    except ImportError:
        return {}
    return dict(UI_URL_FORMATS)


@lru_cache(maxsize=1)
def _ui(_pid: int) -> str | None:
    """The address of Prefect's interface: what is set, else what Prefect derives from that of its API."""
    from prefect.settings import PREFECT_UI_URL

    found = PREFECT_UI_URL.value()
    return hide_user(found.rstrip("/")) if isinstance(found, str) and found else None


def _text(value: object) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    text = redact(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _second(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _seconds(value: object) -> tuple[float, ...]:
    listed = value if isinstance(value, list | tuple) else (value,)
    return tuple(seconds for item in listed if (seconds := _second(item)) is not None and seconds > 0)


def _runner(runner: object) -> str | None:
    return None if runner is None else type(runner).__name__


def _cache_policy(policy: object) -> str | None:
    """The classes a cache policy is made of: ``Inputs + RunId + TaskSource``."""
    if policy is None or isinstance(policy, type):
        return None
    parts = getattr(policy, "policies", None)
    names = [type(part).__name__ for part in parts] if isinstance(parts, list | tuple) else [type(policy).__name__]
    return " + ".join(sorted(name.lstrip("_") for name in names)) or None
