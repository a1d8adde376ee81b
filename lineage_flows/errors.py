"""The one exception tree of the package: every error says what happened, why, and what to do.

Knows nothing else of the package.
"""

from __future__ import annotations

__all__ = [
    "AmbiguousReferenceError",
    "AwsError",
    "BlobAlteredError",
    "BlobMissingError",
    "CaptureError",
    "CodeNotRestorableError",
    "ContentError",
    "DeliveryError",
    "EventError",
    "GraphError",
    "HomeError",
    "KeeperUnavailableError",
    "LineageError",
    "NeptuneLoadError",
    "PermissionDeniedError",
    "RecordFormatError",
    "RecordingError",
    "RegistrationError",
    "ReplayError",
    "SageMakerError",
    "SettingsError",
    "UnknownReferenceError",
    "UnsupportedPrefectError",
]


class LineageError(Exception):
    """Base of every error this package raises.

    Attributes:
        what: what could not be done, one line.
        why: the reason, one line; empty when ``what`` says it all.
        fix: what the reader can do about it, one line; empty when nothing can be done.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        self.what = what
        self.why = why
        self.fix = fix
        super().__init__(what, why, fix)

    def __str__(self) -> str:
        """The one line a terminal shows: what, why, what to do."""
        text = self.what
        if self.why:
            text += f": {self.why}"
        if self.fix:
            text += f". {self.fix[:1].upper()}{self.fix[1:]}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        """Keyword-only arguments do not survive the default pickling of exceptions."""
        return (_rebuild, (type(self), self.what, self.why, self.fix, self.__dict__))


def _rebuild(kind: type[LineageError], what: str, why: str, fix: str, state: dict[str, object]) -> LineageError:
    error = kind.__new__(kind)
    LineageError.__init__(error, what, why=why, fix=fix)
    error.__dict__.update(state)
    return error


class SettingsError(LineageError):
    """A setting has a value that is not allowed.

    Attributes:
        setting: its name as the user writes it (``LINEAGE_FLOWS_LEVEL`` or ``[tool.lineage_flows] level``).
        value: what was given.
        allowed: what is allowed, in words.
    """

    def __init__(self, setting: str, value: object, allowed: str) -> None:
        self.setting = setting
        self.value = value
        self.allowed = allowed
        super().__init__(f"setting {setting} is {value!r}", why=f"allowed is {allowed}", fix="correct it and run again")


class HomeError(LineageError):
    """The home folder (spool, graph, blobs) cannot be used: unwritable, full, or not a folder."""


class ContentError(LineageError):
    """A value or a file cannot be fingerprinted, stored or loaded."""


class BlobMissingError(ContentError):
    """A blob that is named somewhere is not in the store.

    Attributes:
        digest: the blob's name, ``sha256:<hex>``.
    """

    def __init__(self, digest: str, where: str) -> None:
        self.digest = digest
        super().__init__(
            f"blob {digest} is missing",
            why=f"the store at {where} does not hold it",
            fix="restore it from a backup of the store, or point LINEAGE_FLOWS_STORE_URL at the store that has it",
        )


class BlobAlteredError(ContentError):
    """The bytes of a blob do not have the hash that names it; they are never used.

    Attributes:
        digest: the blob's name, ``sha256:<hex>``.
        found: the hash its bytes have now.
    """

    def __init__(self, digest: str, found: str, where: str) -> None:
        self.digest = digest
        self.found = found
        super().__init__(
            f"blob {digest} was altered",
            why=f"its bytes in {where} now hash to {found}",
            fix="restore it from a backup of the store (or an earlier version of the object), or delete it, so that a run that has "
            "the same bytes puts them there again; nothing was read from it",
        )


class EventError(LineageError):
    """A record cannot be said as an OpenLineage event."""


class CaptureError(LineageError):
    """Something about a run could not be recorded; raised to the user only under ``strict``."""


class RecordingError(CaptureError, TypeError):
    """``record_input`` or ``record_output`` was called with what cannot be recorded; raised to the user only under ``strict``."""


class UnsupportedPrefectError(CaptureError):
    """Prefect's engine is not the one this version knows."""


