"""From a model to everything that made it and was made of it, with SageMaker's own SDK: what AWS's article does by hand.

    python -m demo.associations [--home ~/.lineage-flows] [--keeper embedded|sagemaker] [MODEL]

Prints every association of the model with the types of its two ends, then all that it descends from and all that descends from it.
MODEL is the ARN of an artifact; by default the model that was made last.

Without ``--home`` the SDK talks to the SageMaker that boto3 is configured for (``AWS_REGION``, ``AWS_PROFILE``,
``AWS_ENDPOINT_URL_SAGEMAKER``), where ``LINEAGE_FLOWS_KEEPER=sagemaker`` has brought what flows recorded. With it no account is
needed, and an endpoint is started for as long as this runs:

- ``--keeper embedded`` (the default): over the embedded graph of that home, as it is;
- ``--keeper sagemaker``: over an empty account without quotas, into which the SageMaker keeper writes what the home's spool has of
  its runs (thirty days, once they were delivered), as it would write it on AWS. What waits there for delivery goes on waiting.

Needs ``sagemaker-core`` (a part of ``sagemaker``).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table

LOCAL = {"region_name": "us-east-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}
"""boto3 signs whatever it sends; the endpoint does not ask who signed."""

_MOST_EVENTS = 100_000
_BATCH = 500


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="ARN of an artifact; the newest model by default")
    parser.add_argument("--home", type=Path, help="a lineage home; without it, SageMaker as boto3 is configured")
    parser.add_argument("--keeper", choices=("embedded", "sagemaker"), help="who writes the graph; needs --home")
    options = parser.parse_args()
    if options.keeper and options.home is None:
        parser.error("--keeper needs --home: without one, what is in SageMaker is shown, whoever wrote it")
    console = Console(width=None if sys.stdout.isatty() else 240)
    with _session(options.home, written=options.keeper == "sagemaker") as session:
        _show(session, options.model or _newest_model(session), console)


@contextmanager
def _session(home: Path | None, *, written: bool) -> Iterator[Any]:
    """A session of the SDK; ``written`` over what the SageMaker keeper writes of a home's runs, else over its graph."""
    from sagemaker.core.helper.session_helper import Session

    if home is None:
        # boto3 alone does not read AWS_REGION.
        yield Session(boto_session=boto3.Session(region_name=os.environ.get("AWS_REGION") or None))
        return
    from lineage_flows.endpoint.backend import Quotas
    from lineage_flows.endpoint.server import serve

    home, boto = home.expanduser(), boto3.Session(**LOCAL)
    with TemporaryDirectory(prefix="lineage-flows-account-") as folder:
        account = Path(folder)
        with serve(account if written else home, quotas=Quotas(None, None, None, None)) as url:
            if written:
                _write(home, account, lambda: boto.client("sagemaker", endpoint_url=url))
            yield Session(boto_session=boto, sagemaker_client=boto.client("sagemaker", endpoint_url=url))


def _write(home: Path, account: Path, make: Callable[[], Any]) -> None:
    """Let the SageMaker keeper write what a home's spool has."""
    from lineage_flows.delivery import Spool
    from lineage_flows.graph.project import project
    from lineage_flows.graph.sagemaker import open_sagemaker
    from lineage_flows.graph.sagemaker.client import Client

    if not (path := home / "spool.db").exists():
        sys.exit(f"{home} has no spool: no flow has run with it.")
    spool = Spool(path)
    try:
        # A receiver of that name has received nothing; nothing is acknowledged in its name either.
        events = [item.event for item in spool.pending("demo.associations", _MOST_EVENTS)]
    finally:
        spool.close()
    keeper = open_sagemaker(account / "sagemaker.db", client=Client(make))
    try:
        for begin in range(0, len(events), _BATCH):
            project(events[begin : begin + _BATCH], keeper)
    finally:
        keeper.close()


def _newest_model(session: Any) -> str:  # noqa: ANN401 - the SDK is not typed
    from sagemaker.core.lineage.artifact import Artifact

    models = Artifact.list(
        artifact_type="Model", sort_by="CreationTime", sort_order="Descending", sagemaker_session=session
    )
    found = next(iter(models), None)
    if found is None:
        sys.exit("There is no artifact of the type Model; run a flow that gives one out, or name another artifact.")
    return str(found.artifact_arn)


def _show(session: Any, arn: str, console: Console) -> None:  # noqa: ANN401 - as above
    from sagemaker.core.lineage.artifact import Artifact
    from sagemaker.core.lineage.association import Association
    from sagemaker.core.lineage.query import LineageQueryDirectionEnum

    model = Artifact.load(artifact_arn=arn, sagemaker_session=session)
    console.print(
        f"{model.artifact_name} ({model.artifact_type}), {model.source.source_uri}", markup=False, style="bold"
    )
    table = Table("Source", "Source type", "Association", "Destination", "Destination type", title="Associations")
    for ends in ({"destination_arn": arn}, {"source_arn": arn}):
        for one in Association.list(**ends, sagemaker_session=session):
            table.add_row(
                one.source_name or one.source_arn,
                one.source_type,
                one.association_type,
                one.destination_name or one.destination_arn,
                one.destination_type,
            )
    console.print(table)
    for title, direction in (
        ("Upstream", LineageQueryDirectionEnum.ASCENDANTS),
        ("Downstream", LineageQueryDirectionEnum.DESCENDANTS),
    ):
        found = Table("Entity", "Type", "Name or source", title=title)
        for vertex in _reached(session, arn, direction):
            found.add_row(vertex["LineageType"], vertex.get("Type", ""), _label(session, vertex))
        console.print(found)


def _label(session: Any, vertex: dict[str, Any]) -> str:  # noqa: ANN401 - as above
    """Where an artifact is; the name of anything else, which its ARN ends in."""
    from sagemaker.core.lineage.artifact import Artifact

    if vertex["LineageType"] != "Artifact":
        return str(vertex["Arn"]).rpartition("/")[2]
    return str(Artifact.load(artifact_arn=vertex["Arn"], sagemaker_session=session).source.source_uri)


def _reached(session: Any, arn: str, direction: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - as above
    """Everything that can be reached. The SDK's own query never asks for a second page; the session's client does."""
    asked: dict[str, Any] = {"StartArns": [arn], "Direction": direction.value, "IncludeEdges": False, "MaxResults": 50}
    while True:
        answer = session.sagemaker_client.query_lineage(**asked)
        yield from (vertex for vertex in answer.get("Vertices", ()) if vertex["Arn"] != arn)
        if not (token := answer.get("NextToken")):
            return
        asked["NextToken"] = token


if __name__ == "__main__":
    main()
