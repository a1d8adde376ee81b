"""What a step gives out, as its record keeps it: the value with its picture and columns, its links, the assets it made.

Knows records, the session and what a process remembers from run to run; must not know when a task's function returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lineage_flows.capture import assets, files, reused
from lineage_flows.capture.disk_cache import DiskCache, disk_cache

if TYPE_CHECKING:
    from lineage_flows.capture.live import LiveStep
    from lineage_flows.capture.session import Session
    from lineage_flows.content import Columns
    from lineage_flows.records import DatasetRef, ValueRef

__all__ = ["depended_on", "file_log", "given_out", "materialized", "remember_assets"]


def given_out(
    session: Session, step: LiveStep, value: object, *, ref: ValueRef, looks: Columns, transaction: object
) -> None:
    """Record a result.

    Args:
        session: what the recorders share.
        step: who gave it out.
        value: the result.
        ref: the same as it was seen.
        looks: at the columns of its frames.
        transaction: Prefect's, which says where the result is cached.

    Raises:
        LineageError: the store cannot be written.
    """
    level = step.start.level
    # A replay can neither read again what is gone, nor look into another machine's cache of results.
    needed = bool(step.unrestorable) or step.from_cache
    if level == "all" or (session.keeps(level) and needed):
        ref = session.values.keep(value, ref, size_cap=step.left_out.decision.size_cap if step.left_out else None)
    with session.boundary.guard("telling where columns come from", step.errors):
        ref = step.with_columns(value, ref, looks)
    step.output = session.values.pictured(value, ref) if session.keeps(level) else ref
    uri = session.result_uri("task-run", step.start.run_id)
    links = step.flow.root.links
    links.produced(step.start.run_id, uri, ref)
    links.derivation.gave_out(value, step.start.run_id, uri, ref)
    cache = disk_cache(session.cache)
    if step.from_cache:
        step.cached_from = reused.maker(cache, transaction, ref)
    elif not step.restored:
        reused.remember(cache, transaction, step.start.run_id, uri, ref)


def file_log(session: Session, step: LiveStep) -> files.FileLog:
    """A log of the files that an attempt touches."""
    level = step.start.level
    return files.FileLog(
        session.store_for(level),
        size_cap=step.left_out.decision.size_cap if step.left_out else int(session.settings.size_cap),
        original_path=session.interceptor.original_path if session.interceptor else None,
        keep_written=level == "all",
        left_out=step.left_out,
    )


def depended_on(session: Session, task: Any, step: LiveStep) -> list[DatasetRef]:  # noqa: ANN401 - Prefect's
    """The assets that a task says it depends on, but for those that the rules leave out."""
    return _told(step, assets.depended_on(task, _remembered(session))) if assets.has_assets(task) else []


def materialized(session: Session, task: Any, step: LiveStep) -> None:  # noqa: ANN401 - Prefect's
    """Add Prefect's assets to what was written, unless the function was not called: then nothing was materialized anew."""
    if assets.has_assets(task) and not (step.from_cache or step.restored):
        step.datasets = _told(step, assets.materialized(task, step.output, step.datasets))


def remember_assets(session: Session, datasets: tuple[DatasetRef, ...]) -> None:
    """Remember the versions of the assets that a step has made, for the runs that depend on them."""
    assets.remember(datasets, _remembered(session))


def _told(step: LiveStep, datasets: list[DatasetRef]) -> list[DatasetRef]:
    return datasets if step.left_out is None else step.left_out.kept(datasets)


def _remembered(session: Session) -> DiskCache | None:
    """Where versions of assets are remembered from run to run; a replay neither asks nor tells."""
    return None if session.interceptor is not None else disk_cache(session.cache)
