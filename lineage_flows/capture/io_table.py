"""Functions of libraries that open files in native code, where the interpreter's audit events do not reach: one table.

Knows names, positions and meaning of their parameters; must not know what is done with the paths.

pandas opens its files through ``open`` or pyarrow, HDF5 aside, and these tell of them: its own functions are here only to say how
many rows and which columns there were. polars' ``write_excel`` goes through ``open``, too.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ADAPTERS", "Adapter", "Argument"]


@dataclass(frozen=True, slots=True)
class Argument:
    """A parameter that names a file or folder: its name, position, and whether it is read or written.

    ``mode`` is position, name and default of the parameter that decides that at the call; ``filesystem`` the name of the parameter
    that says where the path lies; ``patterns`` whether ``*``, ``?`` and ``[`` in it are wildcards, unless ``glob=False`` is given.
    """

    name: str
    position: int
    writes: bool = False
    mode: tuple[int, str, str] | None = None
    filesystem: str = "filesystem"
    patterns: bool = False


@dataclass(frozen=True, slots=True)
class Adapter:
    """A function, method (``Class.__init__``) or class written in C (called to make an object) that opens files.

    ``public`` is the name that users call it by, where that is not its module's and its own. One that ``describes`` opens its file
    through what is seen anyway, and only adds the rows and columns of the table it gives or is given.
    """

    module: str
    name: str
    arguments: tuple[Argument, ...]
    is_class: bool = False
    public: str = ""
    describes: bool = False

    @property
    def via(self) -> str:
        """How a dataset says that it was touched: ``pyarrow.parquet.read_table``."""
        return (
            self.public
            or f"{self.module.removesuffix('.core').replace('._', '.')}.{self.name.removesuffix('.__init__')}"
        )


def _reads(name: str, position: int = 0) -> tuple[Argument, ...]:
    return (Argument(name, position),)


def _writes(name: str, position: int = 1) -> tuple[Argument, ...]:
    return (Argument(name, position, writes=True),)


def _pandas(module: str, name: str, argument: str) -> Adapter:
    """A function of pandas' that reads a file, or a method (``Class.to_csv``) that writes one."""
    told = _writes(argument) if "." in name else _reads(argument)
    return Adapter(f"pandas.{module}", name, told, public=f"pandas.{name}", describes=True)


def _polars(module: str, name: str, *, patterns: bool = True) -> Adapter:
    """A function of polars' that reads, or plans to read: what it is given is what is read when the plan is collected."""
    return Adapter(f"polars.io.{module}", name, (Argument("source", 0, patterns=patterns),), public=f"polars.{name}")


def _frame(kind: str, method: str, name: str) -> Adapter:
    """A method of a frame of polars' that writes."""
    return Adapter(f"polars.{kind.lower()}.frame", f"{kind}.{method}", _writes(name), public=f"polars.{kind}.{method}")


ADAPTERS = (
    Adapter("pyarrow.parquet.core", "read_table", _reads("source")),
    Adapter("pyarrow.parquet.core", "read_metadata", _reads("where")),
    Adapter("pyarrow.parquet.core", "read_schema", _reads("where")),
    Adapter("pyarrow.parquet.core", "ParquetFile.__init__", _reads("source", 1)),
    Adapter("pyarrow.parquet.core", "ParquetDataset.__init__", _reads("path_or_paths", 1)),
    Adapter("pyarrow.parquet.core", "write_table", _writes("where")),
    Adapter("pyarrow.parquet.core", "ParquetWriter.__init__", _writes("where")),
    Adapter("pyarrow.parquet.core", "write_to_dataset", _writes("root_path")),
    Adapter("pyarrow.dataset", "dataset", _reads("source")),
    Adapter("pyarrow.dataset", "parquet_dataset", _reads("metadata_path")),
    Adapter("pyarrow.dataset", "write_dataset", _writes("base_dir")),
    Adapter("pyarrow.feather", "read_table", _reads("source")),
    Adapter("pyarrow.feather", "read_feather", _reads("source")),
    Adapter("pyarrow.feather", "write_feather", _writes("dest")),
    Adapter("pyarrow.orc", "read_table", _reads("source")),
    Adapter("pyarrow.orc", "ORCFile.__init__", _reads("source", 1)),
    Adapter("pyarrow.orc", "ORCWriter.__init__", _writes("where")),
    Adapter("pyarrow._csv", "read_csv", _reads("input_file")),
    Adapter("pyarrow._csv", "open_csv", _reads("input_file")),
    Adapter("pyarrow._csv", "write_csv", _writes("output_file")),
    Adapter("pyarrow._csv", "CSVWriter", _writes("sink", 0), is_class=True),
    Adapter("pyarrow._json", "read_json", _reads("input_file")),
    Adapter("pyarrow._json", "open_json", _reads("input_file")),
    Adapter("pyarrow.ipc", "RecordBatchFileReader.__init__", _reads("source", 1)),
    Adapter("pyarrow.ipc", "RecordBatchStreamReader.__init__", _reads("source", 1)),
    Adapter("pyarrow.ipc", "RecordBatchFileWriter.__init__", _writes("sink")),
    Adapter("pyarrow.ipc", "RecordBatchStreamWriter.__init__", _writes("sink")),
    Adapter("pyarrow.lib", "memory_map", (Argument("path", 0, mode=(1, "mode", "r")),)),
    Adapter("pyarrow.lib", "create_memory_map", _writes("path", 0)),
    Adapter("pyarrow.lib", "input_stream", _reads("source")),
    Adapter("pyarrow.lib", "output_stream", _writes("source", 0)),
    Adapter("pyarrow.lib", "OSFile", (Argument("path", 0, mode=(1, "mode", "r")),), is_class=True),
    Adapter(
        "pyarrow.fs",
        "copy_files",
        (
            Argument("source", 0, filesystem="source_filesystem"),
            Argument("destination", 1, writes=True, filesystem="destination_filesystem"),
        ),
    ),
    Adapter("pandas.io.pytables", "HDFStore.__init__", (Argument("path", 1, mode=(2, "mode", "a")),)),
    _pandas("io.parsers.readers", "read_csv", "filepath_or_buffer"),
    _pandas("io.parsers.readers", "read_table", "filepath_or_buffer"),
    _pandas("io.parsers.readers", "read_fwf", "filepath_or_buffer"),
    _pandas("io.json._json", "read_json", "path_or_buf"),
    _pandas("io.excel._base", "read_excel", "io"),
    _pandas("io.feather_format", "read_feather", "path"),
    _pandas("io.parquet", "read_parquet", "path"),
    _pandas("io.orc", "read_orc", "path"),
    _pandas("io.pickle", "read_pickle", "filepath_or_buffer"),
    _pandas("io.stata", "read_stata", "filepath_or_buffer"),
    _pandas("io.sas.sasreader", "read_sas", "filepath_or_buffer"),
    _pandas("io.spss", "read_spss", "path"),
    _pandas("io.xml", "read_xml", "path_or_buffer"),
    _pandas("io.pytables", "read_hdf", "path_or_buf"),
    _pandas("core.generic", "NDFrame.to_csv", "path_or_buf"),
    _pandas("core.generic", "NDFrame.to_json", "path_or_buf"),
    _pandas("core.generic", "NDFrame.to_excel", "excel_writer"),
    _pandas("core.generic", "NDFrame.to_pickle", "path"),
    _pandas("core.generic", "NDFrame.to_hdf", "path_or_buf"),
    _pandas("core.frame", "DataFrame.to_feather", "path"),
    _pandas("core.frame", "DataFrame.to_parquet", "path"),
    _pandas("core.frame", "DataFrame.to_orc", "path"),
    _pandas("core.frame", "DataFrame.to_stata", "path"),
    _pandas("core.frame", "DataFrame.to_html", "buf"),
    _pandas("core.frame", "DataFrame.to_xml", "path_or_buffer"),
    _polars("avro", "read_avro", patterns=False),
    _polars("csv.functions", "read_csv"),
    _polars("csv.functions", "read_csv_batched"),
    _polars("csv.functions", "scan_csv"),
    _polars("ipc.functions", "read_ipc"),
    _polars("ipc.functions", "read_ipc_schema", patterns=False),
    _polars("ipc.functions", "read_ipc_stream"),
    _polars("ipc.functions", "scan_ipc"),
    _polars("json.read", "read_json", patterns=False),
    _polars("lines", "read_lines"),
    _polars("lines", "scan_lines"),
    _polars("ndjson", "read_ndjson"),
    _polars("ndjson", "scan_ndjson"),
    _polars("parquet.functions", "read_parquet"),
    _polars("parquet.functions", "read_parquet_metadata", patterns=False),
    _polars("parquet.functions", "read_parquet_schema", patterns=False),
    _polars("parquet.functions", "scan_parquet"),
    _polars("spreadsheet.functions", "read_excel"),
    _polars("spreadsheet.functions", "read_ods"),
    _frame("DataFrame", "write_avro", "file"),
    _frame("DataFrame", "write_csv", "file"),
    _frame("DataFrame", "write_ipc", "file"),
    _frame("DataFrame", "write_ipc_stream", "file"),
    _frame("DataFrame", "write_json", "file"),
    _frame("DataFrame", "write_ndjson", "file"),
    _frame("DataFrame", "write_parquet", "file"),
    _frame("LazyFrame", "sink_csv", "path"),
    _frame("LazyFrame", "sink_ipc", "path"),
    _frame("LazyFrame", "sink_ndjson", "path"),
    _frame("LazyFrame", "sink_parquet", "path"),
    Adapter("polars.io.partition", "PartitionBy.__init__", _writes("base_path"), public="polars.PartitionBy"),
)
"""Where files are opened. What these call in turn (``read_pandas``, ``open_file``, ``to_parquet``) goes through them."""
