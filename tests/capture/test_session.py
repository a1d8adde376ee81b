"""The session of a process forgets what nobody will tell it the end of."""

from __future__ import annotations

from contextlib import closing

from lineage_flows.capture.links import Links
from lineage_flows.capture.live import LiveFlow
from lineage_flows.capture.session import _MOST_ADOPTED, Session
from lineage_flows.content import open_store
from lineage_flows.delivery import Spool
from lineage_flows.settings import load_settings
from tests.support.records import backtest_flow


def live(number: int, *, adopted: bool) -> LiveFlow:
    start = backtest_flow().model_copy(update={"run_id": f"{number:08d}-7a10-7c3e-9d1a-5b6f0a4c1e00"})
    return LiveFlow(start=start, links=Links(), files=None, adopted=adopted)


def test_of_flow_runs_elsewhere_only_the_latest_are_remembered(tmp_path):
    with closing(Spool(tmp_path / "spool.db")) as spool:
        session = Session(load_settings(home=tmp_path), spool, open_store(str(tmp_path / "blobs")))
        own = [live(number, adopted=False) for number in range(3)]
        flows = [live(100 + number, adopted=True) for number in range(3 * _MOST_ADOPTED)]
        for flow in own:
            session.enter(flow)
        for flow in flows:
            session.enter(flow)
            assert session.find(flows[0].start.run_id) is flows[0]
        known = [flow for flow in flows if session.find(flow.start.run_id) is not None]
        assert known == [flows[0], *flows[-_MOST_ADOPTED + 1 :]]  # the first was asked for all the time
        assert all(session.find(flow.start.run_id) is flow for flow in own)
