"""Results that Prefect persists and reads back are its own, wherever its storage lies; what the user's hooks do is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from lineage_flows.capture import persistence
from tests.support.flows import run_script

pytestmark = pytest.mark.server

LOCAL = """
    import pathlib, sys
    from prefect import flow, task
    from prefect.filesystems import LocalFileSystem
    from prefect.cache_policies import INPUTS

    place = LocalFileSystem(basepath=sys.argv[1])
    place.save("lineage-results", overwrite=True)

    @task(persist_result=True, result_storage=place, cache_policy=INPUTS)
    def made(n):
        return list(range(n))

    @task(persist_result=True, result_storage=place)
    async def amade():
        return {"a": 1}

    @made.on_commit
    def told(transaction):
        (pathlib.Path(sys.argv[1]).parent / "told").write_text("by the user's own hook")

    @flow(persist_result=True, result_storage=place)
    def inner():
        return made(3)

    @flow(persist_result=True, result_storage=place)
    def main():
        first, again = inner(), made(3)
        amade.submit().result()
        return len(first) + len(again)

    main()
"""


@pytest.mark.usefixtures("prefect_server")
def test_results_in_a_folder_of_the_users_are_no_data(tmp_path: Path, home: Path) -> None:
    results = tmp_path / "results"
    ran = run_script(LOCAL, tmp_path / "project", home, str(results))
    assert ran.code == 0, ran.err
    assert len(list(results.iterdir())) >= 3
    touched = [item.path for record in ran.records() for item in record.datasets]
    assert touched == [str(tmp_path / "told")]
    assert {error for record in ran.records() for error in record.capture_errors} == set()


S3 = """
    import io, os
    import boto3
    from anyio import to_thread
    from prefect import flow, task
    from prefect.filesystems import WritableFileSystem

    class Bucket(WritableFileSystem):
        '''As prefect-aws does it: boto3 in a worker thread, a client for every call.'''

        _block_type_name = "lineage test bucket"

        def client(self):
            return boto3.client("s3", endpoint_url=os.environ["S3"])

        async def read_path(self, path):
            return await to_thread.run_sync(lambda: self.client().get_object(Bucket="results", Key=path)["Body"].read())

        async def write_path(self, path, content):
            return await to_thread.run_sync(
                lambda: self.client().upload_fileobj(io.BytesIO(content), Bucket="results", Key=path)
            )

    Bucket.register_type_and_schema()
    place = Bucket()
    place.save("lineage-bucket", overwrite=True)

    @task(persist_result=True, result_storage=place)
    def made():
        boto3.client("s3", endpoint_url=os.environ["S3"]).put_object(Bucket="results", Key="mine", Body=b"own")
        return 5

    @task(persist_result=True, result_storage=place)
    async def amade():
        return 6

    @flow(persist_result=True, result_storage=place)
    def main():
        return made() + amade.submit().result()

    main()
    keys = [item["Key"] for item in place.client().list_objects_v2(Bucket="results")["Contents"]]
    print(len(keys))
"""


@pytest.mark.usefixtures("prefect_server")
def test_results_in_s3_are_no_data(tmp_path: Path, home: Path) -> None:
    import boto3

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        url = f"http://{host}:{port}"
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        client.create_bucket(Bucket="results")
        ran = run_script(S3, tmp_path / "project", home, S3=url, **keys)
    finally:
        server.stop()
    assert ran.code == 0, ran.err
    assert int(ran.out.split()[-1]) == 3, "two results and one object"
    touched = [(record.flow_name, item.uri) for record in ran.records() for item in record.datasets]
    assert touched == [("main", "s3://results/mine")]
    assert ran.step("made").unrestorable == ("object s3://results/mine",)
    assert ran.flows()["main"].unrestorable == ()


def test_prefects_own_methods_come_back() -> None:
    from prefect.results import ResultStore

    before = {name: ResultStore.__dict__[name] for name in persistence.METHODS}
    persistence.install()
    persistence.install()
    assert all(ResultStore.__dict__[name] is not original for name, original in before.items())
    persistence.uninstall()
    assert {name: ResultStore.__dict__[name] for name in persistence.METHODS} == before
