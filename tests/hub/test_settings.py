"""Settings: a mistake is named with its place, and every kind sets its traits."""

from pathlib import Path

import pytest
from traitlets.config import Config

from hub.settings import Settings, load
from portal.errors import SettingsError

LOCAL = {"authenticator": {"kind": "shared-password"}, "spawner": {"kind": "local"}}
PROFILE = "{slug: cpu, title: CPU, image: geo:1, cores: 2, memory: 8G"


@pytest.fixture
def written(tmp_path):
    """Write settings below two sound lines; return the file."""

    def write(more: str) -> Path:
        path = tmp_path / "settings.yaml"
        sound = "authenticator: {kind: shared-password}\nspawner: {kind: local}\n"
        path.write_text(sound + more)
        return path

    return write


def test_shipped_settings_are_sound():
    shipped = load(Path(__file__).parents[2] / "hub" / "local.yaml")
    assert shipped.authenticator.kind == "shared-password"
    assert shipped.spawner.kind == "local"
    assert shipped.wps.sync_seconds == 60


@pytest.mark.parametrize(
    ("more", "place"),
    [
        (f"profiles:\n- {PROFILE}, gpu: 1}}\n", "profiles.0.gpu: Extra inputs"),
        (f"profiles:\n- {PROFILE}}}\n- {PROFILE}}}\n", "profiles: Value error, two profiles"),
        (f"profiles:\n- {PROFILE}B}}\n", "profiles.0.memory: String should match"),
        (f"profiles:\n- {PROFILE}, gpus: [0, -1]}}\n", "profiles.0.gpus.1: Input should be"),
        (f"profiles:\n- {PROFILE}, gpus: []}}\n", "profiles.0.gpus: Value should have"),
        (f"profiles:\n- {PROFILE}, gpus: [0, 0]}}\n", "profiles.0.gpus: Value error, the same"),
        (
            f"profiles:\n- {PROFILE}, tolerations: [{{key: gpu, efect: NoSchedule}}]}}\n",
            "profiles.0.tolerations.0.efect: Extra inputs",
        ),
        ("wps: {sync_secs: 3}\n", "wps.sync_secs: Extra inputs"),
        ("wps: {jobs_at_once: 0}\n", "wps.jobs_at_once: Input should be greater than 0"),
        ("profile: []\n", "profile: Extra inputs"),
        (f"profiles:\n- {PROFILE}, own_image: true}}\n", "the file: Value error, the profile "),
        (
            "own_images: {registries: [{name: 'https://ghcr.io'}]}\n",
            "own_images.registries.0.name: Value error, https://ghcr.io is no registry",
        ),
    ],
)
def test_mistake_is_named_by_its_place(written, more, place):
    path = written(more)
    with pytest.raises(SettingsError) as refusal:
        load(path)
    assert str(refusal.value).startswith(f"{path}: {place}")


def test_mistake_inside_a_kind_is_named_as_it_stands_in_the_file(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("authenticator: {kind: shared-password}\nspawner: {kind: local, claim: x}\n")
    with pytest.raises(SettingsError, match=r"settings\.yaml: spawner\.claim: Extra inputs"):
        load(path)


@pytest.mark.parametrize("content", ["", "- a\n", "a: [\n", "\x00"])
def test_file_that_holds_no_settings_is_refused(tmp_path, content):
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"settings\.yaml"):
        load(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.yaml cannot be read"):
        load(tmp_path / "nowhere.yaml")


def test_settings_are_frozen():
    settings = Settings.model_validate(LOCAL)
    with pytest.raises(ValueError, match="frozen"):
        settings.profiles = ()


def test_one_bad_profile_never_stops_the_hub(monkeypatch, tmp_path):
    monkeypatch.setenv("GEOPORTAL_STATE", str(tmp_path))
    c = Config()
    Settings.model_validate(LOCAL).configure(c)
    assert c.Spawner.consecutive_failure_limit == 0


def test_configuring_twice_is_configuring_once(monkeypatch, tmp_path):
    monkeypatch.setenv("GEOPORTAL_STATE", str(tmp_path))
    c = Config()
    settings = Settings.model_validate(LOCAL)
    settings.configure(c)
    settings.configure(c)
    assert len(c.JupyterHub.services) == 1
    assert [role["name"] for role in c.JupyterHub.load_roles] == ["user", "server", "wps"]
