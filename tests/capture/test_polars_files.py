"""The files that polars opens in native code: paths, lists, folders, patterns, plans that read later."""

from __future__ import annotations

import inspect
import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from lineage_flows.capture import files, io_adapters
from lineage_flows.capture.files import FileLog
from lineage_flows.content import fingerprint, fingerprint_file
from tests.support.watched import touched

pytestmark = pytest.mark.usefixtures("tables_watched")

FRAME = pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    FRAME.write_parquet(folder / "t.parquet")
    FRAME.write_csv(folder / "t.csv")
    FRAME.write_ipc(folder / "t.arrow")
    FRAME.write_ipc_stream(folder / "t.stream")
    FRAME.write_ndjson(folder / "t.ndjson")
    FRAME.write_json(folder / "t.json")
    FRAME.write_avro(folder / "t.avro")
    (folder / "parts").mkdir()
    FRAME.write_parquet(folder / "parts" / "0.parquet")
    FRAME.head(1).write_parquet(folder / "parts" / "1.parquet")
    (folder / "parts" / "readme.txt").write_text("not matched")
    return folder


READS: dict[str, tuple[str, Callable[[str], object]]] = {
    "read_parquet": ("t.parquet", lambda path: pl.read_parquet(path)),
    "read_parquet of a path object": ("t.parquet", lambda path: pl.read_parquet(Path(path))),
    "read_parquet of a URI": ("t.parquet", lambda path: pl.read_parquet(Path(path).as_uri())),
    "read_parquet by name": ("t.parquet", lambda path: pl.read_parquet(source=path)),
    "read_parquet without patterns": ("t.parquet", lambda path: pl.read_parquet(path, glob=False)),
    "read_parquet through pyarrow": ("t.parquet", lambda path: pl.read_parquet(path, use_pyarrow=True)),
    "read_parquet_schema": ("t.parquet", lambda path: pl.read_parquet_schema(path)),
    "read_parquet_metadata": ("t.parquet", lambda path: pl.read_parquet_metadata(path)),
    "scan_parquet": ("t.parquet", lambda path: pl.scan_parquet(path).collect()),
    "scan_parquet, never collected": ("t.parquet", lambda path: pl.scan_parquet(path)),
    "read_csv": ("t.csv", lambda path: pl.read_csv(path)),
    "read_csv in another encoding": ("t.csv", lambda path: pl.read_csv(path, encoding="latin-1")),
    "scan_csv": ("t.csv", lambda path: pl.scan_csv(path).collect()),
    "read_ipc": ("t.arrow", lambda path: pl.read_ipc(path)),
    "read_ipc_schema": ("t.arrow", lambda path: pl.read_ipc_schema(path)),
    "read_ipc_stream": ("t.stream", lambda path: pl.read_ipc_stream(path)),
    "scan_ipc": ("t.arrow", lambda path: pl.scan_ipc(path).collect()),
    "read_ndjson": ("t.ndjson", lambda path: pl.read_ndjson(path)),
    "scan_ndjson": ("t.ndjson", lambda path: pl.scan_ndjson(path).collect()),
    "read_json": ("t.json", lambda path: pl.read_json(path)),
    "read_avro": ("t.avro", lambda path: pl.read_avro(path)),
}


@pytest.mark.parametrize("way", sorted(READS))
def test_reads(data: Path, way: str) -> None:
    name, read = READS[way]
    found = touched(lambda: read(str(data / name)))
    assert [(item.direction, item.path, item.fingerprint, item.blob is not None) for item in found.datasets] == [
        ("read", str(data / name), fingerprint_file(data / name)[0], True)
    ]
    assert found.datasets[0].via[0] == f"polars.{way.replace(',', '').split()[0]}"
    assert (found.unrestorable, found.errors) == ((), ())


