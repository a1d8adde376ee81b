"""The page of a run in Prefect's own UI, in a real browser: the picture is drawn, and the tables can be read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.flows import run_script

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]

SCRIPT = """
import pandas as pd
from prefect import flow, task

@task(tags=["preprocessing"])
def load_prices(path):
    return pd.read_csv(path)

@task(tags=["postprocessing"])
def summarise(prices):
    return {"sharpe": 0.345514, "worst <day>": float(prices["close"].min())}

@flow(name="browsed")
def browsed(path):
    return summarise(load_prices(path))

if __name__ == "__main__":
    browsed("prices.csv")
"""


def page(url: str, profile: Path) -> str:
    """The document as the browser has it when everything was loaded and drawn."""
    assert BROWSER is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=30000", "--window-size=1400,2000"]
    done = subprocess.run(
        [BROWSER, *options, f"--user-data-dir={profile}", "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_the_picture_is_drawn_and_the_tables_can_be_read(tmp_path: Path, prefect_server: str) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "prices.csv").write_text("day,close\n1,10.5\n2,9.25\n")
    ran = run_script(SCRIPT, folder, tmp_path / "home", PREFECT_API_URL=prefect_server)
    assert ran.code == 0, ran.err
    run_id = ran.flows()["browsed"].run_id

    wanted = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
    (artifact,) = httpx.post(f"{prefect_server}/artifacts/filter", json=wanted, timeout=30).json()
    site = prefect_server.removesuffix("/api")
    document = page(f"{site}/v2/artifacts/artifact/{artifact['id']}", tmp_path / "profile")

    picture = document.partition("<svg id=")[2].partition("</svg>")[0]
    for label in ("load_prices", "summarise", "prices.csv", "sharpe 0.345514"):
        assert label in picture, f"the picture does not show {label}"
    for text in ("Completed · browsed", "Metrics", "worst &lt;day&gt;", "9.25", f"lineage-flows replay {run_id}"):
        assert text in document, f"the page does not say {text}"

    assert "lineage" not in ran.err.lower(), "nothing of ours in the log"
    logs = httpx.post(f"{prefect_server}/logs/filter", json={"logs": {"flow_run_id": {"any_": [run_id]}}}, timeout=30)
    assert [entry["message"] for entry in logs.json() if "lineage" in entry["message"].lower()] == []
