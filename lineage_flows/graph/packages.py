"""Versions of models in SageMaker's model registry, as artifacts of the graph: their URIs are ARNs of model packages.

Knows the model and keepers by their protocol; must not know who registered them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lineage_flows.graph.keeper import Keeper
from lineage_flows.graph.model import Artifact, Entity

__all__ = ["PackageName", "named_package", "package_name", "packages", "packages_of"]

_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:model-package/([^/]+)/([0-9]+)")
_NAME = re.compile(r"([a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62})/([0-9]{1,9})")

PackageName = tuple[str, int]
"""Group, in lower case as ARNs have it, and version."""


def package_name(uri: str) -> PackageName | None:
    """Group and version of a model package's ARN; None of anything else."""
    found = _ARN.fullmatch(uri)
    return None if found is None else (found[1].lower(), int(found[2]))


def packages(keeper: Keeper, group: str | None = None) -> list[Artifact]:
    """The versions of models that the graph knows, by group and newest version first.

    Args:
        keeper: the graph.
        group: only those of this group, letter case aside.
    """
    return packages_of(keeper.list_artifacts(artifact_types=("Model",)), group)


def packages_of(entities: Iterable[Entity], group: str | None = None) -> list[Artifact]:
    """Those of some entities, in the same order."""
    found = [
        (name, entity)
        for entity in entities
        if isinstance(entity, Artifact)
        and (name := package_name(entity.source_uri)) is not None
        and (group is None or name[0] == group.lower())
    ]
    return [entity for _, entity in sorted(found, key=lambda item: (item[0][0], -item[0][1], item[1].arn))]


def named_package(keeper: Keeper, text: str) -> list[Artifact]:
    """What ``GROUP/VERSION`` means: one version, or one in each account and region that has the like."""
    found = _NAME.fullmatch(text)
    if found is None:
        return []
    wanted = (found[1].lower(), int(found[2]))
    return [item for item in packages(keeper, wanted[0]) if package_name(item.source_uri) == wanted]
