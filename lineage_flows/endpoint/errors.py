"""What an operation answers when it cannot be done: SageMaker's error codes over HTTP.

These are answers to a client, and not errors of this project: a client matches on ``code``.
"""

from __future__ import annotations

__all__ = [
    "ServiceError",
    "access_refused",
    "conflict",
    "internal",
    "limit_exceeded",
    "not_found",
    "serialization",
    "throttled",
    "too_large",
    "unknown_operation",
    "validation",
]


class ServiceError(Exception):
    """An answer that says why not.

    Attributes:
        code: the error's code, as boto3 shows it in ``response["Error"]["Code"]``.
        message: in words.
        status: of HTTP; 400 for what the client can mend, 500 and above for what it may try again.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code = code
        self.message = message
        self.status = status
        super().__init__(f"{code}: {message}")


def validation(message: str) -> ServiceError:
    """The request breaks a rule. SageMaker's service model declares this code for no operation, and every one has it."""
    return ServiceError("ValidationException", message)


def not_found(message: str) -> ServiceError:
    """What the request names is not there."""
    return ServiceError("ResourceNotFound", message)


def conflict(message: str) -> ServiceError:
    """Something else is modifying the entity."""
    return ServiceError("ConflictException", message)


def limit_exceeded(message: str) -> ServiceError:
    """The account has as many as it may have."""
    return ServiceError("ResourceLimitExceeded", message)


def serialization(message: str) -> ServiceError:
    """The body is no JSON, or has a value of a wrong type."""
    return ServiceError("SerializationException", message)


def unknown_operation(message: str) -> ServiceError:
    """There is no such operation here."""
    return ServiceError("UnknownOperationException", message)


def access_refused(message: str) -> ServiceError:
    """The request may not be made from there."""
    return ServiceError("AccessDeniedException", message, 403)


def too_large(message: str) -> ServiceError:
    """The request is longer than what is read."""
    return ServiceError("RequestEntityTooLargeException", message, 413)


def throttled() -> ServiceError:
    """Too many requests; only by order (``faults``)."""
    return ServiceError("ThrottlingException", "Rate exceeded")


def internal(
    message: str = "The request processing has failed because of an unknown error", status: int = 500
) -> ServiceError:
    """The service itself failed; the request may or may not have been carried out."""
    return ServiceError("InternalFailure" if status == 500 else "ServiceUnavailable", message, status)
