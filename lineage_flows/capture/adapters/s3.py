"""Sees what calls AWS through botocore (boto3, s3transfer) and aiobotocore (s3fs), and what is read and written in S3.

Knows S3's operations, what they take and what they answer; SageMaker's are known to ``sagemaker_calls``. Content is taken from what
the user's own reading gives: nothing is asked of S3 that the flow does not ask, and bodies that are sent are looked at only where
that moves nothing.
"""

from __future__ import annotations

import functools
import io
import os
import re
import stat
from collections.abc import Callable
from types import ModuleType
from typing import Any

from lineage_flows.capture import files
from lineage_flows.capture.adapters.bodies import watch_async_body, watch_body
from lineage_flows.capture.adapters.sagemaker_calls import SERVICE, SageMakerCall, told_operations
from lineage_flows.capture.adapters.shape import Patches, guarded, the_log
from lineage_flows.capture.files import FileLog
from lineage_flows.capture.ledger_log import covered_connections
from lineage_flows.capture.objects import Facts, Target
from lineage_flows.capture.paths import printable

__all__ = ["AsyncS3Adapter", "S3Adapter", "TransferAdapter"]

_CALL = ("self", "operation_name", "api_params")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

Params = dict[str, Any]


class S3Adapter:
    """Wraps the one function that every call of a botocore client goes through."""

    name = "S3 through botocore"
    module = "botocore.client"

    def __init__(self) -> None:
        self._patches = Patches("botocore")

    def install(self, module: ModuleType) -> None:
        """Wrap ``BaseClient._make_api_call``."""
        if not self._patches:
            self._patches.wrap(getattr(module, "BaseClient", None), "_make_api_call", _CALL, _watched)

    def uninstall(self) -> None:
        """Give botocore its own function back."""
        self._patches.undo()


class AsyncS3Adapter:
    """The same of aiobotocore, which s3fs uses."""

    name = "S3 through aiobotocore"
    module = "aiobotocore.client"

    def __init__(self) -> None:
        self._patches = Patches("aiobotocore")

    def install(self, module: ModuleType) -> None:
        """Wrap ``AioBaseClient._make_api_call``."""
        if not self._patches:
            self._patches.wrap(getattr(module, "AioBaseClient", None), "_make_api_call", _CALL, _watched_async)

    def uninstall(self) -> None:
        """Give aiobotocore its own function back."""
        self._patches.undo()


class TransferAdapter:
    """Tells threads of s3transfer (``upload_file``, ``download_file``, ``copy``) whose work they do."""

    name = "threads of s3transfer"
    module = "s3transfer.tasks"

    def __init__(self) -> None:
        self._patches = Patches("s3transfer")

    def install(self, module: ModuleType) -> None:
        """Wrap the making of a task, which happens in the caller's thread or in another task's, and its execution."""
        if self._patches:
            return
        task = getattr(module, "Task", None)
        self._patches.wrap(task, "__init__", ("self", "transfer_coordinator"), _made)
        self._patches.wrap(task, "__call__", ("self",), _executed)

    def uninstall(self) -> None:
        """Give s3transfer its own functions back."""
        self._patches.undo()


