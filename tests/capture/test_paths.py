from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.capture.paths import (
    PathRules,
    absolute,
    from_uri,
    is_secret_file,
    printable,
    to_uri,
    without_credentials,
)


@given(st.binary(min_size=1, max_size=60).filter(lambda name: b"\0" not in name))
def test_any_path_survives_as_a_uri(name: bytes) -> None:
    path = os.fsdecode(b"/" + name)
    assert from_uri(to_uri(path)) == path
    to_uri(path).encode("ascii")
    printable(path).encode()


@given(st.text(max_size=30).filter(lambda name: "\0" not in name and all(not 0xD800 <= ord(c) < 0xE000 for c in name)))
def test_uris_are_those_of_pathlib(name: str) -> None:
    path = os.path.abspath("/" + name)
    if not path.startswith("//"):
        assert to_uri(path) == Path(path).as_uri()


@pytest.mark.parametrize("uri", ["s3://b/k", "https://h/x", "/x", "file://otherhost/x", ""])
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError):
        from_uri(uri)


@given(st.text("ab./", max_size=20))
def test_absolute_is_what_os_says(tail: str) -> None:
    for path in (f"/{tail}", tail or "x"):
        assert absolute(path) == os.path.abspath(path)


def test_what_counts(tmp_path: Path) -> None:
    rules = PathRules([str(tmp_path / "home")], [str(tmp_path / "home" / "ws")])
    for path in (
        "/data/prices.csv",
        "/etc/desk/config.yaml",
        "/tmp/x",
        f"{tmp_path}/homely",
        f"{tmp_path}/home/ws/x.csv",
        "/usr/share/dict/words",
    ):
        assert rules.counts(path), path
    for path in (
        "/data/model.py",
        "/x/lib.so",
        "/proc/self/stat",
        "/etc/hosts",
        "/usr/share/zoneinfo/UTC",
        os.__file__,
        f"{os.path.dirname(os.__file__)}/LICENSE.txt",
        "/x/lib/python3.11/site-packages/skfolio/data.csv",
        f"{tmp_path}/home/spool.db",
        os.path.expanduser("~/.cache/matplotlib/fontlist.json"),
    ):
        assert not rules.counts(path), path


def test_a_folder_behind_a_link_is_ignored_too(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert not PathRules([str(tmp_path / "link")]).counts(f"{tmp_path}/real/x")


@pytest.mark.parametrize(
    "name", [".env", ".env.production", "prod.env", "id_rsa", "server.pem", "a/b/credentials.json", ".pgpass"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_file(f"/x/{name}")


@pytest.mark.parametrize(
    "name", ["env", "environment.csv", ".env.example", "id_rsa.pub", "keys.csv", "monkey", "secrets.py"]
)
def test_names_of_no_secrets(name: str) -> None:
    assert not is_secret_file(f"/x/{name}")


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://me:token@host/x.git", "https://host/x.git"),
        ("https://token@host:8080/x?access_token=1#f", "https://host:8080/x"),
        ("ssh://git:pw@host/x", "ssh://git@host/x"),
        ("git@github.com:org/x.git", "git@github.com:org/x.git"),
        ("git+ssh://git@host/x", "git+ssh://git@host/x"),
        ("/srv/git/x.git", "/srv/git/x.git"),
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
        ("http://[broken", "http://"),
        ("", ""),
    ],
)
def test_urls_lose_their_secrets(url: str, clean: str) -> None:
    assert without_credentials(url) == clean


@given(st.text("abc:/@?#[]%.", max_size=30))
def test_any_text_may_be_a_url(text: str) -> None:
    assert isinstance(without_credentials(f"https://user:hunter2@{text}"), str)
    assert "hunter2" not in without_credentials(f"https://user:hunter2@host/{text}")
