"""The look into an image: the script in a real shell, and its sentence in a pod's status."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jupyterhub
import pytest
from kubernetes_asyncio.client import V1Container, V1EnvVar, V1ResourceRequirements

from hub.kubernetes import entry_check
from hub.kubernetes.diagnosis import Surroundings, diagnose

# what the driver's library says when it is asked: CUDA 12.8
LIBCUDA = "int cuDriverGetVersion(int *version) { *version = 12080; return 0; }"


class Image:
    """A foreign image: what stands in its folder is all that there is."""

    def __init__(self, root):
        self.root = root
        self.programs = root / "bin"
        self.home = root / "home"
        self.python_path = root / "packages"
        for folder in (self.programs, self.home, self.python_path):
            folder.mkdir()
        self.programs.joinpath("id").symlink_to(shutil.which("id"))

    def add(self, program, *lines):
        file = self.programs / program
        file.write_text("\n".join(["#!/bin/sh", *lines]))
        file.chmod(0o755)

    def add_server(self, version="5.5.4"):
        self.add("jupyterhub-singleuser", f"echo {version}")
        self.add("jupyter-lab")

    def add_python(self):
        # -S: whether torch is there is for the test to say
        self.add("python3", f'exec {sys.executable} -S "$@"')

    def add_torch(self, cuda):
        package = self.python_path / "torch"
        package.mkdir()
        (package / "__init__.py").write_text("raise SystemExit('imported')")
        lines = ["__version__ = '2.9.0'", "debug = False", f"cuda: Optional[str] = {cuda!r}"]
        (package / "version.py").write_text("\n".join([*lines, "hip = None"]))

    def add_driver(self):
        (self.root / "driver.c").write_text(LIBCUDA)
        library = ["-shared", "-o", self.root / "libcuda.so.1", self.root / "driver.c"]
        subprocess.run(["cc", *library], check=True)

    def enter(self, gpus=0, **variables):
        """Run the init container's command; return whether it passed, and its sentence."""
        container = entry_check.container(V1Container(name="notebook"), gpus, str(self.home))
        message = self.root / "message"
        arguments = [message if a == "/dev/termination-log" else a for a in container.args]
        environment = {each.name: each.value for each in container.env}
        environment |= {"PATH": str(self.programs), "PYTHONPATH": str(self.python_path)}
        environment |= {"LD_LIBRARY_PATH": str(self.root)} | variables
        done = subprocess.run([*container.command, *arguments], env=environment, check=False)
        return done.returncode == 0, message.read_text()


@pytest.fixture
def image(tmp_path):
    return Image(tmp_path)


needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="makes a library in C")


def test_image_of_ours_passes(image):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    passed, sentence = image.enter(PATH=path)
    assert (passed, sentence) == (True, f"The image has JupyterHub {jupyterhub.__version__}.")


def test_image_without_server_is_told_what_to_add(image):
    passed, sentence = image.enter()
    assert not passed
    series = jupyterhub.__version__.rpartition(".")[0]
    assert "no jupyterhub-singleuser" in sentence
    assert f"pip install 'jupyterhub=={series}.*' jupyterlab" in sentence


def test_server_that_does_not_start_is_told(image):
    image.add_server()
    image.add("jupyterhub-singleuser", "exit 3")
    passed, sentence = image.enter()
    assert not passed
    assert "jupyterhub-singleuser does not start" in sentence


@pytest.mark.parametrize("version", ["4.1.6", "6.0.0", "55.0", "nonsense"])
def test_server_of_another_major_version_is_told(image, version):
    image.add_server(version)
    passed, sentence = image.enter()
    assert not passed
    assert f"The image has JupyterHub {version}, and the hub needs 5" in sentence


def test_older_server_of_the_same_major_version_will_do(image):
    image.add_server()
    image.add("jupyterhub-singleuser", "echo a warning", "echo 5.0.0")
    assert image.enter() == (True, "The image has JupyterHub 5.0.0.")


def test_image_without_jupyterlab_is_told(image):
    image.add("jupyterhub-singleuser", "echo 5.5.4")
    passed, sentence = image.enter()
    assert not passed
    assert "no JupyterLab: add pip install jupyterlab" in sentence


def test_home_that_cannot_be_written_is_told(image):
    image.add_server()
    image.home.rmdir()
    passed, sentence = image.enter()
    assert not passed
    assert f"{image.home} cannot be written by {os.getuid()}:{os.getgid()}" in sentence


def test_gpu_without_a_driver_is_told(image):
    image.add_server()
    image.add_python()
    passed, sentence = image.enter(gpus=1, NVIDIA_DRIVER_CAPABILITIES="utility")
    assert not passed
    assert "no NVIDIA driver (NVIDIA_DRIVER_CAPABILITIES is utility, and compute" in sentence


def test_gpu_profile_needs_python(image):
    image.add_server()
    passed, sentence = image.enter(gpus=1)
    assert not passed
    assert "no python3 that runs" in sentence


@needs_compiler
@pytest.mark.parametrize(
    ("torch", "passes", "sentence"),
    [
        ("12.4", True, "torch for CUDA 12.4; the driver goes up to CUDA 12.8."),
        ("12.9", True, "torch for CUDA 12.9; the driver goes up to CUDA 12.8."),
        ("11.8", True, "torch for CUDA 11.8; the driver goes up to CUDA 12.8."),
        ("13.0", False, "built for CUDA 13.0, and the node's driver goes up to CUDA 12.8: take"),
        (None, True, "torch is built for processors only and leaves the GPU idle."),
    ],
)
def test_torch_is_compared_with_the_driver(image, torch, passes, sentence):
    image.add_server()
    image.add_python()
    image.add_driver()
    image.add_torch(torch)
    passed, said = image.enter(gpus=1)
    assert passed is passes
    assert sentence in said


