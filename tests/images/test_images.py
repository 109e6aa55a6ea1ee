"""What every image must hold and do; an image inherits the tests of the one it is built from.

Classes mirror the stages of images/Dockerfile, whose names they carry; test_recipe.py sees to it.
"""

import json
import re
import tomllib
from typing import ClassVar

import pytest
import requests
from websocket import create_connection

from tests.images.engine import image_of
from tests.images.recipe import PINS, ROOT, normal

OURS = "landcover-geoportal"
FROM_THE_BASE_IMAGE = {"pip", "setuptools", "wheel"}

RUN_A_FOREST = """
import numpy as np
from landcover.models.methods import random_forest
from landcover.models.forest.kernel_c import library
from landcover.models.training_set import TrainingSet
from sklearn.datasets import make_blobs

assert library() is not None, "the C kernel is missing"
pixels, codes = make_blobs(300, 4, centers=3, random_state=1)
samples = TrainingSet.of_pixels(pixels.astype("f4"), (codes + 1).astype("u1"))
forest = random_forest.fit(samples, random_forest.Options(), seed=1)
found, _ = forest.classify(pixels.T.reshape(4, 15, 20), np.ones((15, 20), bool))
print((found.ravel() == codes + 1).mean())
"""
WHICH_TORCH = """
from importlib.util import find_spec
if find_spec("torch") is None:
    print("none")
else:
    import torch
    print("cpu" if torch.version.cuda is None else "cuda")
"""


class Base:
    """Python, the library's requirements and the user."""

    stage: ClassVar = "base"
    name: ClassVar[str]
    writable: ClassVar[tuple[str, ...]] = ()

    def test_user_is_the_one_of_the_storage(self, image, box):
        assert image.config["User"] == "1000:100"  # numbers: runAsNonRoot can be checked
        assert (box.run("id", "-u"), box.run("id", "-G")) == ("1000", "100")

    def test_first_process_passes_signals_on(self, box):
        assert box.run("cat", "/proc/1/comm") == "tini"

    def test_no_file_makes_its_caller_another_user(self, image):
        assert image.find("-type", "f", "-perm", "/6000") == []

    def test_user_may_write_nothing_but_home_and_temporary_files(self, image):
        writable = ("(", "-user", "1000", "-o", "-group", "100", "-o", "-perm", "-o+w", ")")
        found = image.find("!", "-type", "l", "!", "-type", "c", *writable)
        places = ("/home/jovyan", "/tmp", "/var/tmp", "/run/lock", *self.writable)
        assert [path for path in found if not path.startswith(places)] == []

    def test_no_compiler_is_left(self, box):
        tools = ("cc", "gcc", "g++", "c++", "clang", "ld", "as", "make")
        paths = box.python(f"import shutil; print([t for t in {tools} if shutil.which(t)])")
        assert paths == "[]"

    def test_nothing_of_the_installing_is_left(self, image):
        left = re.compile(r"/(root/\.cache|var/lib/apt/lists|var/cache/apt|tmp|wheels|source)/.")
        assert [path for path in image.find("-type", "f", "-size", "+0") if left.match(path)] == []

    def test_labels_tell_what_it_is(self, image):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        labels = {
            key.removeprefix("org.opencontainers.image."): value
            for key, value in image.config["Labels"].items()
        }
        assert labels["version"] == project["version"]
        assert labels["licenses"] == project["license"]
        assert labels["title"] == f"geoportal {self.stage}"

    def test_it_says_whether_it_is_healthy(self, image):
        assert image.config["Healthcheck"]["Test"][:2] == ["CMD", "python"]

    def test_versions_are_those_of_the_constraints(self, box):
        listed = json.loads(box.run("python", "-m", "pip", "list", "--format=json"))
        found = {normal(each["name"]): each["version"] for each in listed}
        others = {
            package: version
            for package, version in found.items()
            if package not in FROM_THE_BASE_IMAGE | {OURS}
            # torch's build for processors has a local version, 2.13.0+cpu
            and PINS.get(package) != version.partition("+")[0]
        }
        assert others == {}
        assert OURS in found

    def test_packages_agree_with_one_another(self, box):
        assert box.run("python", "-m", "pip", "check") == "No broken requirements found."

    def test_forest_is_trained_and_run_by_the_c_kernel(self, box):
        assert float(box.python(RUN_A_FOREST)) > 0.95


class TestHub(Base):
    """The hub, started with its own settings for one machine."""

    stage = name = "hub"
    writable = ("/srv/jupyterhub",)

    def test_configuration_of_the_chart_finds_ours(self, box):
        assert box.python("from hub.settings import configure; print(configure.__name__)")

    def test_what_z2jh_needs_is_there(self, box):
        imports = "import pycurl, jupyterhub_idle_culler, kubespawner, oauthenticator"
        assert box.python(f"{imports}, tornado.curl_httpclient; print('all')") == "all"

    def test_version_is_the_one_of_users_servers(self, box):
        assert box.run("jupyterhub", "--version") == PINS["jupyterhub"]

    def test_state_is_writable(self, image):
        with image.started("sleep", "infinity") as container:
            assert container.run("stat", "--format=%u:%g %a", "/srv/jupyterhub") == "1000:100 755"

    def test_hub_answers(self, running_hub):
        hub, _ = running_hub
        assert hub.health() == "healthy", hub.logs()
        answer = requests.get(f"{hub.address(8081)}/hub/api/", timeout=30)
        assert answer.json() == {"version": PINS["jupyterhub"]}