WRITES: dict[str, Callable[[str], object]] = {
    "DataFrame.write_parquet": lambda path: FRAME.write_parquet(path),
    "DataFrame.write_parquet by name": lambda path: FRAME.write_parquet(file=Path(path)),
    "DataFrame.write_csv": lambda path: FRAME.write_csv(path),
    "DataFrame.write_ipc": lambda path: FRAME.write_ipc(path),
    "DataFrame.write_ipc_stream": lambda path: FRAME.write_ipc_stream(path),
    "DataFrame.write_ndjson": lambda path: FRAME.write_ndjson(path),
    "DataFrame.write_json": lambda path: FRAME.write_json(path),
    "DataFrame.write_avro": lambda path: FRAME.write_avro(path),
    "LazyFrame.sink_parquet": lambda path: FRAME.lazy().sink_parquet(path),
    "LazyFrame.sink_parquet planned": lambda path: FRAME.lazy().sink_parquet(path, lazy=True).collect(),
    "LazyFrame.sink_csv": lambda path: FRAME.lazy().sink_csv(path),
    "LazyFrame.sink_ipc": lambda path: FRAME.lazy().sink_ipc(path),
    "LazyFrame.sink_ndjson": lambda path: FRAME.lazy().sink_ndjson(path),
}


@pytest.mark.parametrize("way", sorted(WRITES))
def test_writes(tmp_path: Path, way: str) -> None:
    path = tmp_path / "out"
    found = touched(lambda: WRITES[way](str(path)))
    assert [(item.direction, item.path, item.fingerprint) for item in found.datasets] == [
        ("write", str(path), fingerprint_file(path)[0])
    ]
    assert found.datasets[0].via[0] == f"polars.{way.partition(' ')[0]}"


def listing(folder: Path) -> str:
    return fingerprint(
        {str(path.relative_to(folder)): fingerprint_file(path)[0] for path in folder.rglob("*") if path.is_file()}
    )


def test_folders(data: Path, tmp_path: Path) -> None:
    (data / "parts" / "readme.txt").unlink()
    for source in (str(data / "parts"), f"{data}/parts/"):
        found = touched(lambda source=source: pl.scan_parquet(source).collect())
        assert [(item.path, item.fingerprint) for item in found.datasets] == [
            (str(data / "parts"), listing(data / "parts"))
        ]
    found = touched(lambda: FRAME.write_parquet(tmp_path / "out", partition_by="b"))
    assert [(item.direction, item.path, item.fingerprint) for item in found.datasets] == [
        ("write", str(tmp_path / "out"), listing(tmp_path / "out"))
    ]
    found = touched(lambda: FRAME.lazy().sink_parquet(pl.PartitionBy(tmp_path / "keys", key="b"), mkdir=True))
    assert [(item.direction, item.path, item.via) for item in found.datasets] == [
        ("write", str(tmp_path / "keys"), ("polars.PartitionBy",))
    ]


