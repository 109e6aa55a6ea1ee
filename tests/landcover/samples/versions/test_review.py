import json

import pytest

from landcover.cli import main
from landcover.errors import InputError
from landcover.samples.versions.drawn_changes import commit_drawn
from landcover.samples.versions.exchange import read_drawn
from landcover.samples.versions.review import review


def test_who_accepted_and_what_was_said_stays_with_a_sample(ledger, record, write_geojson):
    ledger.commit([record("a"), record("b")], [], "ann")
    review(ledger, ["a"], "rejected", "bob", "this is a shadow")
    done = review(ledger, ["a"], "accepted", "eve", "no, it is water")
    found = ledger.records(ledger.manifest(done.number))
    assert (found["a"].review, found["a"].validated_by, found["a"].author) == (
        "accepted", "eve", "ann"
    )  # fmt: skip
    assert [(c["by"], c["text"]) for c in json.loads(found["a"].comments)] == [
        ("bob", "this is a shadow"), ("eve", "no, it is water")
    ]  # fmt: skip
    assert found["b"] == record("b")
    drawn = read_drawn(write_geojson("x.geojson", [record("a"), record("b")]))
    assert commit_drawn(ledger, drawn, "ann").number == done.number  # nobody drew it anew


def test_unknown_samples_and_verdicts_are_refused(ledger, record):
    ledger.commit([record("a")], [], "ann")
    with pytest.raises(InputError, match="no sample x"):
        review(ledger, ["a", "x"], "accepted", "bob")
    with pytest.raises(InputError, match="verdict is good"):
        review(ledger, ["a"], "good", "bob")


def test_on_the_command_line(ledger, record, capsys):
    ledger.commit([record("a")], [], "ann")
    folder = str(ledger.folder)
    assert (
        main(["samples", "review", folder, "a", "--verdict", "rejected", "--author", "bob"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["number"] == 2
    assert main(["samples", "export", folder, "--output", folder + "/x.gpkg"]) == 2
    assert "holds no sample to write" in capsys.readouterr().err
