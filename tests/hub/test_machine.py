"""The place a hub runs in, read from the environment and handed on through it."""

from hub.machine import CHECKOUT, Machine


def test_empty_environment_gives_the_checkouts_own_folder_and_port_8000():
    machine = Machine.from_environment({"GEOPORTAL_STATE": "", "GEOPORTAL_PORT": ""})
    assert machine.state == CHECKOUT / ".geoportal"
    assert machine.storage == CHECKOUT / ".geoportal" / "storage"
    assert machine.settings == CHECKOUT / "hub" / "local.yaml"
    assert machine.url == "http://127.0.0.1:8000"


def test_child_reads_the_same_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    machine = Machine.from_environment({"GEOPORTAL_STATE": "mine", "GEOPORTAL_PORT": "8123"})
    assert machine.state == tmp_path / "mine"
    monkeypatch.chdir("/")
    assert Machine.from_environment(machine.environment) == machine
