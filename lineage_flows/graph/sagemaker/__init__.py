"""The graph in SageMaker ML Lineage, over boto3: docs/sagemaker.md. boto3 is loaded with the first call, never by an import."""

from __future__ import annotations

from lineage_flows.graph.sagemaker.keeper import SageMakerKeeper, open_sagemaker
from lineage_flows.graph.sagemaker.push import Options

__all__ = ["Options", "SageMakerKeeper", "open_sagemaker"]
