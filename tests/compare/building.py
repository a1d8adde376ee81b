"""Run records made from real values: fingerprints, previews and sources as capture would record them."""

from __future__ import annotations

import hashlib
import itertools
import textwrap
from datetime import UTC, datetime, timedelta
from typing import Any

from lineage_flows.content import describe, dump_value
from lineage_flows.records import (
    BlobRef,
    DatasetRef,
    EntryPoint,
    Environment,
    EnvironmentRef,
    ErrorRef,
    FlowRecord,
    FunctionRef,
    InputRef,
    RunRecord,
    Source,
    SourceTree,
    StepRecord,
    ValueRef,
    value_uri,
)

_ids = itertools.count(1)
_START = datetime(2026, 1, 30, 21, 30, tzinfo=UTC)


class Blobs(dict):
    """A store in memory."""

    url = "memory"

    def keep(self, data: bytes, format: str = "bytes") -> BlobRef:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self[digest] = data
        return BlobRef(digest=digest, size=len(data), format=format)

    def value(self, value: object) -> BlobRef:
        data, format = dump_value(value)
        return self.keep(data if isinstance(data, bytes) else b"".join(bytes(part) for part in data), format)

    def read(self, digest: str) -> bytes:
        from lineage_flows.errors import BlobMissingError

        if digest not in self:
            raise BlobMissingError(digest, self.url)
        return self[digest]

    get = read

    def has(self, digest: str) -> bool:
        return digest in self


def new_id() -> str:
    number = next(_ids)
    return f"01935c2e-7a10-7000-8000-{number:012x}"


