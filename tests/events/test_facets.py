from __future__ import annotations

import json

import pytest
from openlineage.client import facet_v2

from lineage_flows.events.facets import CORE, OWN, STANDARD, Facets, path_in_tree, remote_url
from lineage_flows.records import Environment, ErrorRef, SourceTree
from tests.support.openlineage import OWN as SCHEMAS
from tests.support.openlineage import facets as published

FACETS = Facets("https://example.com/1", "prefect")


@pytest.mark.parametrize("key", STANDARD)
def test_the_table_is_that_of_openlineage_python_and_of_the_specification(key: str) -> None:
    url = FACETS.make(key)["_schemaURL"]
    classes = [
        kind
        for module in vars(facet_v2).values()
        for name, kind in getattr(module, "__dict__", {}).items()
        if name == STANDARD[key][1]
    ]
    assert {kind._get_schema() for kind in classes} == {url}
    assert url in {known for (_, name), (known, _) in published().items() if name == key.rpartition(".")[2]}


def test_the_core_schema_is_that_of_openlineage_python() -> None:
    from openlineage.client.event_v2 import RunEvent

    assert RunEvent._get_schema() == CORE


@pytest.mark.parametrize("key", OWN)
def test_our_own_facets_have_a_schema_of_the_same_name(key: str) -> None:
    version, name = OWN[key]
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    assert schema["$id"] == f"https://lineage-flows.dev/spec/facets/{version}/{name}.json"
    assert list(schema["properties"]) == [key]
    assert FACETS.make(key)["_schemaURL"] == f"{schema['$id']}#/$defs/{name}"


def test_there_is_no_schema_without_a_facet() -> None:
    assert {path.stem for path in SCHEMAS.iterdir()} == {name for _, name in OWN.values()}


@pytest.mark.parametrize("name", [name for _, name in OWN.values()])
def test_every_field_of_our_schemas_is_described(name: str) -> None:
    def fields(node: object, path: str) -> list[str]:
        if isinstance(node, list):
            return [missing for index, item in enumerate(node) for missing in fields(item, f"{path}[{index}]")]
        if not isinstance(node, dict):
            return []
        missing = [
            f"{path}.{field}"
            for field, schema in node.get("properties", {}).items()
            if "description" not in schema and "$ref" not in schema
        ]
        return missing + [one for key, value in node.items() for one in fields(value, f"{path}.{key}")]

    assert fields(json.loads((SCHEMAS / f"{name}.json").read_text()), "$") == []


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://github.com/desk/x.git", "https://github.com/desk/x.git"),
        ("https://me:pw@github.com/desk/x.git", "https://github.com/desk/x.git"),
        ("git@github.com:desk/x.git", "https://github.com/desk/x.git"),
        ("deploy@git.desk:/srv/x.git", "https://git.desk/srv/x.git"),
        ("ssh://git@git.desk:2222/x.git", "ssh://git@git.desk:2222/x.git"),
        ("/srv/git/x.git", None),
        ("../x.git", None),
        ("file:///srv/git/x.git", None),
        ("C:\\git\\x", None),
        ("https://git.desk/a b.git", None),
        ("https:///x.git", None),
        ("", None),
    ],
)
def test_only_a_remote_with_a_host_has_a_url(remote: str, url: str | None) -> None:
    assert remote_url(remote) == url


def test_the_source_code_is_located_only_for_a_commit_of_a_remote() -> None:
    tree = SourceTree(
        digest="d", format="git-bundle", root="/desk/repo", commit="9f2c", remote="git@g.desk:a/b.git", branch="main"
    )
    facet = FACETS.source_code(tree, "/desk/repo/flows/x.py")
    assert facet is not None
    assert {key: facet[key] for key in ("type", "url", "repoUrl", "path", "version", "branch")} == {
        "type": "git",
        "url": "https://g.desk/a/b.git",
        "repoUrl": "git@g.desk:a/b.git",
        "path": "flows/x.py",
        "version": "9f2c",
        "branch": "main",
    }
    assert FACETS.source_code(None, None) is None
    assert FACETS.source_code(tree.model_copy(update={"commit": None}), None) is None
    assert FACETS.source_code(tree.model_copy(update={"remote": None}), None) is None
    assert FACETS.source_code(tree.model_copy(update={"remote": "/srv/b.git"}), None) is None


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/desk/repo/a/b.py", "a/b.py"),
        ("/desk/repository/b.py", None),
        ("/elsewhere/b.py", None),
        ("a/./b.py", "a/b.py"),
        ("../b.py", None),
        (None, None),
        ("", None),
    ],
)
def test_a_path_is_said_only_inside_its_tree(path: str | None, inside: str | None) -> None:
    assert path_in_tree("/desk/repo", path) == inside


def test_long_errors_are_clipped_and_masked() -> None:
    error = ErrorRef(
        type="sqlalchemy.exc.OperationalError", message="x" * 20_000, stack="postgres://u:pw@h " + "y" * 90_000
    )
    facet = FACETS.error(error, "Failed")
    assert len(str(facet["message"])) == 10_000
    assert len(str(facet["stackTrace"])) == 50_000
    assert str(facet["stackTrace"]).startswith("postgres://***@h")


def test_variables_whose_name_says_secret_are_masked() -> None:
    environment = Environment(
        python="3", implementation="c", platform="p", machine="m", cpu="c",
        variables={"DB_PASSWORD": "a", "MY_API_KEY": "b", "LANG": "C", "URL": "https://u:p@h"},
    )  # fmt: skip
    facet = FACETS.environment_variables(environment)
    assert facet is not None
    listed = {one["name"]: one["value"] for one in facet["environmentVariables"]}  # type: ignore[attr-defined]
    assert listed == {"DB_PASSWORD": "***", "MY_API_KEY": "***", "LANG": "C", "URL": "https://***@h"}
