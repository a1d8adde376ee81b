"""Delivers what processes left in the spool when they were killed, or ended before a receiver answered."""

from __future__ import annotations

from prefect import flow, get_run_logger

from lineage_flows.capture.internal import internal
from lineage_flows.delivery import deliver_once
from lineage_flows.errors import DeliveryError
from lineage_flows.runtime import open_spool, receivers
from lineage_flows.settings import load_settings


@flow
@internal
def housekeeping(timeout: float = 300.0, keep_days: float = 30.0) -> dict[str, int]:
    """Take every event in the spool to the graph, and to the OpenLineage receivers that are configured.

    Args:
        timeout: seconds to spend at most on each receiver; what is left stays in the spool for the next time.
        keep_days: how long the spool keeps what every receiver has.

    Returns:
        How many events each receiver took.

    Raises:
        DeliveryError: a receiver did not take everything, so that the run fails where somebody sees it.
        LineageError: the settings are wrong, or the home folder cannot be used.
    """
    settings = load_settings()
    logger = get_run_logger()
    found = receivers(settings)
    spool = open_spool(settings)
    try:
        report = deliver_once(spool, found, settings.home, timeout=timeout)
        spool.prune([receiver.name for receiver in found], older_than_days=keep_days)
    finally:
        spool.close()
    for one in report.receivers:
        logger.info("%s took %d events, %d were put aside, %d are left", one.name, one.delivered, one.parked, one.left)
    if not report.complete:
        waiting = [one for one in report.receivers if one.left]
        raise DeliveryError(
            "not every event could be delivered",
            why="; ".join(f"{one.name}: {one.left} left, {one.error or 'no time was left'}" for one in waiting),
            fix="see what the receiver says; the events stay in the spool, and the next run tries again",
        )
    return {one.name: one.delivered for one in report.receivers}
