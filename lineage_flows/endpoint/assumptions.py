"""What SageMaker does where AWS does not say so: each assumption once, so that it can be corrected in one place.

I is inferred from AWS's own code and from reports of what it answers, U is unknown. What AWS documents is not here.
"""

from __future__ import annotations

from lineage_flows.endpoint.errors import ServiceError, limit_exceeded, not_found, validation

__all__ = [
    "DEFAULT_ASSOCIATION_TYPE",
    "DEFAULT_GROUP",
    "already_exists",
    "has_associations",
    "no_such_resource",
    "too_many_tags",
]

DEFAULT_GROUP = "sagemaker-default-lineage-group"
"""I: the name of the one lineage group an account has, as ARNs in AWS's guide show it."""

DEFAULT_ASSOCIATION_TYPE = "AssociatedWith"
"""U: the type of an association that was added without one. The weakest, so that no walk along data takes it for more."""


def already_exists(what: str) -> ServiceError:
    """I: a repeated Create* or AddAssociation. A client matches on the code and on the words "already exists"."""
    return validation(f"{what} already exists.")


def has_associations(what: str) -> ServiceError:
    """U: the code of a deletion that is refused because of associations; that it is refused is documented."""
    return validation(f"{what} cannot be deleted: it has associations. Delete them first.")


def no_such_resource(arn: str) -> ServiceError:
    """U: AddTags, DeleteTags and ListTags declare no error; what they say of a resource that is not there."""
    return not_found(f"Resource {arn} does not exist.")


def too_many_tags(arn: str, most: int) -> ServiceError:
    """U: the code for a resource that would have more tags than it may."""
    return limit_exceeded(f"Resource {arn} would have more than {most} tags.")
