"""Settings of the SageMaker keeper, from a shell and from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage_flows.errors import SettingsError
from lineage_flows.settings import load_settings


def test_tables_are_read_from_the_environment_and_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().all_tags == {"managed-by": "lineage-flows"}
    assert load_settings().all_quotas == {"actions": 3000, "artifacts": 6000, "associations": 6000, "contexts": 500}
    Path("lineage.toml").write_text(
        'sagemaker_detail = "runs"\n[sagemaker_tags]\nteam = "quant"\n[sagemaker_quotas]\nactions = 9\n'
    )
    found = load_settings()
    assert (found.sagemaker_detail, found.all_tags["team"], found.all_quotas["actions"]) == ("runs", "quant", 9)
    monkeypatch.setenv("LINEAGE_FLOWS_SAGEMAKER_TAGS", "team=macro, desk=fx")
    monkeypatch.setenv("LINEAGE_FLOWS_SAGEMAKER_QUOTAS", "contexts=900")
    found = load_settings()
    assert found.all_tags == {"team": "macro", "desk": "fx", "managed-by": "lineage-flows"}
    assert found.all_quotas["contexts"] == 900


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("detail", "everything", "steps or runs"),
        ("fall_back", "perhaps", "true or false"),
        ("quotas", "actions=none", "whole number"),
        ("quotas", "actions=0", "whole number"),
        ("quotas", "models=3", "actions, artifacts"),
        ("quotas", "actions", "actions=3000"),
        ("tags", "aws:x=1", "49 names"),
        ("tags", "managed-by=me", "49 names"),
        ("tags", "team=a;b", "49 names"),
        ("tags", ",".join(f"k{number}=v" for number in range(50)), "49 names"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LINEAGE_FLOWS_SAGEMAKER_{name.upper()}", value)
    with pytest.raises(SettingsError, match=f"LINEAGE_FLOWS_SAGEMAKER_{name.upper()}.*{allowed}"):
        load_settings()
