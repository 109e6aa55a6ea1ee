import json
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from landcover.errors import InputError
from landcover.models.methods import METHODS
from landcover.models.options import MAX_BYTES, describe_options, read_options
from landcover.operation import Range, fields_as_inputs


@dataclass(frozen=True)
class Options:
    """Options.

    Attributes:
        trees: number of trees.
        rate: of learning.
        loss: which one.
        fast: less exact.
    """

    trees: Annotated[int, Range(1, 500)] = 20
    rate: Annotated[float, Range(0, 1)] = 0.1
    loss: Literal["log", "square"] = "log"
    fast: bool = False


def test_what_is_not_given_has_its_default():
    assert read_options("", Options) == read_options(" {} ", Options) == Options()
    given = '{"trees": 7, "rate": 1, "loss": "square", "fast": true}'
    assert read_options(given, Options) == Options(7, 1.0, "square", True)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"trees": 0}', "option trees is 0, needs 1 to 500"),
        ('{"trees": 7.5}', "option trees is 7.5, needs a whole number"),
        ('{"trees": "7"}', 'option trees is "7", needs a whole number'),
        ('{"trees": true}', "option trees is true, needs a whole number"),
        ('{"trees": null}', "option trees is null, needs a whole number"),
        ('{"rate": "0.5"}', 'option rate is "0.5", needs a number'),
        ('{"rate": true}', "option rate is true, needs a number"),
        ('{"rate": 1e400}', "1e400 is too large"),
        ('{"fast": 1}', "option fast is 1, needs true or false"),
        ('{"loss": "hinge"}', "option loss is hinge, needs one of log, square"),
        ('{"leaves": 7}', "options has no member leaves, it has trees, rate, loss, fast"),
        ('{"trees": 7, "trees": 8}', "a member stands twice"),
        ('{"rate": NaN}', "NaN is no number"),
        ("[1]", "options is no JSON object"),
        ("trees=7", "options is not valid JSON"),
        ("[" * 60_000, "nested too deeply"),
        ('{"trees": ' + "[" * 9 + "]" * 9 + "}", "nested deeper than 8 levels"),
        ('{"loss": "' + "x" * MAX_BYTES + '"}', "at most 65536 are read"),
    ],
)
def test_bad_options_are_named_with_what_is_needed(text, sentence):
    with pytest.raises(InputError) as caught:
        read_options(text, Options)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_every_method_describes_its_options_with_ranges_and_defaults(method):
    read_options("", method.options)
    for declared in fields_as_inputs(method.options):
        assert declared.description
        assert not declared.required
        assert declared.range or declared.choices or declared.kind == "bool"
        assert json.loads(json.dumps(declared.default)) == declared.default
    assert describe_options(method.options).count("default") == len(
        fields_as_inputs(method.options)
    )