def _made(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def init(task: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever the library takes
        original(task, *args, **kwargs)
        task.__dict__["_lineage_here"] = files.here()

    return init


def _executed(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(task: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        here = task.__dict__.get("_lineage_here")
        if here is None:
            return original(task, *args, **kwargs)
        with here:
            return original(task, *args, **kwargs)

    return call


# --------------------------------------------------------------------------------------------------------------- calls


def _watched(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(self: Any, operation_name: str, api_params: Params) -> Any:  # noqa: ANN401 - a client, and what it answers
        log = the_log()
        if log is None:
            return original(self, operation_name, api_params)
        with covered_connections("botocore"):
            seen = _seen(self, operation_name, api_params, log, "botocore")
            if seen is None:
                return original(self, operation_name, api_params)
            try:
                answer = original(self, operation_name, api_params)
            except Exception as error:
                seen.failed(error)
                raise
        seen.answered(answer, watch_body)
        return answer

    return call


def _watched_async(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def call(self: Any, operation_name: str, api_params: Params) -> Any:  # noqa: ANN401 - as above
        log = the_log()
        if log is None:
            return await original(self, operation_name, api_params)
        with covered_connections("aiobotocore"):
            seen = _seen(self, operation_name, api_params, log, "aiobotocore")
            if seen is None:
                return await original(self, operation_name, api_params)
            try:
                answer = await original(self, operation_name, api_params)
            except Exception as error:
                seen.failed(error)
                raise
        seen.answered(answer, watch_async_body)
        return answer

    return call


def _seen(client: Any, operation: str, params: Params, log: FileLog, library: str) -> _Call | SageMakerCall | None:  # noqa: ANN401
    """A call that means something here. Any other to AWS (a listing, a query) is named: its answer is not recorded."""
    service = str(client.meta.service_model.service_name)
    if service == "s3" and operation in _OPERATIONS:
        return _Call(log, library, operation, params)
    if service == SERVICE and operation in told_operations():
        return SageMakerCall(log, library, operation, params)
    with guarded(log, f"recording {operation}"):
        call = f"{service}.{operation}"
        log.cannot_restore(f"call {call}")
        log.ledger.gap("request", f"calls {call}", "", unrestorable=f"call {call}")
    return None


class _Call:
    """One call of an operation on objects, before and after."""

    def __init__(self, log: FileLog, library: str, operation: str, params: Params) -> None:
        self.log = log
        self.params = params
        self.operation = operation
        self.via = f"{library}.{operation}"
        self.data: bytes | memoryview | None = None
        self.size: int | None = None
        self.source: tuple[Target, str | None] | None = None
        with guarded(log, f"recording {operation}"):
            if "CopySource" in params:  # looked at before botocore quotes it in place
                self.source = _copied(params["CopySource"])
            if "Body" in params:
                self.data, self.size = _body(params["Body"])
            for target in self.targets():
                log.cannot_restore(f"object {printable(target.uri)}", target.uri)

    def targets(self) -> list[Target]:
        """The objects that the call names."""
        bucket = str(self.params["Bucket"])
        if self.operation == "DeleteObjects":
            return [_target(bucket, str(item["Key"])) for item in self.params["Delete"]["Objects"]]
        found = [_target(bucket, str(self.params["Key"]))]
        return found if self.source is None else [*found, self.source[0]]

    def failed(self, error: Exception) -> None:
        """The call raised: nothing was touched, but what the step does next may hang on that."""
        with guarded(self.log, f"recording {self.operation}"):
            response = getattr(error, "response", None)
            code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
            for target in self.targets():
                self.log.cannot_restore(f"object {printable(target.uri)}: {code or type(error).__name__}", target.uri)

    def answered(self, answer: Params, watch: Callable[..., bool]) -> None:
        """The call returned."""
        with guarded(self.log, f"recording {self.operation}"):
            _OPERATIONS[self.operation](self, answer, watch)


def _get(call: _Call, answer: Params, watch: Callable[..., bool]) -> None:
    length = answer.get("ContentLength")
    found = _RANGE.fullmatch(str(answer.get("ContentRange", "")))
    start = int(found[1]) if found else 0
    total = int(found[3]) if found else length
    touch = call.log.objects.read(call.targets()[0], call.via, _facts(answer), size=total)
    assembly = call.log.objects.stream(touch)
    if assembly is not None and not watch(answer.get("Body"), assembly, start, call.log):
        touch.note = "not fingerprinted: this version of the library streams in a way that is not known"


def _put(call: _Call, answer: Params, _watch: object) -> None:
    call.log.objects.write(call.targets()[0], call.via, _facts(answer), data=call.data, size=call.size)


def _part(call: _Call, _answer: Params, _watch: object) -> None:
    """A part of an upload is no object yet; only its size is remembered."""
    if call.size is not None:
        call.log.objects.parts.setdefault(str(call.params["UploadId"]), {})[call.params["PartNumber"]] = call.size


def _part_copied(call: _Call, answer: Params, _watch: object) -> None:
    _read_source(call, answer, answer.get("CopyPartResult") or {})


def _completed(call: _Call, answer: Params, _watch: object) -> None:
    sizes = call.log.objects.parts.pop(str(call.params["UploadId"]), {})
    parts = (call.params.get("MultipartUpload") or {}).get("Parts") or ()
    known = [sizes.get(part["PartNumber"]) for part in parts]
    size = sum(item or 0 for item in known) if known and None not in known else None
    note = "not fingerprinted: it was sent in parts"
    call.log.objects.write(call.targets()[0], call.via, _facts(answer), size=size, note=note)


def _copy(call: _Call, answer: Params, _watch: object) -> None:
    result = answer.get("CopyObjectResult") or {}
    _read_source(call, answer, result)
    facts = Facts(version=answer.get("VersionId"), etag=_etag(result))
    call.log.objects.write(call.targets()[0], call.via, facts, note="not fingerprinted: S3 copied it")


def _read_source(call: _Call, answer: Params, result: Params) -> None:
    if call.source is None:
        return
    target, version = call.source
    # S3 does not say the source's ETag; the condition under which it copied may.
    etag = str(call.params.get("CopySourceIfMatch") or "").strip('"') or None
    if etag is None and call.operation == "CopyObject" and "-" not in (_etag(result) or "-"):
        etag = _etag(result)  # of an object in one part it is the content's own, so the copy's is the source's
    facts = Facts(version=answer.get("CopySourceVersionId") or version, etag=etag)
    call.log.objects.read(target, call.via, facts)


def _deleted(call: _Call, answer: Params, _watch: object) -> None:
    call.log.objects.write(call.targets()[0], call.via, Facts(version=answer.get("VersionId")), note="deleted")


def _all_deleted(call: _Call, answer: Params, _watch: object) -> None:
    refused = {error.get("Key") for error in answer.get("Errors") or ()}
    for target in call.targets():
        if target.name not in refused:
            call.log.objects.write(target, call.via, Facts(), note="deleted")


_OPERATIONS: dict[str, Callable[[_Call, Params, Callable[..., bool]], None]] = {
    "GetObject": _get,
    "PutObject": _put,
    "UploadPart": _part,
    "UploadPartCopy": _part_copied,
    "CompleteMultipartUpload": _completed,
    "CopyObject": _copy,
    "DeleteObject": _deleted,
    "DeleteObjects": _all_deleted,
}
"""Operation -> what is recorded when it has succeeded. Listings and heads read no content."""


# ------------------------------------------------------------------------------------------------------------- helpers


def _target(bucket: str, key: str) -> Target:
    return Target(f"s3://{bucket}", key, f"s3://{bucket}/{key}")


def _facts(answer: Params) -> Facts:
    return Facts(version=answer.get("VersionId"), etag=_etag(answer))


def _etag(answer: Params) -> str | None:
    return str(answer.get("ETag") or "").strip('"') or None


def _copied(source: object) -> tuple[Target, str | None]:
    """The source of a copy, given as a dictionary or as ``bucket/key?versionId=…``, and the version asked for."""
    if isinstance(source, dict):
        return _target(str(source["Bucket"]), str(source["Key"])), source.get("VersionId")
    text, _, version = str(source).partition("?versionId=")
    bucket, _, key = text.lstrip("/").partition("/")
    return _target(bucket, key), version or None


def _body(body: object) -> tuple[bytes | memoryview | None, int | None]:
    """The bytes that are about to be sent, where looking at them moves nothing, and how many there are."""
    data: bytes | None = None
    if isinstance(body, bytes | bytearray):
        data = bytes(body)
    elif isinstance(body, str):
        data = body.encode()
    elif type(body) is io.BytesIO:
        data = bytes(body.getbuffer()[body.tell() :])
    if data is not None:
        return data, len(data)
    if type(body).__name__ == "ReadFileChunk" and type(body).__module__.startswith("s3transfer."):
        size = len(body)  # type: ignore[arg-type]  # a class of s3transfer's with a length
        start, file = getattr(body, "_start_byte", None), getattr(body, "_fileobj", None)
        if isinstance(start, int):
            return _part_of(getattr(file, "_fileobj", file), start, size), size
        return None, size
    if type(body) is io.BufferedReader:
        start = body.tell()
        size = os.fstat(body.fileno()).st_size - start
        return _part_of(body, start, size), size
    return None, None


_MOST_SENT = 64 << 20
"""A body of more bytes is not looked at before it is sent."""


def _part_of(file: object, start: int, size: int) -> bytes | None:
    """Bytes of a regular file, its position left where it is."""
    if type(file) is not io.BufferedReader or size > _MOST_SENT or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return None
    data = os.pread(file.fileno(), size, start)
    return data if len(data) == size else None