def test_a_pattern_is_the_files_that_it_matches(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [str(data / "parts/0.parquet"), str(data / "parts/1.parquet")]
    monkeypatch.chdir(data)
    for source in (f"{data}/parts/*.parquet", "parts/[01].parquet", Path("parts/?.parquet"), f"{data}/**/[01].par*"):
        for read in (pl.read_parquet, lambda source: pl.scan_parquet(source).collect()):
            found = touched(lambda read=read, source=source: read(source))
            assert [item.path for item in found.datasets] == both
            assert found.errors == ()
    assert [item.path for item in touched(lambda: pl.read_parquet(both)).datasets] == both
    assert [item.path for item in touched(lambda: pl.read_csv(f"{data}/*.csv")).datasets] == [str(data / "t.csv")]


def test_what_is_no_path_passes_through(data: Path) -> None:
    def work() -> None:
        pl.read_csv(b"a\n1\n")
        pl.read_csv(io.StringIO("a\n1\n"))
        pl.scan_csv(io.BytesIO(b"a\n1\n")).collect()
        FRAME.write_parquet(io.BytesIO())
        FRAME.write_csv()
        FRAME.lazy().sink_csv(io.BytesIO())
        with (data / "t.csv").open("rb") as file:
            pl.read_csv(file)

    found = touched(work)
    assert [item.path for item in found.datasets] == [str(data / "t.csv")]
    assert (found.unrestorable, found.errors) == ((), ())


def test_what_lies_elsewhere_is_said() -> None:
    found = touched(lambda: pl.scan_parquet("s3://me:secret@bucket/k*.parquet?token=secret"))
    assert found.datasets == ()
    assert found.unrestorable[0].startswith("object s3://bucket/k")
    assert "secret" not in "".join(found.unrestorable)


def test_polars_own_errors_and_warnings_come_through(tmp_path: Path, data: Path) -> None:
    def work() -> None:
        for read in (pl.read_parquet, pl.read_csv, pl.read_ipc, pl.read_ndjson, pl.read_json, pl.read_avro):
            with pytest.raises(FileNotFoundError):
                read(tmp_path / "nothing")
        with pytest.raises((FileNotFoundError, pl.exceptions.PolarsError)):
            pl.read_parquet(f"{tmp_path}/*.nothing")
        with pytest.raises(TypeError):
            pl.read_parquet()
        with pytest.raises(TypeError):
            pl.scan_csv(3)
        with pytest.raises(FileNotFoundError):
            FRAME.write_parquet(tmp_path / "no" / "folder" / "t.parquet")
        with pytest.raises(pl.exceptions.ComputeError):
            pl.read_csv(data / "t.csv", schema={"a": pl.Int8, "b": pl.Int8})

    found = touched(work)
    assert [item.path for item in found.datasets] == [str(data / "t.csv")]
    assert (found.unrestorable, found.errors) == ((), ())


def test_a_warning_points_at_the_users_line(data: Path) -> None:
    log = FileLog(None, size_cap=0)
    with files.activate(log), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pl.Config.warn_unstable(True)
        try:
            pl.scan_parquet(data / "t.parquet", hidden_file_prefix="_")
        finally:
            pl.Config.warn_unstable(False)
    assert [warning.filename for warning in caught] == [__file__]


def test_functions_look_and_pickle_as_before() -> None:
    ours = [pl.read_parquet, pl.scan_csv, pl.read_json, pl.DataFrame.write_parquet, pl.LazyFrame.sink_csv]
    for function in ours:
        assert pickle.loads(pickle.dumps(function)) is function
        assert hasattr(function, "__wrapped__")
    io_adapters.uninstall()
    theirs = [pl.read_parquet, pl.scan_csv, pl.read_json, pl.DataFrame.write_parquet, pl.LazyFrame.sink_csv]
    assert [str(inspect.signature(function)) for function in ours] == [str(inspect.signature(item)) for item in theirs]
    assert not any(a is b for a, b in zip(ours, theirs, strict=True))


def test_paths_and_patterns_are_redirected(data: Path, tmp_path: Path) -> None:
    def redirect(path: str, write: bool) -> str:
        return path.replace("/absent", str(data)) if not write else path.replace("/absent", str(tmp_path))

    io_adapters.redirect_paths(redirect)
    assert pl.read_parquet("/absent/t.parquet").equals(FRAME)
    found = touched(
        lambda: (
            pl.scan_parquet("/absent/parts/*.parquet").collect(),
            pl.read_csv(source="file:///absent/t.csv"),
            pl.read_parquet(["/absent/parts/0.parquet", "/absent/parts/1.parquet"]),
            FRAME.write_csv("/absent/out.csv"),
            pl.read_csv(f"{data}/*.csv"),
        )
    )
    assert [item.path for item in found.datasets] == [
        str(data / "parts/0.parquet"),
        str(data / "parts/1.parquet"),
        str(data / "t.csv"),
        str(tmp_path / "out.csv"),
    ]
    assert found.errors == ()


def test_a_function_that_this_version_has_not_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import polars.io.lines as module

    io_adapters.uninstall()
    monkeypatch.delattr(module, "scan_lines")
    io_adapters.install()
    assert not hasattr(module, "scan_lines")
    assert pl.read_csv(b"a\n1\n").height == 1
    io_adapters.uninstall()  # before the function comes back
