"""Registers a model: finds out which one is meant, makes its version in SageMaker unless it is there, and says so.

Knows the stages beside it, and the runtime; the one place where their order stands. What is wrong is found before anything is
written, as far as AWS lets itself be asked.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from lineage_flows.content import describe, dump_value, open_store
from lineage_flows.errors import PermissionDeniedError, RegistrationError
from lineage_flows.events.text import now
from lineage_flows.graph.model import Artifact
from lineage_flows.graph.opening import open_graph
from lineage_flows.model_registry import request as requests
from lineage_flows.model_registry.archive import model_archive
from lineage_flows.model_registry.client import Registry, archive_uri
from lineage_flows.model_registry.inside import Inside, inside, recorded
from lineage_flows.model_registry.registered import RegisteredModel, Wanted
from lineage_flows.model_registry.subject import (
    MODEL,
    Subject,
    content_in_store,
    subject_of_object,
    subject_of_reference,
)
from lineage_flows.model_registry.telling import (
    Data,
    Direction,
    Said,
    cannot_repeat,
    events_of,
    model_of,
    object_of,
    package_of,
    run_of,
    tell_run,
)
from lineage_flows.records import BlobRef
from lineage_flows.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lineage_flows.events.event import Event
    from lineage_flows.model_registry.client import Version
    from lineage_flows.records import RunRecord, ValueRef

__all__ = ["register"]

_S3: Final = "s3://"
_ENDING: Final = ".tar.gz"
_REPLAY: Final = "LINEAGE_FLOWS_REPLAY_SPEC"
"""See ``replay.child``, which lies above."""

_PATIENCE: Final = 60.0
_turns: dict[str, threading.Lock] = {}


@dataclass(slots=True)
class _Model:
    """What is registered, on its way."""

    subject: Subject
    value: object = None
    is_object: bool = False
    source: Data | None = None
    data_uri: str | None = None
    more: list[Data] = field(default_factory=list)


@contextmanager
def _turn(group: str) -> Iterator[None]:
    """One registration in a group at a time, in this process: mapped tasks would each find that the version is not there."""
    turn = _turns.setdefault(group, threading.Lock())
    # A process that was forked off while the lock was held would wait for good.
    mine = turn.acquire(timeout=_PATIENCE)
    try:
        yield
    finally:
        if mine:
            turn.release()


def register(model: object, wanted: Wanted, settings: Settings | None = None) -> RegisteredModel:
    """See ``lineage_flows.register_model``."""
    from lineage_flows import runtime
    from lineage_flows.capture.active import unobserved

    active, log = runtime.active(), None
    if active is not None and "lineage_flows.capture.files" in sys.modules:
        from lineage_flows.capture import files

        log = files.current()
    place = inside(active.session, log) if active is not None and log is not None else None
    settings = settings or (active.settings if active is not None else load_settings())
    settings.check_home()
    with unobserved():  # what is registered is told in one way, and not by what is seen of these calls as well
        return _Registration(wanted, settings, place).of(model)


class _Registration:
    """One registration.

    Args:
        wanted: how.
        settings: of the home whose graph knows the model.
        place: the run that it is made in, if it is.
    """

    def __init__(self, wanted: Wanted, settings: Settings, place: Inside | None) -> None:
        self._wanted = wanted
        self._settings = settings
        self._place = place

    def of(self, model: object) -> RegisteredModel:
        """Register a model."""
        from lineage_flows import runtime

        active = runtime.active()
        interceptor = active.session.interceptor if active is not None else None
        if interceptor is not None:
            return self._replayed(model, interceptor.original, interceptor.strip)
        if os.environ.get(
            _REPLAY
        ):  # a script that a replayed flow has started, and that has nothing to do with Prefect
            raise RegistrationError("a replay registers no model", fix="run the flow itself to register it")
        began = now()
        if self._place is not None:
            cannot_repeat(self._place.log)
        registry = Registry()  # says that boto3 is not there, before its description of SageMaker is asked for
        requests.check_wanted(self._wanted)
        found = self._meant(model)
        self._locate(registry, found)
        archive = self._packed(found)
        if archive is not None:
            found.data_uri = archive_uri(archive, self._models_url())
        request = self._request(found)
        requests.check("CreateModelPackage", request)
        with _turn(self._wanted.group):
            done, said = self._made(registry, found, request, archive)
        if said is not None:
            self._tell(done, said, found, began)
        return done

    def _made(
        self, registry: Registry, found: _Model, request: Mapping[str, object], archive: bytes | None
    ) -> tuple[RegisteredModel, Said | None]:
        """The version that is this model, made unless it is there; and what is to be said of it."""
        newest, known = self._known(registry, found)
        if known is not None:
            done = self._registered(known.arn, known.number, found, known, created=False)
            direction: Direction = "write" if self._is_own(known) else "read"
        else:
            if archive is not None and found.data_uri is not None:
                named = registry.upload(archive, found.data_uri)
                found.more.append(object_of(found.data_uri, "write", named))
            token = requests.token_of(request, newest, now() if self._wanted.again else "")
            arn = registry.create({**request, "ClientToken": token})
            done = self._registered(arn, int(arn.rpartition("/")[2]), found, None, created=True)
            direction = "write"
        if known is None or self._place is not None or self._is_to_be_said(known, found.subject):
            return done, Said(package_of(done, direction, **self._more(done)), found.source, tuple(found.more))
        return done, None

    # ------------------------------------------------------------------------------------------------ which model

    def _meant(self, model: object) -> _Model:
        if isinstance(model, Artifact):
            model = model.arn
        if not isinstance(model, str):
            return self._object(model)
        if self._place is not None and model.startswith(_S3):
            return self._object_of_run(model, self._place)
        keeper = open_graph(self._settings, read_only=True)
        try:
            subject = subject_of_reference(keeper, model, any_kind=self._wanted.any_kind)
        finally:
            keeper.close()
        found = _Model(subject, source=model_of(subject))
        if (subject.source_uri or "").startswith(_S3):
            found.data_uri = subject.source_uri
        return found

    def _object(self, model: object) -> _Model:
        value = self._described(model)
        if self._place is not None:
            subject = self._place.subject(value)
            # What a step takes in is upstream of it already; a flow's own code takes nothing in that would say so.
            source = model_of(subject) if self._place.step is None and subject.source_types else None
            return _Model(subject, model, is_object=True, source=source)
        keeper = open_graph(self._settings, read_only=True)
        try:
            subject = subject_of_object(keeper, value, any_kind=self._wanted.any_kind)
        finally:
            keeper.close()
        return _Model(subject, model, is_object=True, source=model_of(subject))

    def _described(self, model: object, strip: str = "") -> ValueRef:
        value = describe(model, strip=strip, parts=False)
        if value.fingerprint is None:
            why = value.note or "it has no fingerprint"
            raise RegistrationError(f"a {value.type} cannot be registered", why=why, fix="register what it is made of")
        if value.kind != MODEL and not self._wanted.any_kind:
            raise RegistrationError(
                f"a {value.type} is not what lineage knows as a model",
                why="it has no fit and predict",
                fix="give any_kind=True when it is one all the same",
            )
        return value

    def _object_of_run(self, uri: str, place: Inside) -> _Model:
        """An object that the flow may have written a moment ago: the graph need not know it yet."""
        written = place.object_of_run(uri)
        if written is not None and written.facts is not None:
            data = object_of(uri, "read", (written.facts.etag, written.facts.version))
        else:
            data = object_of(uri, "read", None)
        types = _types(data)
        subject = Subject(content_in_store(uri, dict(types)), data.uri, types, label=f"the model {uri}")
        return _Model(place.about(subject), source=data, data_uri=uri)

    def _locate(self, registry: Registry, found: _Model) -> None:
        """Look where the model's data lies, when it is said to lie in S3: that it is there, and as which version."""
        uri = self._wanted.artifact_uri or found.data_uri
        if uri is None:
            return
        if self._wanted.image and not uri.endswith(_ENDING):
            raise RegistrationError(f"{uri} is no model.tar.gz", fix="give artifact_uri, or put it there as one")
        try:
            named = registry.head(uri)
        except PermissionDeniedError:  # SageMaker may read it though we may not
            named = (None, None)
        if named is None:
            raise RegistrationError(f"{uri} is not there", fix="correct it, or write it first")
        is_model = uri == found.subject.source_uri
        known = dict(found.subject.source_types).get("S3ETag")
        if is_model and named[0] is not None and known not in {None, named[0]}:
            raise RegistrationError(
                f"{uri} is another version now than the one that lineage knows",
                why=f"its ETag was {known} and is {named[0]}",
                fix="register it right after it is written, or give every model a place of its own",
            )
        if is_model and not found.subject.source_types and found.source is not None and named[0] is not None:
            # The graph knows it without a version, as what a training job leaves; what it is now tells it from what follows.
            types = {"S3ETag": named[0], **({"S3Version": named[1]} if named[1] else {})}
            found.subject = replace(found.subject, content=content_in_store(uri, types))
        elif not is_model:
            found.more.append(object_of(uri, "read", named))
        found.data_uri = uri

    # ------------------------------------------------------------------------------------------------- its data

    def _packed(self, found: _Model) -> bytes | None:
        """The model as an archive, when SageMaker needs one that is not in S3 yet: it does for a container."""
        if found.data_uri is not None or not self._wanted.image:
            return None
        self._models_url()
        data, format_ = self._bytes(found)
        return model_archive(data, format_)

    def _bytes(self, found: _Model) -> tuple[bytes, str]:
        if found.is_object:
            stored, format_ = dump_value(found.value)
            return stored if isinstance(stored, bytes) else b"".join(bytes(part) for part in stored), format_
        blob: BlobRef | None = found.subject.blob
        if blob is None:
            raise RegistrationError(
                f"the content of {found.subject.label} was not kept",
                why="the level of its run keeps what a replay needs, and not every result",
                fix="give artifact_uri, register it in the flow that makes it, or keep results with level all",
            )
        return open_store(self._settings.blobs_url).get(blob.digest), blob.format

    def _models_url(self) -> str:
        url = self._settings.models_url
        if url is None:
            raise RegistrationError(
                "there is no place for the model's data",
                why="a container takes it from S3, and the blobs are not there",
                fix="set LINEAGE_FLOWS_SAGEMAKER_MODELS_URL to s3://bucket/prefix, or give artifact_uri",
            )
        return url

    # ------------------------------------------------------------------------------------------------ SageMaker

    def _request(self, found: _Model) -> dict[str, object]:
        by = self._place.run_id if self._place is not None else None
        root = self._place.root_run_id if self._place is not None else None
        pointers = {"registered-by": by or "", "registered-in": root or ""}
        return requests.package_request(self._wanted, found.subject, found.data_uri, self._settings.namespace, pointers)

    def _known(self, registry: Registry, found: _Model) -> tuple[int, Version | None]:
        """The newest version of the group, and the one that is this model, if there is."""
        group = requests.group_request(self._wanted, self._settings.sagemaker_tags)
        requests.check("CreateModelPackageGroup", group)
        if registry.ensure_group(group):
            return 0, None
        newest = 0
        for version in registry.versions(self._wanted.group):
            newest = max(newest, version.number)
            if self._wanted.again:
                break
            same_content = version.properties.get(requests.CONTENT) == found.subject.content
            if same_content and version.images == ((self._wanted.image,) if self._wanted.image else ()):
                return newest, version
        return newest, None

    def _is_own(self, known: Version) -> bool:
        """Whether a version that was there was made by this very run, in an attempt before this one: any other only met it."""
        if self._place is None:
            return True  # see _is_to_be_said
        mine = {self._place.run_id, self._place.root_run_id} - {None}
        return bool(mine & {known.properties.get(requests.REGISTERED_BY), known.properties.get(requests.REGISTERED_IN)})

    @staticmethod
    def _is_to_be_said(known: Version, subject: Subject) -> bool:
        """Whether a version that was there was registered outside of any run, from this very model: the event of then may be lost.

        It is said again under the same id. What a run registered, that run has said; an equal model of another run made nothing.
        """
        by, artifact = known.properties.get(requests.REGISTERED_BY), known.properties.get(requests.ARTIFACT)
        return not by and artifact == subject.source_uri

    def _registered(
        self, arn: str, number: int, found: _Model, known: Version | None, *, created: bool
    ) -> RegisteredModel:
        subject = found.subject
        return RegisteredModel(
            arn=arn,
            group=self._wanted.group,
            version=number,
            created=created,
            approval=known.approval if known is not None else self._wanted.approval,
            content=subject.content,
            source_uri=subject.source_uri,
            model_data=known.model_data if known is not None else found.data_uri,
            run_id=subject.run_id,
            step_id=subject.step_id,
            registered_by=self._place.run_id if self._place is not None else run_of(arn, subject),
        )

    # -------------------------------------------------------------------------------------------------- telling

    def _more(self, done: RegisteredModel) -> dict[str, object]:
        return {
            "registeredBy": done.registered_by,
            "image": self._wanted.image,
            "metrics": requests.plain_metrics(self._wanted),
            "description": self._wanted.description,
        }

    def _tell(self, done: RegisteredModel, said: Said, found: _Model, began: str) -> None:
        """Say it where it belongs. The version is there by now: what goes wrong here may not hide that from the flow."""
        if self._place is not None:
            with self._place.session.boundary.guard("recording a registration", self._place.log.errors):
                tell_run(self._place.log, said)
            return
        parameters = [("group", done.group), ("version", str(done.version)), ("approval", done.approval)]
        events = events_of(self._settings.namespace, run_of(done.arn, found.subject), said, (began, now()), parameters)
        self._deliver(events)

    def _deliver(self, events: list[Event]) -> None:
        from lineage_flows import runtime
        from lineage_flows.delivery import deliver_once

        active = runtime.active()
        if active is not None and active.settings == self._settings:
            for event in events:
                active.spool.accept(event)
            active.flush()
            return
        spool = runtime.open_spool(self._settings)
        try:
            for event in events:
                spool.accept(event)
            deliver_once(spool, runtime.receivers(self._settings), self._settings.home, timeout=10.0)
        finally:
            spool.close()

    def _replayed(self, model: object, original: RunRecord, strip: str) -> RegisteredModel:
        """A replay makes nothing: it gets what the run that it repeats has registered."""
        content = ""
        if not isinstance(model, str | Artifact):
            content = self._described(model, strip).fingerprint or ""
        if self._place is not None:
            cannot_repeat(self._place.log)
        return recorded(original, self._wanted.group, content)


def _types(data: Data) -> tuple[tuple[str, str], ...]:
    found = (("S3ETag", data.etag), ("S3Version", data.version))
    return tuple((kind, value) for kind, value in found if value)
