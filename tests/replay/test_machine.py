from __future__ import annotations

import os

import pytest

from lineage_flows.replay.machine import machine_variables
from tests.compare.building import environment

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
OTHER = (HERE or 1) + 3


def blas(threads: int, api: str = "openblas") -> dict[str, object]:
    return {"internal_api": api, "num_threads": threads}


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")


def test_on_the_same_machine_nothing_is_set():
    assert machine_variables(environment(cpu_count=HERE, libraries=(blas(HERE),), timezone="UTC")) == {}
    assert machine_variables(environment()) == {}


def test_the_time_zone_of_the_machine_is_given_back():
    assert machine_variables(environment(timezone="America/New_York")) == {"TZ": "America/New_York"}
    assert machine_variables(environment(timezone="America/New_York", variables={"TZ": "Asia/Tokyo"})) == {}
    for name in ("CET/CEST", "../../etc/passwd", "", "No/Where"):
        assert machine_variables(environment(timezone=name)) == {}


def test_libraries_start_as_many_threads_as_they_did():
    libraries = (blas(OTHER), blas(OTHER, "openmp"), blas(OTHER, "unknown"), blas(1, "mkl"))
    found = machine_variables(environment(cpu_count=OTHER, libraries=libraries))
    assert found == {"OPENBLAS_NUM_THREADS": str(OTHER), "OMP_NUM_THREADS": str(OTHER)}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        recorded = environment(cpu_count=OTHER, libraries=(blas(OTHER),), variables={name: "2"})
        assert machine_variables(recorded) == {}
