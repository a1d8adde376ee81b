"""A training job of SageMaker as a person sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.tree import Tree

from lineage_flows.cli.tables import cell

if TYPE_CHECKING:
    from lineage_flows.api import TrainingJob

__all__ = ["draw_job"]


def draw_job(job: TrainingJob) -> Tree:
    """The job with its image, machines, data and hyperparameters."""
    tree = Tree(cell(f"SageMaker training job {job.name} ({job.status})"), highlight=False)
    machines = f"{job.instance_count or '?'} × {job.instance_type}" if job.instance_type else None
    facts = {
        "model": job.model,
        "image": job.image,
        "algorithm": job.algorithm,
        "machines": machines,
        "writes under": job.output,
        "created": job.created_at,
        "ARN": job.arn,
    }
    for name, value in facts.items():
        if value is not None:
            tree.add(cell(f"{name} {value}"))
    if job.channels:
        data = tree.add(cell("data"))
        for channel in job.channels:
            data.add(cell(f"{channel.name} {channel.uri or '(not in S3)'}"))
    if job.hyperparameters:
        given = tree.add(cell("hyperparameters"))
        for name, value in job.hyperparameters.items():
            given.add(cell(f"{name} = {value}"))
    return tree
