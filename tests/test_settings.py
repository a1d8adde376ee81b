"""Settings: where they come from, which wins, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage_flows.errors import HomeError, SettingsError
from lineage_flows.settings import load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_environment_wins_over_pyproject(folder, monkeypatch):
    (folder / "pyproject.toml").write_text('[tool.lineage_flows]\nlevel = "all"\nnamespace = "desk"\n')
    monkeypatch.setenv("LINEAGE_FLOWS_LEVEL", "metadata")
    settings = load_settings()
    assert (settings.level, settings.namespace) == ("metadata", "desk")


def test_the_nearest_pyproject_with_our_table_counts(folder, monkeypatch):
    (folder / "pyproject.toml").write_text('[tool.lineage_flows]\nnamespace = "outer"\n')
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    monkeypatch.chdir(inner)
    assert load_settings().namespace == "outer"


def test_a_changed_pyproject_is_read_again(folder):
    file = folder / "pyproject.toml"
    file.write_text('[tool.lineage_flows]\nnamespace = "one"\n')
    assert load_settings().namespace == "one"
    file.write_text('[tool.lineage_flows]\nnamespace = "another"\n')
    assert load_settings().namespace == "another"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("level", "everything", "off, metadata, inputs or all"),
        ("keeper", "postgres", "embedded or sagemaker"),
        ("size_cap", "tiny", "bytes"),
        ("namespace", "two words", "letters"),
        ("levels", "flow:a", "flow:NAME"),
        ("levels", "team:a=all", "flow:NAME"),
        ("levels", "flow:a=some", "off, metadata, inputs or all"),
        ("strict", "perhaps", "true or false"),
        ("flush_seconds", "-1", "0 to 600"),
    ],
)
def test_a_wrong_value_names_setting_value_and_what_is_allowed(monkeypatch, name, value, allowed):
    monkeypatch.setenv(f"LINEAGE_FLOWS_{name.upper()}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    text = str(caught.value)
    assert f"LINEAGE_FLOWS_{name.upper()}" in text
    assert allowed in text
    assert str(caught.value.value) in value
    assert "\n" not in text


def test_an_unknown_setting_in_pyproject_is_named(folder):
    (folder / "pyproject.toml").write_text("[tool.lineage_flows]\nlevle = 'all'\n")
    with pytest.raises(SettingsError, match="levle"):
        load_settings()


def test_a_broken_pyproject_is_said(folder):
    (folder / "pyproject.toml").write_text("[tool.lineage_flows\n")
    with pytest.raises(SettingsError, match="valid TOML"):
        load_settings()


def test_levels_go_from_the_project_to_the_task(monkeypatch):
    monkeypatch.setenv("LINEAGE_FLOWS_LEVELS", "flow:back*=all, tag:client=metadata, task:fit=off")
    settings = load_settings(level="inputs")
    assert settings.level_for("other") == "inputs"
    assert settings.level_for("backtest") == "all"
    assert settings.level_for("backtest", tags=("client",)) == "metadata"
    assert settings.level_for("backtest", tags=("client",), task="fit") == "off"
    assert settings.level_for("backtest", task="load") == "all"


def test_of_two_rules_that_fit_the_more_private_one_holds(monkeypatch):
    monkeypatch.setenv("LINEAGE_FLOWS_LEVELS", "tag:a=all,tag:b=metadata")
    assert load_settings().level_for("f", tags=("a", "b")) == "metadata"


def test_a_flow_that_is_off_is_off_with_all_its_tasks(monkeypatch):
    monkeypatch.setenv("LINEAGE_FLOWS_LEVELS", "flow:secret=off,task:*=all")
    assert load_settings().level_for("secret", task="fit") == "off"


def test_a_project_that_is_off_can_have_flows_that_are_on(monkeypatch):
    monkeypatch.setenv("LINEAGE_FLOWS_LEVELS", "flow:backtest=inputs")
    settings = load_settings(level="off")
    assert settings.level_for("backtest") == "inputs"
    assert settings.level_for("other") == "off"


def test_home_is_absolute_and_sizes_have_units(monkeypatch, folder):
    monkeypatch.setenv("LINEAGE_FLOWS_HOME", "here")
    monkeypatch.setenv("LINEAGE_FLOWS_SIZE_CAP", "1.5MB")
    settings = load_settings()
    assert settings.home == folder / "here"
    assert settings.size_cap == 1_500_000
    assert settings.blobs_url == str(folder / "here" / "blobs")


@pytest.mark.parametrize("name", ["LINEAGE_FLOWS_LEVL", "lineage_flows_levl"])
def test_a_misspelt_variable_is_named(monkeypatch, name):
    monkeypatch.setenv(name, "metadata")
    with pytest.raises(SettingsError, match=f"{name}.*metadata.*one of the settings home, "):
        load_settings()


def test_our_variables_that_are_no_settings_are_let_be(monkeypatch):
    monkeypatch.setenv("LINEAGE_FLOWS_DEBUG", "1")
    for of_a_service in ("PORT", "SERVICE_HOST", "PORT_80_TCP_ADDR", "API_SERVICE_PORT_HTTP", "API_PORT"):
        monkeypatch.setenv(f"LINEAGE_FLOWS_{of_a_service}", "tcp://10.0.0.1:80")
    load_settings()


def test_a_home_that_cannot_be_there_is_said(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    load_settings(home=tmp_path / "not" / "there").check_home()
    for home in (file, file / "below" / "it"):
        with pytest.raises(HomeError, match=f"{file} is no folder"):
            load_settings(home=home).check_home()