@needs_compiler
def test_image_without_torch_may_have_a_gpu(image):
    image.add_server()
    image.add_python()
    image.add_driver()
    passed, said = image.enter(gpus=1)
    assert passed
    assert "no torch; the driver goes up to CUDA 12.8." in said


def test_server_is_started_in_the_place_of_the_shell(image):
    image.add("server", "echo $$ $1")
    command = [*entry_check.START, "server", "a b"]
    process = subprocess.Popen(
        command, env={"PATH": str(image.programs)}, stdout=subprocess.PIPE, text=True
    )
    assert process.communicate()[0] == f"{process.pid} a b\n"


def test_server_has_a_tini_above_it_where_there_is_one(image):
    image.add("tini", 'echo tini "$@"')
    command = [*entry_check.START, "server", "--flag"]
    done = subprocess.run(
        command, env={"PATH": str(image.programs)}, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout == "tini -g -- server --flag\n"


def test_check_runs_as_the_server_will_and_without_its_secrets():
    server = V1Container(
        name="notebook",
        image="geo@sha256:1",
        args=["jupyterhub-singleuser"],
        env=[V1EnvVar(name="JUPYTERHUB_API_TOKEN", value="secret")],
        resources=V1ResourceRequirements(limits={"nvidia.com/gpu": "1"}),
        security_context=object(),
        volume_mounts=[object()],
    )
    container = entry_check.container(server, 1, "/home/jovyan")
    for same in ("image", "resources", "security_context", "volume_mounts"):
        assert getattr(container, same) is getattr(server, same)
    assert container.env == [V1EnvVar(name="HOME", value="/home/jovyan")]
    assert "secret" not in str(container)


def test_kubernetes_changes_nothing_in_the_script():
    """In arguments $$ is an escape, and $(NAME) is a variable of the container if there is one."""
    script = entry_check.container(V1Container(name="notebook"), 0, "/").args[0]
    assert "$$" not in script
    assert "$(HOME)" not in script


def pod(**status):
    return {"status": {"initContainerStatuses": [{"name": "entry-check"} | status]}}


@pytest.mark.parametrize(
    "early",
    [{}, {"status": {}}, {"status": {"initContainerStatuses": None}}, pod(), pod(state={}),
     pod(state={"waiting": {"reason": "PodInitializing"}}, lastState={}),
     {"status": {"initContainerStatuses": [{"name": "other"}]}}],
)  # fmt: skip
def test_no_verdict_before_the_check_has_ended(early):
    assert entry_check.verdict(early) is None


def test_verdict_is_the_sentence_of_the_check():
    ended = {"terminated": {"exitCode": 0, "message": "All\nis \x1b[31mwell.\u202e"}}
    verdict = entry_check.verdict(pod(state=ended))
    assert verdict == entry_check.Verdict(True, "All is [31mwell.")


@pytest.mark.parametrize("which", ["state", "lastState"])
def test_failed_check_is_a_refusal(which):
    ended = {which: {"terminated": {"exitCode": 1, "reason": "Error", "message": "No lab."}}}
    assert entry_check.verdict(pod(**ended)) == entry_check.Verdict(False, "No lab.")


def test_check_that_was_killed_says_why():
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    sentence = entry_check.verdict(pod(state=ended)).sentence
    assert "more memory than the profile gives: choose one with more memory." in sentence


def test_check_that_ends_without_a_word_is_told_with_its_code():
    ended = {"terminated": {"exitCode": 137, "reason": "Error"}}
    verdict = entry_check.verdict(pod(state=ended))
    assert not verdict.passed
    assert "(Error, exit code 137): start again; if it happens again" in verdict.sentence


def test_image_without_a_shell_is_told():
    ended = {"terminated": {"exitCode": 128, "reason": "StartError", "message": "no such file"}}
    verdict = entry_check.verdict(pod(state=ended))
    assert not verdict.passed
    assert "no /bin/sh that runs (no such file): take one with a shell" in verdict.sentence
    assert "FROM geoportal/notebook" in verdict.sentence


def started(**status):
    """A pod whose server's container is on its way."""
    ready = [{"type": "ContainersReady", "status": "True"}]
    return {
        "metadata": {"name": "jupyter-anna"},
        "spec": {"containers": []},
        "status": pod(**status)["status"] | {"phase": "Pending", "conditions": ready},
    }


def test_start_ends_with_the_sentence_of_a_check_that_fails():
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "No lab."}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    for status in ({"state": ended}, {"state": waiting, "lastState": ended}):
        finding = diagnose(started(**status), Surroundings())
        assert (finding.sentence, finding.is_final) == ("No lab.", True)


def test_sentence_of_a_check_that_passes_stands_on_the_page_of_the_start():
    ended = {"terminated": {"exitCode": 0, "message": "The image has JupyterHub 5.5.4."}}
    finding = diagnose(started(state=ended), Surroundings())
    assert finding.sentence.startswith("The image has JupyterHub 5.5.4. The server has started")
    assert not finding.is_final
