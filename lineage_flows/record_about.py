"""The frozen data classes that say what a job is declared to be, who or what started a run, and what the policy left out of it.

Knows pydantic only; see ``records`` for the records that hold them.
"""

from __future__ import annotations

from lineage_flows.record_base import Frozen

__all__ = ["JobAbout", "PolicyRef", "RunOrigin"]


class JobAbout(Frozen):
    """What the code says of a flow or task. Times are in seconds; what is None or empty is not declared.

    ``owners`` come from the tags ``owner:NAME`` and from the settings. ``cache_policy`` and ``task_runner`` are names of classes.
    """

    documentation: str | None = None
    owners: tuple[str, ...] = ()
    version: str | None = None
    retries: int | None = None
    retry_delays: tuple[float, ...] = ()
    retry_jitter: float | None = None
    timeout: float | None = None
    cache_policy: str | None = None
    cache_expiration: float | None = None
    persist_result: bool | None = None
    task_runner: str | None = None


class RunOrigin(Frozen):
    """Who or what started a flow run, and where it can be looked at.

    ``type`` is Prefect's: ``DEPLOYMENT`` (its schedule), ``AUTOMATION``, or a kind of account; ``id`` and ``name`` are of that. The
    URLs are of Prefect's interface; None where its address is not known.
    """

    type: str | None = None
    id: str | None = None
    name: str | None = None
    auto_scheduled: bool = False
    work_queue: str | None = None
    worker: str | None = None
    deployment_version: str | None = None
    run_url: str | None = None
    flow_url: str | None = None
    deployment_url: str | None = None


class PolicyRef(Frozen):
    """What the rules of the settings changed in a record.

    ``rules`` names those that decided something. ``datasets`` counts the datasets that were left out: their names are left out too.
    """

    rules: tuple[str, ...] = ()
    datasets: int = 0
    parameters: tuple[str, ...] = ()
    output: bool = False
    source_code: bool = True
