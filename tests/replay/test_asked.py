"""What of a run is executed again: from a step on, some steps only, with other parameters."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from lineage_flows.errors import AmbiguousReferenceError, ReplayError, UnknownReferenceError
from lineage_flows.records import BlobRef, DatasetRef, RunRecord
from lineage_flows.replay.asked import Asked, check_parameters, choose_steps
from lineage_flows.replay.outlook import plan_replay
from tests.replay.test_end_to_end import Desk, assert_identical, desk, verdicts  # noqa: F401 - a fixture
from tests.support.records import backtest_record, blob, step_id


def kept(record: RunRecord) -> RunRecord:
    """As level ``all`` keeps it: every step's result."""
    steps = [
        step.model_copy(update={"output": step.output.model_copy(update={"blob": blob(step.task_name)})})
        for step in record.steps
        if step.output is not None
    ]
    return record.model_copy(update={"steps": tuple(steps)})


def with_step(record: RunRecord, position: int, **fields: Any) -> RunRecord:
    steps = list(record.steps)
    steps[position] = steps[position].model_copy(update=fields)
    return record.model_copy(update={"steps": tuple(steps)})


def restored(record: RunRecord, asked: Asked) -> set[str]:
    found = choose_steps(record, asked).restored
    names = {step.run_id: step.task_name for step in record.steps}
    assert all(isinstance(item, BlobRef) for item in found.values())
    return {names[run_id] for run_id in found}


def test_a_whole_run_restores_nothing_by_choice() -> None:
    assert choose_steps(kept(backtest_record()), Asked()).restored == {}


def test_from_a_step_on_what_came_before_is_restored() -> None:
    record = kept(backtest_record())
    assert restored(record, Asked(from_step="walk_forward")) == {"load_prices", "make_features", "fit_model"}
    assert restored(record, Asked(from_step="load_prices")) == set()
    assert restored(record, Asked(from_step="fit_model-002")) == {"load_prices", "make_features"}, "by its run's name"
    assert restored(record, Asked(from_step=step_id(4))) == {
        "load_prices",
        "make_features",
        "fit_model",
        "walk_forward",
    }
    assert restored(record, Asked(from_step="fit_model#0")) == {"load_prices", "make_features"}


def test_only_some_steps_are_executed_and_those_that_wrote_data() -> None:
    record = kept(backtest_record())
    chosen = choose_steps(record, Asked(only=("fit_model",)))
    assert restored(record, Asked(only=("fit_model",))) == {"load_prices", "make_features", "walk_forward"}
    assert any("evaluate" in note for note in chosen.notes), "it wrote the figure, which its result does not bring back"


def test_without_kept_results_all_is_executed_and_said_so() -> None:
    chosen = choose_steps(backtest_record(), Asked(from_step="evaluate"))
    assert chosen.restored == {}
    assert any("level all" in note and "load_prices" in note for note in chosen.notes)


def test_what_read_what_a_step_wrote_depends_on_it_though_prefect_does_not_know() -> None:
    record = kept(backtest_record())
    (figure,) = record.steps[4].datasets
    read = DatasetRef(**{**figure.model_dump(), "direction": "read"})
    record = with_step(with_step(record, 4, datasets=(), inputs=(), upstream=()), 0, datasets=(figure,))
    record = with_step(record, 4, datasets=(read,))
    assert "evaluate" not in restored(record, Asked(from_step="load_prices"))


def test_a_step_that_changed_its_input_in_place_or_calls_others_is_executed() -> None:
    record = kept(backtest_record())
    (taken, *_) = record.steps[2].inputs
    changed = taken.model_copy(
        update={"sources": tuple(source.model_copy(update={"known_by": ("mutation",)}) for source in taken.sources)}
    )
    assert restored(with_step(record, 2, inputs=(changed,)), Asked(from_step="evaluate")) == {
        "load_prices",
        "fit_model",
        "walk_forward",
    }
    nested = with_step(record, 1, parent_step_id=step_id(0))
    assert restored(nested, Asked(from_step="evaluate")) == {"make_features", "fit_model", "walk_forward"}
    assert restored(nested, Asked(only=("make_features",))) == {"fit_model", "walk_forward"}, "its caller has to run"


def test_a_step_nobody_knows_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(UnknownReferenceError, match=r"has no step 'fit'.*fit_model"):
        choose_steps(backtest_record(), Asked(from_step="fit"))
    with pytest.raises(AmbiguousReferenceError):
        choose_steps(backtest_record(), Asked(only=(step_id(0)[:8],)))
    with pytest.raises(ReplayError, match="at once"):
        choose_steps(backtest_record(), Asked(from_step="fit_model", only=("evaluate",)))


def test_a_parameter_nobody_knows_is_an_error_before_anything_runs() -> None:
    assert check_parameters(backtest_record(), {"window": 50}) == ("what if: parameter window is 50 in place of 20",)
    with pytest.raises(ReplayError, match=r"no parameter 'windov'.*window, path"):
        check_parameters(backtest_record(), {"windov": 50})


