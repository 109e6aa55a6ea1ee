"""Profiles: what is promised is given, and a mistake is refused before anybody starts one."""

from types import SimpleNamespace

import pytest

from hub.kubernetes.profiles import NotOffered, Profile, check_choice, offered

CPU = {"slug": "cpu", "title": "CPU", "image": "geo:1", "cores": 2, "memory": "8G"}
CHOICES = CPU | {"slug": "more", "cores": [2, 4, 0.5], "memory": ["8G", "16G"], "gpus": [0, 1]}


def server_of(*groups):
    return SimpleNamespace(
        user=SimpleNamespace(groups=[SimpleNamespace(name=name) for name in groups])
    )


def test_promised_is_what_is_given():
    override = Profile(**CPU).entry["kubespawner_override"]
    assert override["cpu_guarantee"] == override["cpu_limit"] == 2
    assert override["mem_guarantee"] == override["mem_limit"] == "8G"
    assert override["extra_resource_limits"] == {}


def test_one_value_leaves_nothing_to_choose():
    assert Profile(**CPU).entry["profile_options"] == {}


def test_of_several_values_the_first_is_chosen_unless_the_user_does():
    options = Profile(**CHOICES).entry["profile_options"]
    assert {name: list(option["choices"]) for name, option in options.items()} == {
        "cores": ["2", "4", "0.5"],
        "memory": ["8G", "16G"],
        "gpus": ["0", "1"],
    }
    defaults = [name for name, c in options["cores"]["choices"].items() if c["default"]]
    assert defaults == ["2"]
    gpu = options["gpus"]["choices"]["1"]["kubespawner_override"]
    assert gpu == {"extra_resource_limits": {"nvidia.com/gpu": "1"}}


def test_place_is_said_in_the_words_of_kubernetes_and_else_left_to_the_chart():
    assert "tolerations" not in Profile(**CPU).entry["kubespawner_override"]
    term = {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["a100"]}]}
    place = {
        "node_selector": {"pool": "gpu"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"required": [term], "preferred": [{"weight": 5, "preference": term}]},
    }
    override = Profile(**CPU | place).entry["kubespawner_override"]
    assert override["node_selector"] == {"pool": "gpu"}
    assert override["tolerations"] == place["tolerations"]
    assert override["node_affinity_required"] == [term]
    assert override["node_affinity_preferred"] == [{"weight": 5, "preference": term}]


@pytest.mark.parametrize(
    "wrong",
    [
        {"slug": "GPU 1"},
        {"memory": "8"},
        {"memory": ["8G", "8"]},
        {"memory": "0G"},
        {"memory": []},
        {"cores": 0},
        {"cores": [1, 1]},
        {"gpus": -1},
        {"gpus": 0.5},
        {"image": ""},
        {"groups": "lab"},
        {"node_selector": {"pool": 1}},
        {"tolerations": [{"key": "gpu", "operator": "Exists", "value": "x"}]},
        {"tolerations": [{"operator": "Equal"}]},
        {"tolerations": [{"key": "gpu", "effect": "Never"}]},
        {"affinity": {"required": [{"matchExpressions": []}]}},
        {"affinity": {"required": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}},
        {"affinity": {"preferred": [{"weight": 0, "preference": {"matchExpressions": []}}]}},
    ],
)
def test_mistake_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Profile(**CPU | wrong)


@pytest.mark.parametrize(
    ("groups", "slugs"), [((), ["all"]), (("lab",), ["all", "lab"]), (("Lab", "x"), ["all"])]
)
def test_profile_of_a_group_is_offered_to_its_members(groups, slugs):
    profiles = [
        Profile(**CPU | {"slug": "all"}),
        Profile(**CPU | {"slug": "lab", "groups": ["lab"]}),
    ]
    assert [entry["slug"] for entry in offered(profiles, server_of(*groups))] == slugs


def test_who_is_offered_nothing_is_told_so_and_gets_no_server_of_another_kind():
    profiles = [Profile(**CPU | {"groups": ["lab"]})]
    with pytest.raises(NotOffered, match="No server is offered to you"):
        offered(profiles, server_of("others"))
    assert offered([], server_of()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"profile": "lab"}, "'lab' is not offered to you; there is more"),
        ({"profile": ["more"]}, "not offered"),
        ({"profile": "more", "cores": "64"}, "'64' is no choice for cores"),
        ({"profile": "more", "memory": {"8G": 1}}, "no choice for memory"),
        ({"profile": "more", "gpus--unlisted-choice": "8"}, "no free choice of gpus"),
    ],
)
def test_forged_choice_is_refused(options, words):
    with pytest.raises(NotOffered, match=words) as refusal:
        check_choice([Profile(**CHOICES).entry], options)
    assert refusal.value.status_code == 403


@pytest.mark.parametrize("options", [{}, {"profile": "more"}, {"profile": "more", "cores": "4"}])
def test_choice_of_the_page_is_accepted(options):
    check_choice([Profile(**CHOICES).entry], options)


OWN = CPU | {"slug": "own", "own_image": True}


def test_own_image_is_a_field_beside_the_image_of_the_profile():
    image = Profile(**OWN).entry["profile_options"]["image"]
    assert [c["default"] for c in image["choices"].values()] == [True]
    assert image["unlisted_choice"]["kubespawner_override"] == {"own_image": "{value}"}
    assert Profile(**OWN).entry["kubespawner_override"]["image"] == "geo:1"


def test_own_image_is_named_only_where_it_is_offered():
    entries = offered([Profile(**OWN), Profile(**CPU), Profile(**CHOICES)], server_of())
    named = {"image--unlisted-choice": "ghcr.io/team/image"}
    check_choice(entries, {"profile": "own"} | named)
    check_choice(entries, {"profile": "own", "image": "offered"})
    with pytest.raises(NotOffered, match="no choice for image"):
        check_choice(entries, {"profile": "own", "image": "ghcr.io/team/image"})
    with pytest.raises(NotOffered, match="leaves no free choice of cores"):
        check_choice(entries, {"profile": "more", "cores--unlisted-choice": "64"})


def test_image_of_the_last_try_is_forgotten():
    assert Profile(**CPU).entry["kubespawner_override"]["own_image"] == ""


def test_no_profile_is_the_first_and_its_choices_hold():
    entries = [Profile(**CHOICES).entry]
    check_choice(entries, {"cores": "4"})
    with pytest.raises(NotOffered, match="free choice"):
        check_choice(entries, {"cores--unlisted-choice": "x", "memory--unlisted-choice": "x"})
