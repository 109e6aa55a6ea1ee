"""Images and containers, by the command line of docker or of an engine that speaks like it.

GEOPORTAL_TEST_IMAGES says where the images are, as geoportal/{}:0.1.0 with {} for an image's name;
`make test-images` sets it. GEOPORTAL_ENGINE names another command than docker.
"""

import json
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

WHERE = "GEOPORTAL_TEST_IMAGES"
COMMAND = (os.environ.get("GEOPORTAL_ENGINE", "docker"),)
SECONDS = 180
# what a cluster's pods get: nothing may be written but to /tmp and to what is mounted
LOCKED = ("--read-only", "--tmpfs=/tmp:mode=1777", "--cap-drop=ALL",
          "--security-opt=no-new-privileges")  # fmt: skip
# a new volume, empty, as a cluster mounts it: it belongs to root and to the group of the storage
HOME = (
    "--mount=type=volume,dst=/home/jovyan,volume-nocopy,volume-opt=type=tmpfs,"
    'volume-opt=device=tmpfs,"volume-opt=o=uid=0,gid=100,mode=2770"'
)


def engine(*arguments, **options):
    """Return what the engine's command says; its failure is the test's."""
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=SECONDS, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Image:
    """An image that is here."""

    reference: str

    @property
    def config(self):
        """What the image says of itself: user, labels, health check."""
        return json.loads(engine("image", "inspect", self.reference))[0]["Config"]

    def find(self, *expression):
        """Return the paths that find lists in this image, as root and without any mount."""
        command = ["run", "--rm", "--user=0", "--network=none", "--entrypoint=find"]
        paths = engine(*command, self.reference, "/", "-xdev", *expression)
        return paths.splitlines()

    @contextmanager
    def started(self, *command, options=()):
        """A container of this image, removed at the end."""
        id_ = engine("run", "--detach", *LOCKED, *options, self.reference, *command)
        try:
            yield Container(id_)
        finally:
            engine("rm", "--force", "--volumes", id_)


@dataclass(frozen=True)
class Container:
    """A container that runs."""

    id: str

    def run(self, *command, stdin=None):
        """Return what a command says in this container."""
        interactive = ["--interactive"] if stdin is not None else []
        return engine("exec", *interactive, self.id, *command, input=stdin)

    def python(self, program):
        """Return what a program in Python prints in this container."""
        return self.run("python", "-", stdin=program)

    def address(self, port):
        """Return the loopback address at which this machine reaches a published port."""
        return f"http://{engine('port', self.id, port).splitlines()[0]}"

    @property
    def state(self):
        """How it is: Status, ExitCode, Health."""
        return json.loads(engine("inspect", self.id))[0]["State"]

    def health(self):
        """Wait until it is healthy or has ended; return which: healthy or die."""
        events = ("events", "--filter", f"container={self.id}", "--since=1h",
                  "--filter=event=health_status", "--filter=event=die",
                  "--format={{.Action}}")  # fmt: skip
        command = [*COMMAND, *events]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as told:
            actions = (line.removeprefix("health_status:").strip() for line in told.stdout)
            said = next(action for action in actions if action in {"healthy", "die"})
            told.terminate()
        return said

    def logs(self):
        """Return the last it has written."""
        command = [*COMMAND, "logs", "--tail=40", self.id]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=True)  # fmt: skip
        return done.stdout

    def stop(self):
        """Ask it to end, and return its exit status; killed after 30 seconds it is 137."""
        engine("stop", "--time=30", self.id)
        return self.state["ExitCode"]


def image_of(name):
    """Return the image of this name; skip the test where there is none."""
    reference = os.environ[WHERE].format(name)
    try:
        engine("image", "inspect", "--format={{.Id}}", reference)
    except FileNotFoundError:
        pytest.skip("there is no container engine here")
    except AssertionError:
        pytest.skip(f"{reference} is not built here")
    return Image(reference)