def at(seconds: float) -> str:
    return (_START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read(path: str, content: str, order: int = 0, direction: str = "read", **fields: Any) -> DatasetRef:
    fingerprint = "lf1:" + hashlib.sha256(content.encode()).hexdigest()
    fields = {"fingerprint": fingerprint, **fields}
    return DatasetRef(
        namespace="file", name=path, uri=f"file://{path}", path=path, direction=direction, order=order, **fields
    )


def wrote(path: str, content: str, order: int = 1, **fields: Any) -> DatasetRef:
    return read(path, content, order, "write", **fields)


class Run:
    """A run as it goes on: every call of ``step`` adds one."""

    def __init__(
        self,
        flow: str = "backtest",
        root: str = "/desk/project",
        blobs: Blobs | None = None,
        code: dict[str, str] | None = None,
        environment: Environment | None = None,
        strip: str = "",
        **parameters: object,
    ) -> None:
        self.blobs = blobs if blobs is not None else Blobs()
        self.root = root
        self.strip = strip
        self.run_id = new_id()
        self.flow = flow
        self.steps: list[StepRecord] = []
        self.subflows: list[FlowRecord] = []
        self.outputs: dict[str, ValueRef] = {}
        self.code = {name: textwrap.dedent(text) for name, text in (code or {}).items()}
        self.environment = environment
        self.parameters = self._inputs({name: (value, None) for name, value in parameters.items()}, flow_id=None)
        self.counts: dict[tuple[str, str], int] = {}
        self.clock = 0.0

    def see(self, value: object, keep: bool = False) -> ValueRef:
        ref = describe(value, strip=self.strip)
        return ref.model_copy(update={"blob": self.blobs.value(value)}) if keep else ref

    def _inputs(self, inputs: dict[str, Any], flow_id: str | None) -> tuple[InputRef, ...]:
        found = []
        for name, given in inputs.items():
            value, origin = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
            sources: tuple[Source, ...] = ()
            if isinstance(origin, StepRecord):
                uri = value_uri("prefect", "task-run", origin.run_id, "result")
                sources = (
                    Source(run_id=origin.run_id, uri=uri, fingerprint=origin.output.fingerprint, known_by=("prefect",)),
                )
            elif isinstance(origin, str):
                run_id = flow_id or self.run_id
                uri = value_uri("prefect", "flow-run", run_id, f"parameter/{origin}")
                sources = (Source(run_id=run_id, uri=uri, fingerprint=None),)
            found.append(InputRef(name=name, value=self.see(value), sources=sources))
        return tuple(found)

    def function(self, name: str, path: str = "flow.py", source: str | None = None) -> FunctionRef:
        text = source or self._own_source(name, path)
        line = next(
            (i for i, item in enumerate(self.code.get(path, "").splitlines(), 1) if item.startswith(f"def {name}")),
            None,
        )
        return FunctionRef(
            name=name,
            module=path.removesuffix(".py"),
            path=f"{self.strip}{self.root}/{path}",
            line=line,
            digest="sha256:" + hashlib.sha256(text.encode()).hexdigest(),
            blob=self.blobs.keep(text.encode(), "text"),
        )

    def _own_source(self, name: str, path: str) -> str:
        lines = self.code.get(path, "").splitlines()
        start = next((i for i, line in enumerate(lines) if line.startswith(f"def {name}")), None)
        if start is None:
            return f"def {name}(): ..."
        end = next((i for i in range(start + 1, len(lines)) if lines[i] and not lines[i].startswith(" ")), len(lines))
        return "\n".join(lines[start:end])

    def subflow(self, name: str, parent: str | None = None, **parameters: Any) -> str:
        run_id = new_id()
        self.subflows.append(
            FlowRecord(
                run_id=run_id,
                root_run_id=self.run_id,
                flow_name=name,
                run_name=name,
                function=self.function(name),
                entry=self._entry(name),
                parent_run_id=parent or self.run_id,
                parameters=self._inputs(parameters, self.run_id),
            )
        )
        return run_id

    def step(
        self,
        task: str,
        output: object = None,
        *,
        inputs: dict[str, Any] | None = None,
        flow_id: str | None = None,
        keep: bool = False,
        error: tuple[str, str] | None = None,
        started: float | None = None,
        ended: float | None = None,
        **fields: Any,
    ) -> StepRecord:
        flow_id = flow_id or self.run_id
        index = self.counts.get((flow_id, task), 0)
        self.counts[flow_id, task] = index + 1
        self.clock += 1
        step = StepRecord(
            **{
                "run_id": new_id(),
                "flow_run_id": flow_id,
                "root_run_id": self.run_id,
                "flow_name": self.flow,
                "task_name": task,
                "run_name": f"{task}-{index}",
                "function": self.function(task),
                "index": index,
                "state": "Failed" if error else "Completed",
                "state_type": "FAILED" if error else "COMPLETED",
                "started": at(self.clock if started is None else started),
                "ended": at(self.clock + 0.5 if ended is None else ended),
                "inputs": self._inputs(inputs or {}, self.run_id),
                "output": None if error else self.see(output, keep),
                "error": ErrorRef(type=error[0], message=error[1]) if error else None,
                **fields,
            }
        )
        self.steps.append(step)
        return step

    def _entry(self, name: str) -> EntryPoint:
        return EntryPoint(
            path=f"{self.strip}{self.root}/flow.py",
            qualname=name,
            module="__main__",
            working_directory=f"{self.strip}{self.root}",
        )

    def tree(self) -> SourceTree | None:
        if not self.code:
            return None
        import json

        files = [
            {"path": name, "mode": "100644", "size": len(text), "digest": self.blobs.keep(text.encode()).digest}
            for name, text in self.code.items()
        ]
        blob = self.blobs.keep(json.dumps({"format": 1, "files": files}).encode(), "files")
        return SourceTree(digest=blob.digest, format="files", root=f"{self.strip}{self.root}", blob=blob)

    def record(self, result: object = None, error: tuple[str, str] | None = None, **fields: Any) -> RunRecord:
        environment = None
        if self.environment is not None:
            blob = self.blobs.keep(self.environment.model_dump_json().encode(), "json")
            environment = EnvironmentRef(digest=blob.digest, blob=blob)
        flow = FlowRecord(
            **{
                "run_id": self.run_id,
                "root_run_id": self.run_id,
                "flow_name": self.flow,
                "run_name": "calm-otter",
                "function": self.function(self.flow),
                "entry": self._entry(self.flow),
                "parameters": self.parameters,
                "state": "Failed" if error else "Completed",
                "state_type": "FAILED" if error else "COMPLETED",
                "result": None if error else self.see(result),
                "error": ErrorRef(type=error[0], message=error[1]) if error else None,
                "code": self.tree(),
                "environment": environment,
                **fields,
            }
        )
        return RunRecord(flow=flow, subflows=tuple(self.subflows), steps=tuple(self.steps))


def environment(**fields: Any) -> Environment:
    return Environment(
        **{
            "python": "3.11.7",
            "implementation": "CPython",
            "platform": "Linux",
            "machine": "x86_64",
            "cpu": "a cpu",
            **fields,
        }
    )
