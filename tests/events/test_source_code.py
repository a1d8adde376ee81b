"""The source of a function as events tell it."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage_flows.events.source_code import told_source


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('password = "hunter2"\n', 'password = "***"\n'),
        ('self.api_key: str = "hunter2"\n', 'self.api_key: str = "***"\n'),
        ('connect("h", token="hunter2", user="me")\n', 'connect("h", token="***", user="me")\n'),
        ('x = {"password": "hunter2", "n": "me"}\n', 'x = {"password": "***", "n": "me"}\n'),
        ('def f(a, password="hunter2", *, token="hunter2"): ...\n', 'def f(a, password="***", *, token="***"): ...\n'),
        ('p = os.environ.get("DB_PASSWORD", "hunter2")\n', 'p = os.environ.get("DB_PASSWORD", "***")\n'),
        ('p = SecretStr("hunter2")\n', 'p = SecretStr("***")\n'),
        ('if password == "hunter2": pass\n', 'if password == "***": pass\n'),
        ('password = f"hunter2{x}"\n', 'password = "***"\n'),
        ('password = ("hunter2"\n   "more")\nx = 1\n', 'password = ("***")\nx = 1\n'),
        ('password = """hunter2\nhunter2"""\nx = 1\n', 'password = "***"\nx = 1\n'),
        ('é = "é"; token = b"hunter2"; y = 2\n', 'é = "é"; token = "***"; y = 2\n'),
        ('password = Secret.load("vendor").get()\n', 'password = Secret.load("vendor").get()\n'),
        ('tokens = ["a"]\nkey = "b"\n', 'tokens = ["a"]\nkey = "b"\n'),
        ('engine("postgres://me:hunter2@db/x")\n', 'engine("postgres://***@db/x")\n'),
        ('get("https://h/x?token=hunter2&y=1")\n', 'get("https://h/x?token=***&y=1")\n'),
        ('get(f"{h}/x?token=hunter2&y={y}")\n', 'get(f"{h}/x?token=***&y={y}")\n'),
        ('p = f"password={password}"\n', 'p = f"password={password}"\n'),
        ('é = "é"  # é token=hunter2\ny = 1\n', 'é = "é"  # é token=***\ny = 1\n'),
        ('def f():\n    """With password=hunter2.\n"""\n', 'def f():\n    """With password=***\n"""\n'),
        ('x = "AKIAIOSFODNN7EXAMPLE"\n', 'x = "***"\n'),
        ('@task(password="hunter2")\nasync def f():\n    return 1\n', '@task(password="***")\nasync def f():\n    return 1\n'),
        ("f = lambda: 1) # password='hunter2'\n", "f = lambda: 1) # password='***'\n"),
    ],
)  # fmt: skip
def test_secret_literals_are_masked_and_the_rest_reads_as_it_stands(source, told):
    assert told_source(source) == told


@given(
    st.text(min_size=1, max_size=30),
    st.sampled_from(["password = {}\n", "f(token={})\n", "x = {{'api_key': {}}}\n", "def f(secret={}): pass\n"]),
)
@settings(deadline=None)
def test_no_literal_survives(secret, form):
    held = "Ǟ" + secret + "Ǟ"
    told = told_source("y = 1\n" + form.format(repr(held)))
    assert held not in told
    assert repr(held)[1:-1] not in told
    ast.parse(told)
