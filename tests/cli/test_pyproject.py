from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lineage_flows.cli.pyproject import enable_plugins, with_plugins
from lineage_flows.errors import LineageError

PATH = Path("pyproject.toml")

# Pieces of a user's file; any of them, in any order, may be what there is before.
PIECES = [
    "[project]\nname = 'desk'\n",
    "# [tool.prefect.plugins]\n# enabled = false\n",
    '[tool.ruff]\nline-length = 100  # as agreed\nextra = """\n[tool.prefect.plugins]\nenabled = false\n"""\n',
    "[tool.prefect]\n\n[tool.prefect.server]\nlog = nan\n",
    "[tool.prefect.server.ui]\nenabled = false\n",
    "[[tool.mypy.overrides]]\nmodule = 'a'\nenabled = false\n",
]
PLUGINS = [
    "",
    "[tool.prefect.plugins]\n",
    "[tool.prefect.plugins]\nenabled = false\n",
    "[ tool . prefect.plugins ]   # ours\n  enabled=false   # not yet\nallow = ['a']\n",
    "[tool.prefect.plugins]\nallow = ['enabled = false']\n# enabled = false\n",
    "[tool.prefect.plugins]\nenabled = 'maybe'\n\n[tool.other]\nenabled = false\n",
    "[tool.prefect.plugins]\nallow = '''\nenabled = false\n'''\nenabled = false\n",
]


def plain(text: str) -> dict[str, object]:
    return tomllib.loads(text, parse_float=str)


def expected(text: str) -> dict[str, object]:
    document = plain(text)
    document.setdefault("tool", {}).setdefault("prefect", {}).setdefault("plugins", {})["enabled"] = True
    return document


@given(
    st.permutations(PIECES).map(lambda pieces: pieces[:3]),
    st.sampled_from(PLUGINS),
    st.integers(0, 3),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
@example([], "", 0, "\n", False)
def test_any_file_then_says_that_one_thing_more_and_nothing_else(
    pieces: list[str], plugins: str, place: int, line_end: str, cut: bool
) -> None:
    text = "\n".join([*pieces[:place], plugins, *pieces[place:]]).replace("\n", line_end)
    text = text.rstrip() if cut else text
    after = with_plugins(text, PATH)
    assert plain(after) == expected(text)
    assert with_plugins(after, PATH) == after, "idempotent"
    kept = [line for line in text.splitlines() if "enabled" not in line]
    remaining = iter(after.splitlines())
    assert all(line in remaining for line in kept), "every other line is there, in order"
    if line_end == "\r\n" and "\r\n" in text:
        assert "\n" not in after.replace("\r\n", "")


def test_only_the_value_changes_when_the_setting_is_there() -> None:
    text = "[tool.prefect.plugins]\r\n  enabled =  false\t# why\r\n"
    assert with_plugins(text, PATH) == "[tool.prefect.plugins]\r\n  enabled =  true\t# why\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "[tool.prefect]\nplugins.enabled = true",
        "[tool]\nprefect = {plugins = {enabled = true}}",
        "[tool.prefect.plugins]\nenabled=true",
    ],
)
def test_a_file_that_has_it_is_left_alone_however_it_is_written(text: str) -> None:
    assert with_plugins(text, PATH) == text


@pytest.mark.parametrize(
    "text",
    [
        "[tool]\nprefect = {plugins = {enabled = false}}",
        "[tool.prefect]\nplugins = []",
        "tool = 1",
        "[[tool.prefect]]\na=1",
    ],
)
def test_a_layout_that_cannot_be_edited_safely_is_refused(text: str) -> None:
    with pytest.raises(LineageError, match="yourself"):
        with_plugins(text, PATH)


def test_a_missing_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    assert enable_plugins(path) == "created"
    assert tomllib.loads(path.read_text()) == {"tool": {"prefect": {"plugins": {"enabled": True}}}}
    assert "# [tool.lineage_flows]" in path.read_text()
    assert enable_plugins(path) == "unchanged"


def test_the_hint_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text("[tool.lineage_flows]\nlevel = 'all'\n")
    assert enable_plugins(path) == "changed"
    assert path.read_text().count("tool.lineage_flows") == 1


@pytest.mark.parametrize("content", [b"[tool", b"a = 1\na = 2\n", b"\xff\xfe", b"\xef\xbb\xbf[tool.x"])
def test_a_broken_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_bytes(content)
    with pytest.raises(LineageError, match="no valid TOML"):
        enable_plugins(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_mode_and_symbolic_link_are_kept(tmp_path: Path) -> None:
    real = tmp_path / "shared.toml"
    real.write_text("[project]\n")
    real.chmod(0o640)
    link = tmp_path / "pyproject.toml"
    link.symlink_to(real)
    assert enable_plugins(link) == "changed"
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert "enabled = true" in real.read_text()


def test_a_folder_in_its_place_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    with pytest.raises(LineageError, match="cannot be read"):
        enable_plugins(tmp_path / "pyproject.toml")
