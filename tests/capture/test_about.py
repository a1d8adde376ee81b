"""What a task is declared to be is read once, and again as soon as it has changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prefect import task
from prefect.cache_policies import INPUTS, NO_CACHE

from lineage_flows import redaction
from lineage_flows.capture.about import task_about


@pytest.fixture(autouse=True)
def forgotten():
    redaction.forget()
    yield
    redaction.forget()


@task(retries=2, retry_delay_seconds=3, cache_policy=INPUTS)
def fit():
    """Fits."""


def test_the_same_while_nothing_changes():
    assert task_about(fit, ("a",), ("team",)) is task_about(fit, ("a",), ("team",))


@pytest.mark.parametrize(
    ("name", "value", "field", "said"),
    [
        ("retries", 5, "retries", 5),
        ("retry_delay_seconds", 7.5, "retry_delays", (7.5,)),
        ("timeout_seconds", 9.0, "timeout", 9.0),
        ("description", "Fits anew.", "documentation", "Fits anew."),
        ("version", "2", "version", "2"),
        ("cache_policy", NO_CACHE, "cache_policy", "None"),
        ("cache_expiration", timedelta(minutes=2), "cache_expiration", 120.0),
        ("persist_result", True, "persist_result", True),
    ],
)
def test_what_changes_is_read_anew(name, value, field, said):
    declared = fit.with_options(name="fit")
    task_about(declared, (), ())
    setattr(declared, name, value)
    assert getattr(task_about(declared, (), ()), field) == said


def test_a_list_that_grew_is_read_anew():
    declared = fit.with_options(retry_delay_seconds=[1, 2])
    task_about(declared, (), ())
    declared.retry_delay_seconds.append(4)
    assert task_about(declared, (), ()).retry_delays == (1.0, 2.0, 4.0)


def test_tags_and_settings_that_name_other_owners_count():
    assert task_about(fit, ("owner:a",), ()).owners == ("a",)
    assert task_about(fit, ("owner:b",), ("c",)).owners == ("b", "c")


def test_a_secret_that_is_met_later_is_masked_from_then_on():
    declared = fit.with_options(description="uses plover-1789-xyzzy")
    assert "plover" in str(task_about(declared, (), ()).documentation)
    redaction.remember("plover-1789-xyzzy")
    assert "plover" not in str(task_about(declared, (), ()).documentation)


def test_tasks_are_not_kept_alive():
    from lineage_flows.capture import about

    declared = fit.with_options(name="short-lived")
    task_about(declared, (), ())
    before = len(about._tasks)
    del declared
    assert len(about._tasks) == before - 1