class DeliveryError(LineageError):
    """The spool cannot accept or hand on events."""


class GraphError(LineageError):
    """The lineage graph cannot be read or written."""


class KeeperUnavailableError(GraphError):
    """The keeper the settings name cannot be opened."""


class SageMakerError(GraphError):
    """SageMaker did not do what it was asked for.

    Attributes:
        problem: which kind of refusal or failure it was; see ``graph.sagemaker.problems``.
        operation: the call (``CreateAction``); empty when none was made.
    """

    def __init__(self, what: str, *, problem: str, operation: str = "", why: str = "", fix: str = "") -> None:
        self.problem = problem
        self.operation = operation
        super().__init__(what, why=why, fix=fix)


class UnknownReferenceError(GraphError):
    """A reference (run id, name, ARN, URI, commit) names nothing in the graph.

    Attributes:
        reference: what the user gave.
    """

    def __init__(self, reference: str, *, fix: str = "list what there is with `lineage-flows runs`") -> None:
        self.reference = reference
        super().__init__(f"nothing in the graph is called {reference!r}", fix=fix)


class AmbiguousReferenceError(GraphError):
    """A prefix or a name fits more than one entity.

    Attributes:
        reference: what the user gave.
        matches: what it fits, in a stable order, at most twenty.
    """

    def __init__(self, reference: str, matches: tuple[str, ...]) -> None:
        self.reference = reference
        self.matches = matches[:20]
        shown = ", ".join(self.matches[:5]) + (", …" if len(matches) > 5 else "")
        super().__init__(f"{reference!r} fits {len(matches)} entities", why=shown, fix="give more of the id")


class NeptuneLoadError(GraphError):
    """Neptune's bulk loader did not load what it was given, or not yet.

    Attributes:
        load_id: the loader's own name of the load; None when none was begun.
        status: what the loader calls its state (``LOAD_FAILED``); empty when it said none.
        refused: what it said of single records, in its order; as many as were asked for.
    """

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        fix: str = "",
        load_id: str | None = None,
        status: str = "",
        refused: tuple[str, ...] = (),
    ) -> None:
        self.load_id = load_id
        self.status = status
        self.refused = refused
        super().__init__(what, why=why, fix=fix)


class AwsError(LineageError):
    """AWS cannot be asked: no credentials, no region, no answer, or a refusal."""


class PermissionDeniedError(AwsError):
    """AWS refused a call for want of a permission.

    Attributes:
        action: as IAM writes it, ``sagemaker:CreateArtifact``.
        resource: what it was about: an ARN, or a kind such as ``artifact/*``; empty when the action takes none.
        roles: the roles of ``infra/`` that have the action.
    """

    def __init__(self, action: str, resource: str, *, roles: tuple[str, ...], why: str = "") -> None:
        self.action = action
        self.resource = resource
        self.roles = roles
        if roles:
            named = f"role {roles[0]}" if len(roles) == 1 else f"roles {', '.join(roles[:-1])} and {roles[-1]}"
            has = "has" if len(roles) == 1 else "have"
            fix = f"the {named} of infra/ {has} {action}; see `lineage-flows doctor --aws`"
        else:
            fix = f"no role of infra/ has {action}; grant it, or leave out what needs it"
        super().__init__(f"AWS denied {action}{f' on {resource}' if resource else ''}", why=why.rstrip("."), fix=fix)


class RegistrationError(LineageError):
    """A model cannot be registered: it is none, its data is not there, or SageMaker's registry would not take it as asked for."""


class RecordFormatError(LineageError):
    """A run record is of a format this version does not know.

    Attributes:
        found: the format's number in the record.
    """

    def __init__(self, found: object, known: int) -> None:
        self.found = found
        super().__init__(
            f"the run record has format {found!r}",
            why=f"this version of lineage-flows reads format {known}",
            fix="upgrade lineage-flows",
        )


class ReplayError(LineageError):
    """A run cannot be replayed."""


class CodeNotRestorableError(ReplayError):
    """The source code of a run was not kept, or not wholly, so it cannot be executed again."""
