"""Numbers in sentences agree with their nouns and verbs."""

import doctest

import pytest

from landcover import counts
from landcover.counts import counted


def test_the_example_is_true():
    assert doctest.testmod(counts).failed == 0


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(0, "0 pixels lie here"), (1, "1 pixel lies here"), (2, "2 pixels lie here")],
)
def test_noun_and_verb_agree_with_the_number(number, sentence):
    assert counted(number, "# pixel|pixels lies|lie here") == sentence
