from __future__ import annotations

import importlib
import inspect
import os
import pickle
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.feather
import pyarrow.fs
import pyarrow.ipc
import pyarrow.json
import pyarrow.orc
import pyarrow.parquet as pq
import pytest

from lineage_flows.capture import io_adapters
from lineage_flows.capture.files import Touched
from lineage_flows.content import fingerprint, fingerprint_file
from tests.support import watched

pytestmark = pytest.mark.usefixtures("tables_watched")

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})
CAP = 1 << 20


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with the same table in every format."""
    folder = tmp_path / "data"
    folder.mkdir()
    pq.write_table(TABLE, folder / "t.parquet")
    pa.feather.write_feather(TABLE, folder / "t.feather")
    pa.csv.write_csv(TABLE, folder / "t.csv")
    pa.orc.write_table(TABLE, folder / "t.orc")
    (folder / "t.json").write_text('{"a": 1}\n{"a": 2}\n')
    with pa.OSFile(str(folder / "t.arrow"), "wb") as sink, pa.ipc.new_file(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    with pa.OSFile(str(folder / "t.stream"), "wb") as sink, pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    (folder / "parts" / "k=1").mkdir(parents=True)
    (folder / "parts" / "k=2").mkdir(parents=True)
    pq.write_table(TABLE, folder / "parts" / "k=1" / "0.parquet")
    pq.write_table(TABLE, folder / "parts" / "k=2" / "0.parquet")
    return folder


touched = partial(watched.touched, size_cap=CAP)


def frame(folder: Path, name: str) -> Callable[[], object]:
    return lambda: getattr(pd, name)(folder)


READS: dict[str, tuple[str, Callable[[str], object]]] = {
    "pq.read_table": ("t.parquet", lambda path: pq.read_table(path)),
    "pq.read_table memory_map": ("t.parquet", lambda path: pq.read_table(path, memory_map=True)),
    "pq.read_pandas": ("t.parquet", lambda path: pq.read_pandas(path)),
    "pq.read_schema": ("t.parquet", lambda path: pq.read_schema(path)),
    "pq.read_metadata": ("t.parquet", lambda path: pq.read_metadata(path)),
    "pq.ParquetFile": ("t.parquet", lambda path: pq.ParquetFile(path).read()),
    "pq.ParquetDataset": ("t.parquet", lambda path: pq.ParquetDataset(path).read()),
    "pd.read_parquet str": ("t.parquet", pd.read_parquet),
    "pd.read_parquet Path": ("t.parquet", lambda path: pd.read_parquet(Path(path))),
    "pd.read_parquet url": ("t.parquet", lambda path: pd.read_parquet(Path(path).as_uri())),
    "pd.read_feather": ("t.feather", pd.read_feather),
    "pd.read_orc": ("t.orc", pd.read_orc),
    "pd.read_csv": ("t.csv", pd.read_csv),
    "pd.read_csv pyarrow": ("t.csv", lambda path: pd.read_csv(path, engine="pyarrow")),
    "pd.read_json": ("t.json", lambda path: pd.read_json(path, lines=True)),
    "feather.read_table": ("t.feather", lambda path: pa.feather.read_table(path)),
    "feather.read_feather": ("t.feather", lambda path: pa.feather.read_feather(path)),
    "csv.read_csv": ("t.csv", lambda path: pa.csv.read_csv(path)),
    "csv.open_csv": ("t.csv", lambda path: pa.csv.open_csv(path).read_all()),
    "json.read_json": ("t.json", lambda path: pa.json.read_json(path)),
    "orc.read_table": ("t.orc", lambda path: pa.orc.read_table(path)),
    "orc.ORCFile": ("t.orc", lambda path: pa.orc.ORCFile(path).read()),
    "ipc.open_file": ("t.arrow", lambda path: pa.ipc.open_file(path).read_all()),
    "ipc.open_stream": ("t.stream", lambda path: pa.ipc.open_stream(path).read_all()),
    "memory_map": ("t.arrow", lambda path: pa.ipc.open_file(pa.memory_map(path)).read_all()),
    "OSFile": ("t.arrow", lambda path: pa.ipc.open_file(pa.OSFile(path)).read_all()),
    "OSFile named": ("t.arrow", lambda path: pa.OSFile(path=path, mode="rb").close()),
    "input_stream": ("t.csv", lambda path: pa.input_stream(path).read()),
    "dataset": ("t.parquet", lambda path: ds.dataset(path).to_table()),
    "dataset named": ("t.parquet", lambda path: ds.dataset(source=path, format="parquet").to_table()),
    "dataset with a file system": (
        "t.parquet",
        lambda path: ds.dataset(path, filesystem=pa.fs.LocalFileSystem()).to_table(),
    ),
    "dataset below a folder": (
        "t.parquet",
        lambda path: pq.read_table(
            os.path.basename(path), filesystem=pa.fs.SubTreeFileSystem(os.path.dirname(path), pa.fs.LocalFileSystem())
        ),
    ),
    "fsspec": (
        "t.parquet",
        lambda path: pq.read_table(path, filesystem=__import__("fsspec").filesystem("file")),
    ),
}


@pytest.mark.parametrize("way", sorted(READS))
def test_reads(data: Path, way: str) -> None:
    name, read = READS[way]
    found = touched(lambda: read(str(data / name)))
    assert [(item.direction, item.path, item.fingerprint) for item in found.datasets] == [
        ("read", str(data / name), fingerprint_file(data / name)[0])
    ]
    assert found.unrestorable == ()
    assert found.errors == ()


def write_stream(path: str) -> None:
    with pa.ipc.new_stream(path, TABLE.schema) as writer:
        writer.write_table(TABLE)


def write_file(path: str) -> None:
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)


def write_rows(path: str) -> None:
    with pa.csv.CSVWriter(path, TABLE.schema) as writer:
        writer.write_table(TABLE)


def write_groups(path: str) -> None:
    with pq.ParquetWriter(path, TABLE.schema) as writer:
        writer.write_table(TABLE)


WRITES: dict[str, Callable[[str], object]] = {
    "pq.write_table": lambda path: pq.write_table(TABLE, path),
    "pq.ParquetWriter": write_groups,
    "pq.write_metadata": lambda path: pq.write_metadata(TABLE.schema, path),
    "df.to_parquet": lambda path: TABLE.to_pandas().to_parquet(path),
    "df.to_parquet Path": lambda path: TABLE.to_pandas().to_parquet(Path(path)),
    "df.to_feather": lambda path: TABLE.to_pandas().to_feather(path),
    "df.to_orc": lambda path: TABLE.to_pandas().to_orc(path),
    "df.to_csv": lambda path: TABLE.to_pandas().to_csv(path),
    "feather.write_feather": lambda path: pa.feather.write_feather(TABLE, path),
    "csv.write_csv": lambda path: pa.csv.write_csv(TABLE, path),
    "csv.CSVWriter": write_rows,
    "orc.write_table": lambda path: pa.orc.write_table(TABLE, path),
    "ipc.new_stream": write_stream,
    "OSFile": write_file,
    "output_stream": lambda path: pa.output_stream(path).close(),
    "create_memory_map": lambda path: pa.create_memory_map(path, 100).close(),
}


@pytest.mark.parametrize("way", sorted(WRITES))
def test_writes(tmp_path: Path, way: str) -> None:
    path = tmp_path / "out"
    found = touched(lambda: WRITES[way](str(path)))
    assert [(item.direction, item.path, item.fingerprint) for item in found.datasets] == [
        ("write", str(path), fingerprint_file(path)[0])
    ]


def test_a_map_that_is_written(data: Path) -> None:
    def work() -> None:
        with pa.memory_map(str(data / "t.csv"), "r+") as mapped:
            mapped.write(b"zz")

    before = fingerprint_file(data / "t.csv")[0]
    found = touched(work)
    assert [(item.direction, item.fingerprint == before) for item in found.datasets] == [
        ("read", True),
        ("write", False),
    ]


@pytest.mark.parametrize(
    "read",
    [
        lambda path: pq.read_table(path),
        lambda path: pd.read_parquet(path),
        lambda path: ds.dataset(path, partitioning="hive").to_table(),
        lambda path: pq.ParquetDataset(path + "/").read(),
    ],
)
def test_a_partitioned_folder_is_one_dataset(data: Path, read: Callable[[str], object]) -> None:
    found = touched(lambda: read(str(data / "parts")))
    parts = {str(path.relative_to(data / "parts")): fingerprint_file(path)[0] for path in data.glob("parts/*/*")}
    assert [(item.direction, item.path, item.fingerprint) for item in found.datasets] == [
        ("read", str(data / "parts"), fingerprint(parts))
    ]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: pq.write_to_dataset(TABLE, path, partition_cols=["b"]),
        lambda path: ds.write_dataset(TABLE, path, format="parquet"),
        lambda path: TABLE.to_pandas().to_parquet(path, partition_cols=["b"]),
    ],
)
def test_a_folder_that_is_written(tmp_path: Path, write: Callable[[str], object]) -> None:
    found = touched(lambda: write(str(tmp_path / "out")))
    parts: dict[str, object] = {}
    for path in (tmp_path / "out").rglob("*.parquet"):
        name, drawn = re.subn(r"[0-9a-f]{32}", "*", str(path.relative_to(tmp_path / "out")))
        parts[name] = [fingerprint_file(path)[0]] if drawn else fingerprint_file(path)[0]
    assert [(item.direction, item.path, item.fingerprint) for item in found.datasets] == [
        ("write", str(tmp_path / "out"), fingerprint(parts))
    ]


def test_a_list_of_files_is_that_many_datasets(data: Path) -> None:
    names = [str(data / "parts/k=1/0.parquet"), str(data / "parts/k=2/0.parquet")]
    assert [item.path for item in touched(lambda: ds.dataset(names)).datasets] == names
    assert [item.path for item in touched(lambda: pd.read_parquet(names)).datasets] == names  # type: ignore[arg-type]


def test_copying(data: Path, tmp_path: Path) -> None:
    found = touched(lambda: pa.fs.copy_files(str(data / "t.csv"), str(tmp_path / "copy.csv")))
    assert [(item.direction, Path(item.path).name) for item in found.datasets] == [
        ("read", "t.csv"),
        ("write", "copy.csv"),
    ]


@pytest.mark.parametrize(
    "source", ["s3://me:secret@bucket/key?token=secret", "https://host/t.parquet?sig=secret", "gs://bucket/key"]
)
def test_what_lies_elsewhere_is_said(source: str) -> None:
    def work() -> None:
        with pytest.raises((OSError, ValueError, ImportError, pa.ArrowException, NotImplementedError)):
            ds.dataset(source, filesystem=pa.fs._MockFileSystem() if hasattr(pa.fs, "_MockFileSystem") else None)

    found = touched(work)
    assert found.datasets == ()
    assert found.unrestorable[0].startswith("object ")
    assert "secret" not in "".join(found.unrestorable)


def test_open_files_and_buffers_pass_through(data: Path) -> None:
    def work() -> None:
        with (data / "t.parquet").open("rb") as file:
            pq.read_table(file)
        pq.read_table(pa.BufferReader((data / "t.parquet").read_bytes()))
        sink = pa.BufferOutputStream()
        pq.write_table(TABLE, sink)
        pa.csv.write_csv(TABLE, pa.BufferOutputStream())

    assert [item.path for item in touched(work).datasets] == [str(data / "t.parquet")]


def test_the_librarys_own_errors_come_through(tmp_path: Path) -> None:
    def work() -> None:
        for call in (pq.read_table, pq.ParquetFile, pa.OSFile, pa.memory_map, pa.csv.read_csv, ds.dataset):
            with pytest.raises(FileNotFoundError):
                call(str(tmp_path / "nothing"))
        with pytest.raises(TypeError):
            pq.read_table()
        with pytest.raises(TypeError):
            pa.csv.read_csv("x", no_such_option=1)
        with pytest.raises((TypeError, AttributeError)):
            pq.write_table(TABLE, None)

    assert touched(work) == Touched()


def test_functions_look_and_pickle_as_before() -> None:
    ours = [
        pq.read_table,
        pq.write_table,
        pa.memory_map,
        pa.csv.read_csv,
        pa.json.read_json,
        ds.dataset,
        pa.feather.read_table,
    ]
    signatures = [str(inspect.signature(function)) for function in ours]
    for function in ours:
        assert pickle.loads(pickle.dumps(function)) is function
    io_adapters.uninstall()
    theirs = [
        pq.read_table,
        pq.write_table,
        pa.memory_map,
        pa.csv.read_csv,
        pa.json.read_json,
        ds.dataset,
        pa.feather.read_table,
    ]
    assert signatures == [str(inspect.signature(function)) for function in theirs]
    assert [function.__doc__ for function in ours] == [function.__doc__ for function in theirs]
    assert not any(a is b for a, b in zip(ours, theirs, strict=True))


def test_classes_stay_what_they_were(data: Path) -> None:
    file = pa.OSFile(str(data / "t.csv"))
    assert isinstance(file, pa.OSFile)
    assert isinstance(file, pa.NativeFile)
    assert issubclass(pa.OSFile, pa.NativeFile)
    assert not isinstance(1, pa.OSFile)
    assert not isinstance(pa.BufferReader(b""), pa.OSFile)

    class Mine(pa.OSFile):
        pass

    assert isinstance(Mine(str(data / "t.csv")), Mine)
    assert not isinstance(file, Mine)
    assert isinstance(pq.ParquetFile(data / "t.parquet"), pq.ParquetFile)
    mine = pa.OSFile
    assert pickle.loads(pickle.dumps(mine)) is mine
    io_adapters.uninstall()
    assert type(file) is pa.OSFile


def test_installing_twice_and_again() -> None:
    original = pq.read_table.__wrapped__
    io_adapters.install()
    assert pq.read_table.__wrapped__ is original
    io_adapters.uninstall()
    assert pq.read_table is original
    io_adapters.install()
    assert pq.read_table.__wrapped__ is original


def test_paths_are_redirected(data: Path, tmp_path: Path) -> None:
    asked: list[tuple[str, bool]] = []

    def redirect(path: str, write: bool) -> str:
        asked.append((path, write))
        return path.replace("/absent/", f"{data}/") if not write else path.replace("/absent/", f"{tmp_path}/")

    io_adapters.redirect_paths(redirect)
    assert pq.read_table("/absent/t.parquet").equals(TABLE)
    found = touched(
        lambda: (
            pd.read_parquet(Path("/absent/t.parquet")),
            ds.dataset(["/absent/t.parquet"]).to_table(),
            pa.csv.read_csv(input_file="file:///absent/t.csv"),
            pa.OSFile("/absent/t.arrow").close(),
            pq.write_table(TABLE, "/absent/out.parquet"),
        )
    )
    assert [item.path for item in found.datasets] == [
        *(str(data / name) for name in ("t.parquet", "t.csv", "t.arrow")),
        str(tmp_path / "out.parquet"),
    ]
    assert ("/absent/out.parquet", True) in asked
    assert found.errors == ()


def test_a_redirect_that_fails_is_noted(data: Path) -> None:
    io_adapters.redirect_paths(lambda path, write: 1 / 0)  # type: ignore[arg-type, return-value]
    found = touched(lambda: pq.read_table(str(data / "t.parquet")))
    assert found.errors[0] == "recording pyarrow.parquet.read_table: ZeroDivisionError: division by zero"


def test_libraries_are_adapted_when_they_are_imported_and_not_before(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from lineage_flows.capture import audit, files, io_adapters
            io_adapters.install()
            audit.install()
            print([name for name in ("pandas", "pyarrow", "numpy", "tables") if name in sys.modules])
            from pyarrow.parquet import read_table, write_table
            from pyarrow.csv import read_csv
            from pyarrow import OSFile, table
            write_table(table({"a": [1]}), sys.argv[1])
            log = files.FileLog(None, size_cap=1000)
            with files.activate(log):
                read_table(sys.argv[1])
                OSFile(sys.argv[1]).close()
            print([item.via for item in log.close().datasets], hasattr(read_csv, "__wrapped__"))
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "t.parquet")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "[('pyarrow.parquet.read_table', 'pyarrow.lib.OSFile')] True"]


OLDER = {("polars.io.csv.functions", "read_csv_batched")}
"""Gone from the version that is installed here, there in others within the bounds."""


def test_every_adapter_names_something_of_this_version() -> None:
    for adapter in io_adapters.ADAPTERS:
        module: Any = importlib.import_module(adapter.module)
        holder, _, method = adapter.name.partition(".")
        if (adapter.module, adapter.name) in OLDER:
            continue
        target = getattr(module, holder)
        target = getattr(target, method) if method else target
        if adapter.is_class:
            continue
        parameters = list(inspect.signature(target).parameters)
        for argument in adapter.arguments:
            assert parameters[argument.position] == argument.name
            if argument.mode:
                assert parameters[argument.mode[0]] == argument.mode[1]
