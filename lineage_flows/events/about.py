"""Facets of what a job is declared to be, of who started a run, and of what the policy left out.

Knows the records and how a facet is made; must not know datasets. OpenLineage's own facets first, this project's for the rest.
"""

from __future__ import annotations

from lineage_flows.events.facets import Facet, Facets
from lineage_flows.events.source_code import told_source
from lineage_flows.records import JobAbout, PolicyRef, RunOrigin

__all__ = ["declared", "origin", "policy"]


def declared(facets: Facets, about: JobAbout | None, source: str | None) -> Facet:
    """The facets of a job: owners, documentation, source, and how Prefect is told to run it. Those without content are None."""
    found: Facet = {}
    if source is not None:
        found["sourceCode"] = facets.make("sourceCode", language="python", sourceCode=told_source(source))
    if about is None:
        return found
    if about.documentation is not None:
        found["documentation"] = facets.make("documentation", description=about.documentation, contentType="text/plain")
    if about.owners:
        found["ownership"] = facets.make(
            "ownership", owners=[{"name": owner, "type": "OWNER"} for owner in about.owners]
        )
    rest = {
        "version": about.version,
        "retries": about.retries,
        "retryDelays": list(about.retry_delays) or None,
        "retryJitter": about.retry_jitter,
        "timeout": about.timeout,
        "cachePolicy": about.cache_policy,
        "cacheExpiration": about.cache_expiration,
        "persistResult": about.persist_result,
        "taskRunner": about.task_runner,
    }
    if any(value is not None for value in rest.values()):
        found["lineageFlows_job"] = facets.make("lineageFlows_job", **rest)
    return found


def origin(facets: Facets, found: RunOrigin | None, url: str | None) -> Facet | None:
    """Who or what started a run, and where Prefect's interface shows it."""
    if found is None:
        return None if url is None else facets.make("lineageFlows_origin", runUrl=url)
    return facets.make(
        "lineageFlows_origin",
        createdByType=found.type,
        createdById=found.id,
        createdBy=found.name,
        autoScheduled=found.auto_scheduled,
        workQueue=found.work_queue,
        worker=found.worker,
        deploymentVersion=found.deployment_version,
        runUrl=url,
        flowUrl=found.flow_url,
        deploymentUrl=found.deployment_url,
    )


def policy(facets: Facets, found: PolicyRef | None) -> Facet | None:
    """What the rules of the settings left out; None when none decided anything."""
    if found is None:
        return None
    return facets.make(
        "lineageFlows_policy",
        rules=list(found.rules),
        datasetsLeftOut=found.datasets,
        parametersLeftOut=list(found.parameters),
        outputLeftOut=found.output,
        sourceCodeTold=found.source_code,
    )