class Torch(Base):
    """Users' servers and jobs: with torch, if the image is one of those."""

    stage = "torch"
    torch: ClassVar = "none"

    def test_torch_is_the_one_that_was_asked_for(self, box):
        assert box.python(WHICH_TORCH) == self.torch


class Cuda:
    """What a CUDA image has besides; none of it needs a GPU."""

    torch: ClassVar = "cuda"

    def test_cuda_of_torch_is_the_one_that_the_libraries_are_of(self, box):
        cuda = box.python("import torch; print(torch.version.cuda)")
        assert PINS["nvidia-cuda-runtime"].startswith(f"{cuda}.")

    def test_torch_computes_on_processors_where_no_gpu_is(self, box):
        assert box.python("import torch; print(float(torch.ones(3).sum()))") == "3.0"


class TestWps(Torch):
    """The service, and what jobs are run with."""

    stage = name = "wps"

    def test_service_is_healthy_and_lets_nobody_in(self, service):
        assert service.health() == "healthy", service.logs()
        wps = f"{service.address(8000)}/services/wps/"
        assert requests.get(f"{wps}health", timeout=30).status_code == 200
        query = {"service": "WPS", "request": "GetCapabilities"}
        assert requests.get(wps, params=query, timeout=30).status_code == 401

    def test_command_line_of_the_library_is_there(self, box):
        assert "classify-scene" in box.run("landcover", "--help")


class TestNotebook(Torch):
    """A user's server: against a real hub, and with a cell in each language."""

    stage = name = "notebook"

    def test_version_is_the_one_of_the_hub(self, box):
        assert box.run("jupyterhub-singleuser", "--version") == PINS["jupyterhub"]

    def test_map_is_there(self, box):
        assert box.python("import sample_map; print(sample_map.SampleMap.__name__)") == "SampleMap"

    def test_course_is_there(self, box):
        files = {path.name for path in (ROOT / "notebooks").glob("*.[pR]*")}
        assert set(box.run("ls", "/opt/geoportal/course").split()) == files

    def test_git_is_there(self, box):
        assert box.run("git", "--version").startswith("git version 2")

    def test_stranger_is_kept_out(self, server):
        url, _ = server
        assert requests.get(f"{url}/api/kernels", timeout=30).status_code == 403

    def test_course_lies_in_the_new_home(self, server):
        url, session = server
        listed = session.get(f"{url}/api/contents/course").json()["content"]
        pages = {f"{path.stem}.ipynb" for path in (ROOT / "notebooks").glob("[0-9]*.[pR]*")}
        assert {page["name"] for page in listed} == {*pages, "geoportal.R"}

    def test_jupyterlab_offers_python_and_r(self, server):
        url, session = server
        offered = session.get(f"{url}/api/kernelspecs").json()
        languages = {
            name: each["spec"]["language"] for name, each in offered["kernelspecs"].items()
        }
        assert (offered["default"], languages) == ("python3", {"python3": "python", "ir": "R"})

    @pytest.mark.parametrize(
        ("kernel", "cell"),
        [
            ("python3", "print(6 * 7)"),
            ("ir", "cat(6 * 7)"),
            (
                "ir",
                "library(httr2); library(terra, quietly = TRUE); source('course/geoportal.R'); "
                "cat(42 * is.function(geoportal_run))",
            ),
        ],
    )
    def test_cell_runs(self, server, kernel, cell):
        assert run_cell(*server, kernel, cell).strip() == "42"

    def test_map_and_library_are_there_in_a_cell(self, server):
        cell = "from sample_map import SampleMap; import landcover; print('both')"
        assert run_cell(*server, "python3", cell).strip() == "both"


def run_cell(url, session, kernel, cell):
    """Return what a cell prints, run as JupyterLab does: kernel by REST, cell by WebSocket."""
    made = session.post(f"{url}/api/kernels", json={"name": kernel})
    made.raise_for_status()
    kernels = f"{url}/api/kernels/{made.json()['id']}"
    channel = create_connection(
        f"{kernels.replace('http', 'ws', 1)}/channels",
        header=[f"Authorization: {session.headers['Authorization']}"],
        timeout=60,
    )
    header = {"msg_id": "1", "msg_type": "execute_request", "username": "", "session": "1",
              "date": "2026-01-01T00:00:00Z", "version": "5.4"}  # fmt: skip
    content = {"code": cell, "silent": False, "store_history": False, "user_expressions": {},
               "allow_stdin": False, "stop_on_error": True}  # fmt: skip
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content,
               "channel": "shell", "buffers": []}  # fmt: skip
    try:
        channel.send(json.dumps(message))
        return printed(channel)
    finally:
        channel.close()
        session.delete(kernels).raise_for_status()


def printed(channel):
    """Return what the kernel writes until it is idle again after our message."""
    text = ""
    while True:
        answer = json.loads(channel.recv())
        if answer["parent_header"].get("msg_id") != "1":
            continue
        content = answer["content"]
        if answer["msg_type"] == "stream":
            text += content["text"]
        elif answer["msg_type"] == "error":
            text += f"{content['ename']}: {content['evalue']}"
        elif answer["msg_type"] == "status" and content["execution_state"] == "idle":
            return text


class TestWpsCuda(Cuda, TestWps):
    """The image of jobs on a GPU."""

    name = "wps-cuda"


class TestNotebookCuda(Cuda, TestNotebook):
    """The server of users on a GPU."""

    name = "notebook-cuda"


@pytest.mark.parametrize("name", ["hub", "wps", "notebook"])
def test_image_ends_when_it_is_told_to(name):
    with image_of(name).started(
        "sleep", "infinity", options=["--stop-signal=SIGTERM"]
    ) as container:
        assert container.stop() == 143
