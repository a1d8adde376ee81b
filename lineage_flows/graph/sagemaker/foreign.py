"""Which artifacts SageMaker makes of its own accord under the same identity as ours.

Knows the model.
"""

from __future__ import annotations

from lineage_flows.graph.joins import may_be_joined
from lineage_flows.graph.model import Artifact, Entity

__all__ = ["may_be_foreign"]


def may_be_foreign(entity: Entity) -> bool:
    """Whether SageMaker may have made this very artifact itself: data in S3, an image or a thing of its own, by its URI alone.

    The roles of ``infra/`` may not change what SageMaker made. That such an artifact cannot be updated is then as it should be: it
    is associated with all the same, and what is known of it stays here.
    """
    if not isinstance(entity, Artifact) or entity.source_types:
        return False
    return entity.type == "Image" or may_be_joined(entity.source_uri)
