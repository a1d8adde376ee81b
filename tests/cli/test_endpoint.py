"""The verb ``endpoint``: a process that serves until it is told to stop."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.endpoint.kit import client, create, refuses


@pytest.fixture
def running(home):
    started = []

    def start(*options):
        process = subprocess.Popen(
            [sys.executable, "-c", "from lineage_flows.cli import main; raise SystemExit(main())", "--home", str(home),
             "endpoint", "--port", "0", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        line = process.stdout.readline()
        name, _, url = line.strip().partition("=")
        assert name == "export AWS_ENDPOINT_URL_SAGEMAKER", line + process.stderr.read()
        return process, url

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_it_says_how_to_use_it_and_ends_cleanly(running, sent, call):
    process, url = running()
    arn = create(client(url), "Artifact", "it")
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    assert call("show", arn).code in {0, 2}
    assert arn in call("search", "desk/it", "--json").out


def test_boto3_finds_it_by_the_variable(running, monkeypatch):
    import boto3

    _, url = running()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", url)
    sagemaker = boto3.client("sagemaker", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    assert sagemaker.list_contexts()["ContextSummaries"] == []


def test_faults_and_limits_are_options(running):
    _, url = running("--fault", "throttle=1", "--fault", "seed=3")
    with refuses("ThrottlingException"):
        client(url).list_contexts()
    _, url = running("--quota", "contexts=1", "--quota", "actions=none", "--allow-host", "desk")
    create(client(url), "Context", "a")
    with refuses("ResourceLimitExceeded"):
        create(client(url), "Context", "b")
    create(client(url), "Action", "b")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--fault", "throttle=2"), "share"),
        (("--fault", "flood=1"), "throttle, server_error"),
        (("--fault", "throttle"), "number"),
        (("--quota", "contexts=-1"), "number"),
        (("--quota", "trials=1"), "contexts"),
        (("--port", "99999"), "65535"),
        (("--host", "198.51.100.7"), "free here"),
    ],
)
def test_wrong_options_are_errors_of_one_line(call, options, words):
    said = call("endpoint", *(("--port", "0") if "--port" not in options else ()), *options)
    assert said.code == 2
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
