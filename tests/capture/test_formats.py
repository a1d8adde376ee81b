"""Every format that pandas, polars, pyarrow, numpy, joblib, fsspec and the standard library read and write, one case each.

Each asserts one dataset of the right direction with the fingerprint of the file's bytes, and the rows and columns where the library
has them in hand.
"""

from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from lineage_flows.capture.files import Touched
from lineage_flows.content import fingerprint_file
from lineage_flows.records import DatasetRef
from tests.support.watched import touched

pytestmark = pytest.mark.usefixtures("tables_watched")

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
POLARS = pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
TABLE = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})
ARRAY = np.arange(6.0)

Work = Callable[[str], object]
AB = ("a", "b")


def fixed_width(path: str) -> None:
    Path(path).write_text("a b\n1 x\n2 y\n3 z\n")


def save_sparse(path: str) -> None:
    np.savez(path, a=ARRAY)


def write_memmap(path: str) -> None:
    mapped = np.memmap(path, dtype="float64", mode="w+", shape=(6,))
    mapped[:] = ARRAY
    mapped.flush()


def put(path: str, text: str = "a,b\n1,x\n2,y\n3,z\n") -> None:
    Path(path).write_text(text)


def zipped(path: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("t.csv", "a,b\n1,x\n2,y\n3,z\n")


def tarred(path: str) -> None:
    folder = Path(path).parent
    with tempfile.TemporaryDirectory() as aside:
        put(f"{aside}/t.csv")
        with tarfile.open(path, "w:gz") as archive:
            archive.add(f"{aside}/t.csv", "t.csv")
    assert folder.exists()


def gzipped(path: str) -> None:
    with gzip.open(path, "wt") as file:
        file.write("a,b\n1,x\n2,y\n3,z\n")


def aside_and_renamed(path: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=Path(path).parent, delete=False) as file:
        FRAME.to_csv(file.name, index=False)
    os.replace(file.name, path)


def csv_in_zip(path: str) -> object:
    with zipfile.ZipFile(path) as archive, archive.open("t.csv") as member:
        return pd.read_csv(member)


def csv_in_tar(path: str) -> object:
    with tarfile.open(path) as archive:
        return pd.read_csv(archive.extractfile("t.csv"))  # type: ignore[arg-type]


def through_fsspec(path: str) -> object:
    with fsspec.open(f"file://{path}", "rb") as file:
        return file.read()


def to_fsspec(path: str) -> None:
    with fsspec.open(f"file://{path}", "wb") as file:
        file.write(b"a,b\n1,x\n")


def in_chunks(path: str) -> None:
    with pd.read_csv(path, chunksize=2) as chunks:
        assert sum(map(len, chunks)) == 3


def opened(path: str) -> None:
    with open(path) as file:
        pd.read_csv(file)


READS: dict[str, tuple[str, Work, Work, int | None, tuple[str, ...]]] = {
    "pandas.read_csv": ("t.csv", put, lambda p: pd.read_csv(p), 3, AB),
    "pandas.read_csv of an open file": ("t.csv", put, opened, 3, AB),
    "pandas.read_csv, some": ("t.csv", put, lambda p: pd.read_csv(p, usecols=["a"], nrows=2), 2, ("a",)),
    "pandas.read_csv, in chunks": ("t.csv", put, in_chunks, None, ()),
    "pandas.read_csv, gzip": ("t.csv.gz", gzipped, lambda p: pd.read_csv(p), 3, AB),
    "pandas.read_csv, zip": ("t.zip", zipped, lambda p: pd.read_csv(p), 3, AB),
    "pandas.read_csv, pyarrow": ("t.csv", put, lambda p: pd.read_csv(p, engine="pyarrow"), 3, AB),
    "pandas.read_table": ("t.csv", put, lambda p: pd.read_table(p, sep=","), 3, AB),
    "pandas.read_fwf": ("t.txt", fixed_width, lambda p: pd.read_fwf(p), 3, AB),
    "pandas.read_json": ("t.json", FRAME.to_json, lambda p: pd.read_json(p), 3, AB),
    "pandas.read_excel": ("t.xlsx", lambda p: FRAME.to_excel(p, index=False), lambda p: pd.read_excel(p), 3, AB),
    "pandas.read_feather": ("t.feather", FRAME.to_feather, lambda p: pd.read_feather(p), 3, AB),
    "pandas.read_parquet": ("t.parquet", FRAME.to_parquet, lambda p: pd.read_parquet(p), 3, AB),
    "pandas.read_orc": ("t.orc", FRAME.to_orc, lambda p: pd.read_orc(p), 3, AB),
    "pandas.read_pickle": ("t.pkl", FRAME.to_pickle, lambda p: pd.read_pickle(p), 3, AB),
    "pandas.read_xml": (
        "t.xml",
        lambda p: FRAME.to_xml(p, index=False, parser="etree"),
        lambda p: pd.read_xml(p, parser="etree"),
        3,
        AB,
    ),
    "pandas.read_stata": ("t.dta", lambda p: FRAME.to_stata(p, write_index=False), lambda p: pd.read_stata(p), 3, AB),
    "polars.read_csv": ("t.csv", put, lambda p: pl.read_csv(p), 3, AB),
    "polars.read_parquet": ("t.parquet", POLARS.write_parquet, lambda p: pl.read_parquet(p), 3, AB),
    "polars.read_ipc": ("t.arrow", POLARS.write_ipc, lambda p: pl.read_ipc(p), 3, AB),
    "polars.read_ndjson": ("t.ndjson", POLARS.write_ndjson, lambda p: pl.read_ndjson(p), 3, AB),
    "polars.scan_parquet": ("t.parquet", POLARS.write_parquet, lambda p: pl.scan_parquet(p).collect(), None, ()),
    "pyarrow.parquet.read_table": ("t.parquet", FRAME.to_parquet, lambda p: pq.read_table(p), 3, AB),
    "pyarrow.parquet.ParquetFile": ("t.parquet", FRAME.to_parquet, lambda p: pq.ParquetFile(p).read(), 3, AB),
    "pyarrow.csv.read_csv": ("t.csv", put, lambda p: pa.csv.read_csv(p), 3, AB),
    "pyarrow.feather.read_table": ("t.feather", FRAME.to_feather, lambda p: pa.feather.read_table(p), 3, AB),
    "numpy.load": ("t.npy", lambda p: np.save(p, ARRAY), lambda p: np.load(p), None, ()),
    "numpy.load, mapped": ("t.npy", lambda p: np.save(p, ARRAY), lambda p: np.load(p, mmap_mode="r"), None, ()),
    "numpy.load, npz": ("t.npz", save_sparse, lambda p: np.load(p)["a"], None, ()),
    "numpy.memmap": ("t.raw", ARRAY.tofile, lambda p: np.memmap(p, dtype="float64", mode="r"), None, ()),
    "numpy.loadtxt": ("t.txt", lambda p: np.savetxt(p, ARRAY), lambda p: np.loadtxt(p), None, ()),
    "numpy.genfromtxt": ("t.txt", lambda p: np.savetxt(p, ARRAY), lambda p: np.genfromtxt(p), None, ()),
    "numpy.fromfile": ("t.raw", ARRAY.tofile, lambda p: np.fromfile(p), None, ()),
    "joblib.load": ("t.joblib", lambda p: joblib.dump(FRAME, p), lambda p: joblib.load(p), None, ()),
    "joblib.load, compressed": (
        "t.gz",
        lambda p: joblib.dump(FRAME, p, compress=("gzip", 3)),
        lambda p: joblib.load(p),
        None,
        (),
    ),
    "joblib.load, mapped": (
        "t.joblib",
        lambda p: joblib.dump(ARRAY, p),
        lambda p: joblib.load(p, mmap_mode="r"),
        None,
        (),
    ),
    "fsspec, local": ("t.csv", put, through_fsspec, None, ()),
    "pandas through fsspec": ("t.csv", put, lambda p: pd.read_csv(f"file://{p}"), 3, AB),
    "zipfile": ("t.zip", zipped, csv_in_zip, None, ()),
    "tarfile": ("t.tar.gz", tarred, csv_in_tar, None, ()),
    "gzip": ("t.csv.gz", gzipped, lambda p: gzip.open(p).read(), None, ()),
    "pickle": ("t.pkl", FRAME.to_pickle, lambda p: pickle.loads(Path(p).read_bytes()), None, ()),
}

WRITES: dict[str, tuple[str, Work, int | None, tuple[str, ...]]] = {
    "pandas.to_csv": ("t.csv", lambda p: FRAME.to_csv(p), 3, AB),
    "pandas.Series.to_csv": ("t.csv", lambda p: FRAME["a"].to_csv(p), 3, ("a",)),
    "pandas.to_csv, gzip": ("t.csv.gz", lambda p: FRAME.to_csv(p), 3, AB),
    "pandas.to_csv, zip": ("t.zip", lambda p: FRAME.to_csv(p), 3, AB),
    "pandas.to_json": ("t.json", lambda p: FRAME.to_json(p), 3, AB),
    "pandas.to_excel": ("t.xlsx", lambda p: FRAME.to_excel(p), 3, AB),
    "pandas.to_feather": ("t.feather", lambda p: FRAME.to_feather(p), 3, AB),
    "pandas.to_parquet": ("t.parquet", lambda p: FRAME.to_parquet(p), 3, AB),
    "pandas.to_orc": ("t.orc", lambda p: FRAME.to_orc(p), 3, AB),
    "pandas.to_pickle": ("t.pkl", lambda p: FRAME.to_pickle(p), 3, AB),
    "pandas.to_xml": ("t.xml", lambda p: FRAME.to_xml(p, parser="etree"), 3, AB),
    "pandas.to_html": ("t.html", lambda p: FRAME.to_html(p), 3, AB),
    "pandas.to_stata": ("t.dta", lambda p: FRAME.to_stata(p), 3, AB),
    "polars.write_csv": ("t.csv", lambda p: POLARS.write_csv(p), 3, AB),
    "polars.write_parquet": ("t.parquet", lambda p: POLARS.write_parquet(p), 3, AB),
    "polars.write_ipc": ("t.arrow", lambda p: POLARS.write_ipc(p), 3, AB),
    "polars.write_json": ("t.json", lambda p: POLARS.write_json(p), 3, AB),
    "polars.sink_parquet": ("t.parquet", lambda p: POLARS.lazy().sink_parquet(p), None, ()),
    "pyarrow.parquet.write_table": ("t.parquet", lambda p: pq.write_table(TABLE, p), 3, AB),
    "pyarrow.csv.write_csv": ("t.csv", lambda p: pa.csv.write_csv(TABLE, p), 3, AB),
    "pyarrow.feather.write_feather": ("t.feather", lambda p: pa.feather.write_feather(TABLE, p), 3, AB),
    "numpy.save": ("t.npy", lambda p: np.save(p, ARRAY), None, ()),
    "numpy.savez": ("t.npz", save_sparse, None, ()),
    "numpy.savez_compressed": ("t.npz", lambda p: np.savez_compressed(p, a=ARRAY), None, ()),
    "numpy.savetxt": ("t.txt", lambda p: np.savetxt(p, ARRAY), None, ()),
    "numpy.memmap": ("t.raw", write_memmap, None, ()),
    "numpy.tofile": ("t.raw", lambda p: ARRAY.tofile(p), None, ()),
    "joblib.dump": ("t.joblib", lambda p: joblib.dump(FRAME, p), None, ()),
    "joblib.dump, compressed": ("t.gz", lambda p: joblib.dump(FRAME, p, compress=("gzip", 3)), None, ()),
    "fsspec, local": ("t.csv", to_fsspec, None, ()),
    "zipfile": ("t.zip", zipped, None, ()),
    "tarfile": ("t.tar.gz", tarred, None, ()),
    "gzip": ("t.csv.gz", gzipped, None, ()),
    "written aside and renamed": ("t.csv", aside_and_renamed, 3, AB),
}


def only(found: Touched, path: Path, direction: str) -> DatasetRef:
    assert found.errors == ()
    (one,) = found.datasets
    assert (one.direction, one.path, one.namespace) == (direction, str(path), "file")
    assert (one.fingerprint, one.size) == fingerprint_file(path)
    assert one.note is None
    return one


@pytest.mark.parametrize("way", READS)
def test_what_is_read(tmp_path: Path, way: str) -> None:
    name, make, read, rows, columns = READS[way]
    path = tmp_path / name
    make(str(path))
    one = only(touched(lambda: read(str(path))), path, "read")
    assert one.blob is not None
    assert one.rows == rows
    assert tuple(column.name for column in one.columns) == columns
    assert all(column.type for column in one.columns)


@pytest.mark.parametrize("way", WRITES)
def test_what_is_written(tmp_path: Path, way: str) -> None:
    name, write, rows, columns = WRITES[way]
    path = tmp_path / name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = only(touched(lambda: write(str(path))), path, "write")
    assert one.rows == rows
    assert tuple(column.name for column in one.columns) == columns


def test_a_step_that_reads_back_what_it_wrote_says_its_own_rows_only_of_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    put(str(path))

    def step() -> None:
        frame = pd.read_csv(path)
        pd.concat([frame, frame]).to_csv(path, index=False)
        pd.read_csv(path)

    found = touched(step)
    assert [(item.direction, item.rows) for item in found.datasets] == [("read", 3), ("write", 6)]


def test_what_is_added_past_the_library_takes_its_rows_back(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"

    def step() -> None:
        FRAME.to_csv(path, index=False)
        with open(path, "a") as file:
            file.write("4,w\n")

    (one,) = touched(step).datasets
    assert (one.direction, one.rows, one.columns) == ("write", None, ())


def test_the_most_that_was_read_of_a_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    put(str(path))
    (one,) = touched(lambda: (pd.read_csv(path), pd.read_csv(path, nrows=1, usecols=["b"]))).datasets
    assert (one.rows, [column.name for column in one.columns]) == (3, ["a", "b"])


def test_a_frame_that_cannot_be_described_is_written_all_the_same(tmp_path: Path) -> None:
    class Broken(pd.DataFrame):
        @property
        def dtypes(self) -> Any:
            raise ValueError("not today")

    path = tmp_path / "t.pkl"
    found = touched(lambda: pd.to_pickle(1, path) or Broken({"a": [1]}).to_csv(tmp_path / "t.csv"))
    assert sorted(item.name.rpartition("/")[2] for item in found.datasets) == ["t.csv", "t.pkl"]
    assert all(item.rows is None for item in found.datasets)


def test_pandas_warns_the_users_line_and_raises_its_own_errors(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,a\n1,2\n")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        touched(lambda: pd.read_csv(tmp_path / "t.csv", sep="::"))  # falls back to the Python engine, and says so
    assert [item.filename for item in told] == [__file__]
    with pytest.raises(FileNotFoundError):
        touched(lambda: pd.read_csv(tmp_path / "none.csv"))
    with pytest.raises(TypeError, match="to_csv"):
        touched(lambda: FRAME.to_csv(tmp_path / "t.csv", nonsense=1))


@pytest.mark.slow
def test_functions_taken_from_pandas_before_capture_still_work(tmp_path: Path) -> None:
    script = """
    import sys
    from pandas import read_csv, DataFrame
    import pandas, pickle
    from lineage_flows.capture import audit, before_runs, files, io_adapters
    from lineage_flows.capture.files import FileLog
    before = read_csv
    files.configure(); audit.install(); io_adapters.install()
    assert pandas.read_csv is not before and pickle.loads(pickle.dumps(pandas.read_csv)) is pandas.read_csv
    log = FileLog(None, size_cap=1)
    with files.activate(log):
        DataFrame({"a": [1]}).to_csv(sys.argv[1], index=False)
        read_csv(sys.argv[2])
    print([(item.direction, item.rows) for item in log.close().datasets])
    io_adapters.uninstall()
    assert pandas.read_csv is before
    """
    put(str(tmp_path / "in.csv"))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "out.csv"), str(tmp_path / "in.csv")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[('write', 1), ('read', None)]", done.stderr
