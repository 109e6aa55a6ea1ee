"""Profiles: what is promised is given, and a mistake is refused before anybody starts one."""

import pytest

from hub.profiles import Profile

CPU = {"slug": "cpu", "title": "CPU", "image": "geo:1", "cores": 2, "memory": "8G"}


def test_promised_is_what_is_given():
    override = Profile(**CPU).entry["kubespawner_override"]
    assert override["cpu_guarantee"] == override["cpu_limit"] == 2
    assert override["mem_guarantee"] == override["mem_limit"] == "8G"
    assert override["extra_resource_limits"] == {}


@pytest.mark.parametrize(
    "wrong", [{"slug": "GPU 1"}, {"memory": "8"}, {"cores": 0}, {"gpus": -1}, {"image": ""}]
)
def test_mistake_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Profile(**CPU | wrong)
