"""Commands as the ledger tells them: the program and its arguments, and never a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage_flows.capture.commands import MOST_CHARACTERS, program_of, redacted, words_of

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["curl", "-s", "https://vendor.example/prices?day=1"], "curl -s https://vendor.example/prices?day=1"),
        (["/usr/bin/psql", "-h", "db", "-p", "5432"], "psql -h db -p 5432"),
        (["git", "clone", "git@github.com:a/b.git"], "git clone git@github.com:a/b.git"),
        (["aws", "s3", "cp", "s3://b/k", "."], "aws s3 cp s3://b/k ."),
        (b"true \xff", r"true \xff"),
        ("ls -l | wc -l", "ls -l | wc -l"),
        (["python", "-m", "tool", "-c", "x.toml"], "python -m tool -c ***"),
        (["sh", "-c", "exit 3"], "sh -c 'exit 3'"),
        ("it's broken", "it's"),
        ([b"cat", "a b"], "cat 'a b'"),
        ("", ""),
        ([], ""),
        (None, ""),
    ],
)
def test_a_command_is_told(command: object, told: str) -> None:
    assert redacted(words_of(command)) == told


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["x", f"--password={SECRET}"], "x --password=***"),
        (["x", "--password", SECRET, "y"], "x --password *** y"),
        (["x", "--db-token", SECRET], "x --db-token ***"),
        (["x", "--ask-password", "--token", SECRET], "x --ask-password *** ***"),
        (["x", "--api-key", SECRET], "x --api-key ***"),
        (["curl", "-u", f"me:{SECRET}", "http://h"], "curl -u *** http://h/"),
        (["curl", f"-ume:{SECRET}", "h"], "curl -u*** h"),
        (["curl", "-H", f"Authorization: Bearer {SECRET}", "h"], "curl -H Authorization:*** h"),
        (["curl", "-H", f"X-Api-Key: {SECRET}", "h"], "curl -H X-Api-Key:*** h"),
        (["curl", f"https://me:{SECRET}@h.example/x?token={SECRET}"], "curl https://h.example/x"),
        (["psql", f"postgres://me:{SECRET}@db/x"], "psql postgres://db/x"),
        (["scp", f"me:{SECRET}@host:/x", "."], "scp me:***@host:/x ."),
        (["mysql", f"-p{SECRET}", "-h", "db"], "mysql -p*** -h db"),
        (["sshpass", "-p", SECRET, "ssh", "h"], "sshpass -p *** ssh h"),
        (f"PGPASSWORD={SECRET} psql -h db", "PGPASSWORD=*** psql -h db"),
        (f"cd x && curl -u a:{SECRET} http://h", "cd x && curl -u *** http://h/"),
        (["env", f"AWS_SECRET_ACCESS_KEY={SECRET}", "aws"], "env AWS_SECRET_ACCESS_KEY=*** aws"),
        (["sh", "-c", f"mysql --password={SECRET} < x"], "sh -c 'mysql --password=*** < x'"),
        (["python3.11", "-c", f"login('{SECRET}')"], "python3.11 -c ***"),
        (["node", "-e", SECRET], "node -e ***"),
        (["perl", "-pe", f"s/x/{SECRET}/"], "perl -pe ***"),
        (["bash", "-lc", f"mysql -p{SECRET} -e 'select 1'"], "bash -lc 'mysql -p*** -e 'select 1''"),
        (["ssh", "h", f"mysql --password {SECRET}"], "ssh h 'mysql --password ***'"),
        (f"echo {SECRET} | docker login --password-stdin", "echo *** | docker login --password-stdin"),
        (f"docker login <<< {SECRET}", "docker login <<< ***"),
        (["sh", "-c", f"printf %s {SECRET} | gpg --batch"], "sh -c 'printf *** *** | gpg --batch'"),
        (["su", f"--command=psql postgres://me:{SECRET}@db/x"], "su --command='psql postgres://db/x'"),
        (["x", "eyJhbGciOiJIUzI1NiJ9.e30.abc"], "x ***"),
        (["x", "ghp_abcdEFGH1234ijklMNOP5678qrst"], "x ***"),
    ],
)
def test_secrets_are_not_told(command: object, told: str) -> None:
    assert redacted(words_of(command)) == told


@given(
    st.lists(st.text(max_size=12), max_size=30),
    st.sampled_from(["--password=", "--token=", "PGPASSWORD=", "postgres://me:", "--api-key", "--secret"]),
    st.integers(0, 20),
)
def test_whatever_stands_around_it_a_secret_is_not_told(words: list[str], before: str, place: int) -> None:
    secret = "correct-horse-battery"
    form = (
        [before, secret]
        if not before.endswith(("=", ":"))
        else [before + secret + ("@db/x" if "://" in before else "")]
    )
    said = redacted(["tool", *words[:place], *form, *words[place:]])
    # After an option that takes a secret even the next word is hidden; what follows a code option is not told at all.
    assert secret not in said
    assert len(said) <= MOST_CHARACTERS


@given(st.one_of(st.text(), st.binary(), st.lists(st.one_of(st.text(), st.binary(), st.integers()))))
def test_any_command_is_told_in_one_line(command: object) -> None:
    said = redacted(words_of(command))
    assert len(said) <= MOST_CHARACTERS
    assert len(said.splitlines()) <= 1
    said.encode()


def test_a_command_of_megabytes_is_read_no_further_than_it_is_told() -> None:
    for command in ("a " * 5_000_000, ["x" * 10_000_000] * 3, ["x"] * 1_000_000, "'\"" * 1_000_000, "a\\ " * 1_000_000):
        assert 0 < len(redacted(words_of(command))) <= MOST_CHARACTERS


def test_the_program_is_named_without_its_folder() -> None:
    assert program_of(["/usr/bin/curl", "x"]) == "curl"
    assert program_of([]) == ""
