from __future__ import annotations


def test_what_is_found_comes_with_a_reference_that_can_be_used(call, filled) -> None:
    lines = call("search", "Ridge").out.splitlines()
    assert lines[0].startswith("Model Ridge 622efe33")
    reference = lines[1].strip()
    assert call("upstream", reference).out.startswith("Model Ridge 622efe33")


def test_references_are_not_broken(call, filled) -> None:
    found = call("search", "SourceTree", "--json").document
    assert found[0]["type"] == "SourceTree"
    assert f"  {found[0]['source_uri']}\n" in call("search", "SourceTree").out


def test_every_word_has_to_be_there(call, filled) -> None:
    assert call("search", "fit_model training", "--json").document != []
    assert call("search", "fit_model nonsense", "--json").document == []
    assert "Nothing holds" in call("search", "fit_model nonsense").out
    assert len(call("search", "backtest", "-n", "2", "--json").document) == 2
