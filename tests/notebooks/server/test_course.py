"""The course arrives in a home, and never overwrites what its owner did."""

import json
import os

import jupytext
import nbformat
import pytest

from sample_map.server.course import MANIFEST, install_course, notebook_of

PAGE = "# %% [markdown]\n# # One\n\n# %%\nprint({number})\n"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "pages"
    folder.mkdir()
    for name in ("01_one", "02_two"):
        (folder / f"{name}.py").write_text(PAGE.format(number=1))
    return folder


@pytest.fixture
def target(tmp_path):
    return tmp_path / "home" / "course"


def test_pages_become_notebooks_that_jupyter_accepts(source, target):
    assert install_course(source, target) == ("01_one.ipynb", "02_two.ipynb")
    notebook = nbformat.read(target / "01_one.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert [(c.cell_type, c.source) for c in notebook.cells] == [
        ("markdown", "# One"),
        ("code", "print(1)"),
    ]


def test_pages_in_r_come_with_their_helper_where_r_is(source, target):
    (source / "03_three.R").write_text("# %% [markdown]\n# # Three\n\n# %%\nx <- 1\n")
    (source / "help.R").write_text("y <- 2\n")
    python = ("01_one.ipynb", "02_two.ipynb")
    assert install_course(source, target) == python
    assert install_course(source, target, with_r=True) == ("03_three.ipynb", "help.R")
    notebook = nbformat.read(target / "03_three.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "ir"
    assert [cell.source for cell in notebook.cells] == ["# Three", "x <- 1"]
    assert (target / "help.R").read_text() == "y <- 2\n"
    install_course(source, target)
    assert sorted(path.name for path in target.glob("[!.]*")) == list(python)


def test_same_page_gives_the_same_bytes(source):
    assert notebook_of(source / "01_one.py") == notebook_of(source / "01_one.py")


def test_second_installation_touches_nothing(source, target):
    install_course(source, target)
    os.utime(target / "01_one.ipynb", (1, 1))
    assert install_course(source, target) == ()
    assert (target / "01_one.ipynb").stat().st_mtime == 1


def test_upgrade_replaces_untouched_pages(source, target):
    install_course(source, target)
    (source / "01_one.py").write_text(PAGE.format(number=2))
    assert install_course(source, target) == ("01_one.ipynb",)
    assert "print(2)" in (target / "01_one.ipynb").read_text()


def test_upgrade_never_overwrites_an_edited_page(source, target):
    install_course(source, target)
    edit(target / "01_one.ipynb", "print('mine')")
    mine = (target / "01_one.ipynb").read_bytes()
    for number in (2, 3):
        (source / "01_one.py").write_text(PAGE.format(number=number))
        assert install_course(source, target) == ()
    assert (target / "01_one.ipynb").read_bytes() == mine


def test_page_that_was_upgraded_and_then_edited_is_kept(source, target):
    install_course(source, target)
    (source / "01_one.py").write_text(PAGE.format(number=2))
    install_course(source, target)
    edit(target / "01_one.ipynb", "print('mine')")
    (source / "01_one.py").write_text(PAGE.format(number=3))
    assert install_course(source, target) == ()


def test_edit_that_was_undone_is_upgraded_again(source, target):
    install_course(source, target)
    original = (target / "01_one.ipynb").read_bytes()
    edit(target / "01_one.ipynb", "print('mine')")
    install_course(source, target)
    (target / "01_one.ipynb").write_bytes(original)
    (source / "01_one.py").write_text(PAGE.format(number=2))
    assert install_course(source, target) == ("01_one.ipynb",)


def test_foreign_notebook_of_the_same_name_is_kept(source, target):
    target.mkdir(parents=True)
    (target / "01_one.ipynb").write_text("my own")
    assert install_course(source, target) == ("02_two.ipynb",)
    assert (target / "01_one.ipynb").read_text() == "my own"


def test_deleted_page_comes_back_fresh(source, target):
    install_course(source, target)
    (target / "01_one.ipynb").unlink()
    assert install_course(source, target) == ("01_one.ipynb",)


def test_renumbered_page_leaves_no_old_one_behind(source, target):
    install_course(source, target)
    (source / "02_two.py").rename(source / "03_two.py")
    assert install_course(source, target) == ("03_two.ipynb",)
    assert sorted(p.name for p in target.glob("*.ipynb")) == ["01_one.ipynb", "03_two.ipynb"]


def test_edited_page_that_the_course_has_no_more_is_kept(source, target):
    install_course(source, target)
    edit(target / "02_two.ipynb", "print('mine')")
    (source / "02_two.py").unlink()
    install_course(source, target)
    assert "mine" in (target / "02_two.ipynb").read_text()


@pytest.mark.parametrize("damage", [None, "", "[]", "no json"])
def test_without_a_readable_manifest_nothing_is_overwritten(source, target, damage):
    install_course(source, target)
    edit(target / "01_one.ipynb", "print('mine')")
    if damage is None:
        (target / MANIFEST).unlink()
    else:
        (target / MANIFEST).write_text(damage)
    (source / "01_one.py").write_text(PAGE.format(number=2))
    assert install_course(source, target) == ()
    assert "mine" in (target / "01_one.ipynb").read_text()


def test_manifest_is_hidden_and_names_what_was_installed(source, target):
    install_course(source, target)
    assert MANIFEST.startswith(".")
    assert set(json.loads((target / MANIFEST).read_text())) == {"01_one.ipynb", "02_two.ipynb"}


def edit(path, text):
    notebook = jupytext.read(path)
    notebook.cells[-1].source = text
    jupytext.write(notebook, path)
