"""Teams of the embedded geoportal: refused in words, and made only once by themselves.

That a team is really made stands in tests/test_readme.py, with a hub.
"""

import json
from pathlib import Path

import pytest
from traitlets.config import Config

from hub.local import teams
from hub.local.machine import Machine
from portal.errors import CannotStart


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path, tmp_path / "storage", Path("hub/local.yaml"), 8000)


def test_only_the_administrators_service_may_make_teams(machine):
    c = Config()
    c.JupyterHub.services, c.JupyterHub.load_roles = [{"name": "wps"}], [{"name": "user"}]
    teams.configure(c, machine)
    assert [service["name"] for service in c.JupyterHub.services] == ["wps", "administrator"]
    (_, role) = c.JupyterHub.load_roles
    assert role["scopes"] == ["admin:users", "admin:groups"]
    assert role["services"] == ["administrator"]
    assert (machine.state / "administrator-token").stat().st_mode & 0o777 == 0o600


def test_without_a_running_geoportal_it_is_said_how_to_start_one(machine):
    with pytest.raises(CannotStart, match="start it with make run"):
        teams.command(["forest", "anna"], machine)
    with pytest.raises(CannotStart, match="needs a name"):
        teams.command([], machine)


@pytest.mark.parametrize("name", ["", ".", "a/b", " a", "a\n", "x" * 300])
def test_name_that_no_folder_can_have_is_refused(machine, name):
    machine.endpoint_file.write_text(json.dumps({"url": "http://127.0.0.1:9"}))
    with pytest.raises(CannotStart, match="its name becomes a folder's"):
        teams.command([name, "anna"], machine)


def test_first_team_is_made_once_so_that_who_deletes_it_keeps_that(machine, monkeypatch):
    made = []
    monkeypatch.setattr(teams, "gather", lambda *given: made.append(given[1:]))
    teams.gather_practice(machine)
    teams.gather_practice(machine)
    assert made == [("practice", ("demo", "guest"))]
