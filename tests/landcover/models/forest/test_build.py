"""How the kernel in C is built, and by which compiler."""

import sys

import pytest
from packaging.requirements import Requirement

from landcover.models.forest import build
from tests.images.recipe import PINS

BROKEN = [sys.executable, "-c", "raise SystemExit('no stdlib.h here')"]
WORKING = [sys.executable, "-c", "import sys; open(sys.argv[-1], 'xb').close()"]
"""Stands for a compiler; test_kernel.py runs what a real one makes."""


def test_the_library_of_an_older_source_goes_when_one_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "compilers", lambda: [WORKING])
    older = tmp_path / "_tree_walk-0123456789abcdef.so"
    older.write_bytes(b"")
    assert build.build(tmp_path).exists()
    assert list(tmp_path.iterdir()) == [tmp_path / build.library_name()]


def test_a_compiler_that_fails_is_followed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "compilers", lambda: [BROKEN, WORKING])
    assert build.build(tmp_path).exists()


@pytest.mark.parametrize(
    ("compilers", "said"),
    [([], "no C compiler"), ([BROKEN, ["false"]], "no stdlib.h here; false: it failed")],
)
def test_an_installation_without_a_compiler_is_told(tmp_path, monkeypatch, compilers, said):
    monkeypatch.setattr(build, "compilers", lambda: compilers)
    with pytest.raises(RuntimeError, match=said):
        build.build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_who_names_a_compiler_gets_no_other(monkeypatch):
    monkeypatch.setenv("CC", f"{sys.executable} -I")
    assert build.compilers() == [[sys.executable, "-I"]]


def test_a_named_compiler_that_is_missing_counts_as_none(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.named_compiler() == []
    assert all(command == build.ZIG for command in build.compilers())


@pytest.mark.parametrize("found", [True, False])
def test_the_compiler_that_pip_brought_comes_last(monkeypatch, found):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(build, "find_spec", lambda name: name == "ziglang" and found)
    assert (build.compilers()[-1:] == [build.ZIG]) == found


def test_pip_brings_no_compiler_where_one_works(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(build, "compilers", lambda: [WORKING])
    assert build.requirements() == []


def test_pip_brings_a_compiler_where_none_works(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(build, "compilers", lambda: [BROKEN])
    (asked,) = map(Requirement, build.requirements())
    assert asked.name == "ziglang"
    assert PINS[asked.name] in asked.specifier
    assert all(asked.marker.evaluate({"platform_machine": m}) for m in ("x86_64", "aarch64"))
    assert not asked.marker.evaluate({"platform_machine": "riscv64"})


def test_pip_brings_none_beside_one_that_is_named_but_fails(monkeypatch):
    monkeypatch.setenv("CC", "false")
    assert build.requirements() == []
