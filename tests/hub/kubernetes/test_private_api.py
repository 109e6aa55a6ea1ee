"""KubeSpawner's private methods are still what the pod spawner takes them for."""

import ast
import inspect
from importlib.metadata import version

import pytest
from kubespawner import KubeSpawner
from packaging.version import Version

from hub.kubernetes import spawner
from hub.kubernetes.private_api import CALLED, OVERRIDDEN, TRIED_WITH
from hub.kubernetes.spawner import PodSpawner


@pytest.mark.parametrize(("name", "parameters"), [*OVERRIDDEN.items(), *CALLED.items()])
def test_kubespawner_has_the_method_with_these_parameters(name, parameters):
    assert tuple(inspect.signature(getattr(KubeSpawner, name)).parameters) == ("self", *parameters)


def test_all_private_methods_that_are_used_are_listed():
    tree = ast.parse(inspect.getsource(spawner))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)}
    private = {
        name
        for name in vars(KubeSpawner)
        if name.startswith("_") and not name.startswith("__") and callable(vars(KubeSpawner)[name])
    }
    assert used & private == {*OVERRIDDEN, *CALLED}
    assert {name for name in private if name in vars(PodSpawner)} == {*OVERRIDDEN}


def test_the_installed_version_was_tried():
    installed, tried = Version(version("jupyterhub-kubespawner")), Version(TRIED_WITH)
    assert installed.release[:2] <= tried.release[:2], "read the methods of private_api.py anew"
