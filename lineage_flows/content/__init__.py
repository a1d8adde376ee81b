"""Values and files by content: canonical fingerprints, formats, the content-addressed store.

Knows values and bytes; must not know Prefect, OpenLineage or SageMaker.
"""

from __future__ import annotations

from lineage_flows.content.describe import describe, fingerprint
from lineage_flows.content.files import fingerprint_file
from lineage_flows.content.formats import dump_value, load_value
from lineage_flows.content.store import Store, open_store
from lineage_flows.content.walk import Columns

__all__ = ["Columns", "Store", "describe", "dump_value", "fingerprint", "fingerprint_file", "load_value", "open_store"]