def test_what_if_a_step_that_read_what_is_written_anew_is_executed() -> None:
    record = kept(backtest_record())
    (figure,) = record.steps[4].datasets
    read = DatasetRef(**{**figure.model_dump(), "direction": "read"})
    record = with_step(record, 4, datasets=(), inputs=(), upstream=())
    record = with_step(with_step(record, 0, datasets=(figure,)), 4, datasets=(read,))
    asked = Asked(only=("fit_model",))
    assert "evaluate" in restored(record, asked), "the same is written again"
    what_if = Asked(only=("fit_model",), parameters={"window": 50})
    assert "evaluate" not in restored(record, what_if)
    assert "walk_forward" in restored(record, what_if)


def test_a_secret_that_is_set_is_never_said() -> None:
    record = backtest_record()
    (first, *others) = record.flow.parameters
    hidden = first.model_copy(update={"value": first.value.model_copy(update={"rule": "secret", "preview": None})})
    flow = record.flow.model_copy(update={"parameters": (hidden, *others)})
    (said,) = check_parameters(record.model_copy(update={"flow": flow}), {first.name: "hunter2hunter2"})
    assert "hunter2" not in said
    assert first.name in said
    named = first.model_copy(update={"name": "api_key"})
    flow = record.flow.model_copy(update={"parameters": (named,)})
    (said,) = check_parameters(record.model_copy(update={"flow": flow}), {"api_key": "hunter2hunter2"})
    assert "hunter2" not in said


FLOW = """
import datetime
import urllib.request

from prefect import flow, task

@task
def load(n):
    return list(range(n))

@task
def vendor(url, n):
    with urllib.request.urlopen(f"{url}/{n}") as answer:
        return answer.read().decode()

@task
def scale(values, factor, day):
    return [factor * value for value in values], day.isoformat()

@task
def total(scaled, text):
    return sum(scaled[0]), scaled[1], text

@flow
def desk(n: int, url: str, factor: float = 2.0, day: datetime.date = datetime.date(2026, 1, 30)):
    return total(scale(load(n), factor, day), vendor(url, n))

if __name__ == "__main__":
    import os
    desk(4, os.environ["VENDOR"])
"""


class Vendor(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        said = f"quote{self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def vendor() -> Iterator[str]:
    Vendor.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_run_from_a_step_on_and_what_if(desk: Desk, vendor: str) -> None:  # noqa: F811
    run = desk.run(FLOW, VENDOR=vendor, LINEAGE_FLOWS_LEVEL="all")
    assert Vendor.asked == ["/4"]

    part = desk.replay(run, asked=Asked(from_step="scale"))
    assert_identical(part)
    assert verdicts(part) == {
        "load#0": "restored",
        "vendor#0": "restored",
        "scale#0": "identical",
        "total#0": "identical",
    }
    planned = plan_replay(run, settings=desk.settings, asked=Asked(from_step="scale"))
    assert {step.task: step.action for step in planned.steps} == {
        "load": "restored",
        "vendor": "restored",
        "scale": "executed",
        "total": "executed",
    }

    other = desk.replay(run, asked=Asked(parameters={"factor": 3, "day": "2026-02-02"}))
    assert verdicts(other) == {
        "load#0": "identical",
        "vendor#0": "restored",
        "scale#0": "different",
        "total#0": "different",
    }
    assert other.first_divergence is not None
    assert other.steps[other.first_divergence].causes == ("parameters",)
    assert any("factor is 3 in place of 2.0" in note for note in other.notes)

    with pytest.raises(ReplayError, match=r"vendor#0 cannot be restored.*allow-live"):
        desk.replay(run, asked=Asked(parameters={"n": 5}))
    assert Vendor.asked == ["/4"], "nothing was read anew"
    live = desk.replay(run, asked=Asked(parameters={"n": 5}, allow_live=True))
    assert Vendor.asked == ["/4", "/5"]
    assert any("vendor#0 read live" in note for note in live.notes)
    assert live.verdict == "different"


SECRET = """
from prefect import flow, task
from pydantic import SecretStr

@task
def login(code):
    return len(code.get_secret_value())

@task
def count(n):
    return n + 1

@flow
def desk(code: SecretStr = SecretStr("abc"), n: int = 1):
    return login(code), count(n)

if __name__ == "__main__":
    desk()
"""


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_step_that_is_given_another_secret_is_not_restored_nor_the_secret_told(desk: Desk) -> None:  # noqa: F811
    run = desk.run(SECRET, LINEAGE_FLOWS_LEVEL="all")
    other = desk.replay(run, asked=Asked(only=("count",), parameters={"code": "hunter2hunter2"}))
    assert verdicts(other)["login#0"] == "different", "nobody can tell that the secret is the one of then"
    assert "hunter2" not in other.model_dump_json()
