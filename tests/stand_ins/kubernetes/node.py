"""The pretended machine: schedules pods, pulls their images, and really runs their programs.

What a container is, is done without privileges, so it differs from a real one:

- its program is a process of this machine and of the user who runs the tests; limits, uid and
  capabilities stand in the pod, and are not enforced;
- its network is one address of 127.0.0.0/8: `0.0.0.0` in its environment and arguments becomes it;
- to one with a GPU a library is given that says what CUDA's driver would, if there is a compiler;
- its files are no mounts. A claim is a folder below `claims/`, and a mount's path is rewritten to
  the folder wherever it stands in the environment, the arguments and HOME. A mount inside another
  mount is a link there, to what the last pod mounted. Read-only is not enforced.
"""

import asyncio
import base64
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from hub.local.processes import marked
from tests.stand_ins.kubernetes.objects import Object, Objects, Refused, now, requests_of

MARK, CLUSTER_MARK = "PRETENDED_POD", "PRETENDED_CLUSTER"
_CHECKOUT = Path(__file__).resolve().parents[3]
_MESSAGE_BYTES = 2048  # of the log, in a container's termination message
_TEMPORARY = "preemption: 0/{n} nodes are available: {n} Preemption is not helpful for scheduling."
_NO_VICTIMS = (
    "preemption: 0/{n} nodes are available: {n} No preemption victims found for incoming pod."
)


@dataclass
class Image:
    """What the pretended registry has under a name.

    Attributes:
        size: bytes.
        pulling: whether a pull goes on and on; set it to False to let it end.
        refused: the registry's words when it does not give the image.
        entrypoint: what runs unless the pod names a command.
        arguments: what it is given unless the pod names a command or arguments.
        environment: the image's variables.
        programs: shell scripts that come first on the PATH, by name.
    """

    size: int = 734_003_200
    pulling: bool = False
    refused: str = ""
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ("sleep", "infinity")
    environment: Mapping[str, str] = field(default_factory=lambda: {"HOME": "/home/jovyan"})
    programs: Mapping[str, str] = field(default_factory=dict)


def not_found(image: str) -> Image:
    """Return what a registry says of an image that it does not have."""
    return Image(refused=f'failed to pull and unpack image "{image}": failed to resolve '
                 f'reference "{image}": {image}: not found')  # fmt: skip


def denied(image: str) -> Image:
    """Return what a registry says of an image that it does not give to everybody."""
    return Image(
        refused=f'failed to pull and unpack image "{image}": failed to resolve reference '
        f'"{image}": pull access denied, repository does not exist or may require authorization: '
        "server message: insufficient_scope: authorization failed"
    )


@dataclass
class Node:
    """A machine of the cluster; change it at any time, and waiting pods are looked at."""

    name: str = "node-1"
    cores: float = 64
    memory: float = 256 * 2**30
    gpus: int = 0
    cuda: tuple[int, int] = (12, 8)  # the version up to which the driver goes
    labels: dict[str, str] = field(default_factory=dict)
    taints: list[dict[str, str]] = field(default_factory=list)
    cordoned: bool = False  # by an administrator: nothing more is placed there
    pulled: dict[str, int] = field(default_factory=dict)

    def why_not(self, pod: Object, taken: Mapping[str, float]) -> list[str]:
        """Return why a pod cannot run here, in the scheduler's words."""
        spec = pod["spec"]
        if self.cordoned:
            return ["node(s) were unschedulable"]
        untolerated = [t for t in self.taints if not _tolerates(spec.get("tolerations") or (), t)]
        if untolerated:
            taint = untolerated[0]
            return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
        has = {"kubernetes.io/hostname": self.name} | self.labels
        if not (spec.get("nodeSelector") or {}).items() <= has.items() or not _affine(spec, has):
            return ["node(s) didn't match Pod's node affinity/selector"]
        there = {"cpu": self.cores, "memory": self.memory, "nvidia.com/gpu": self.gpus}
        return [
            f"Insufficient {name}"
            for name, amount in requests_of(pod).items()
            if amount > there.get(name, 0) - taken.get(name, 0.0)
        ]

    @property
    def spec(self) -> Object:
        return {"unschedulable": True} if self.cordoned else {}

    @property
    def status(self) -> Object:
        amounts = {"cpu": str(self.cores), "memory": str(int(self.memory)), "pods": "110"}
        amounts |= {"nvidia.com/gpu": str(self.gpus)} if self.gpus else {}
        images = [{"names": [name], "sizeBytes": size} for name, size in self.pulled.items()]
        return {"capacity": amounts, "allocatable": amounts, "images": images}


@dataclass
class Running:
    """What the machine does for one pod."""

    task: "asyncio.Task[None] | None" = None
    process: "asyncio.subprocess.Process | None" = None
    killed_as: tuple[str, int] | None = None
    logs: dict[str, list[Path]] = field(default_factory=dict)


class Machine:
    """Scheduler and kubelet of all nodes."""

    def __init__(self, objects: Objects, root: Path, nodes: list[Node]) -> None:
        self.objects, self.root, self.nodes = objects, root, nodes
        self.registry: dict[str, Image] = {}
        self.back_off = 10.0  # seconds before a container that crashed twice is started again
        self._running: dict[str, Running] = {}
        self._address = random.randrange(2**22)  # others may test on this machine

    def look(self) -> None:
        """Place what waits; once a placed pod runs, a task of its own does the rest."""
        for node in self.nodes:
            self._show(node)
        for pod in self.objects.find("pods"):
            uid = pod["metadata"]["uid"]
            if "nodeName" not in pod["spec"] and "deletionTimestamp" not in pod["metadata"]:
                self._place(pod)
            if "nodeName" in pod["spec"] and uid not in self._running:
                running = self._running[uid] = Running()
                running.task = asyncio.create_task(self._run(pod, running))
        for running in self._running.values():
            if running.task and running.task.done() and not running.task.cancelled():
                running.task.result()  # a mistake of ours is to be seen

    def _show(self, node: Node) -> None:
        try:
            kept = self.objects.get("nodes", "", node.name)
        except Refused:
            kept = self.objects.add("nodes", "", {"metadata": {"name": node.name}})
        if (kept.get("status"), kept.get("spec")) != (node.status, node.spec):
            kept |= {"status": node.status, "spec": node.spec}
            kept["metadata"]["labels"] = dict(node.labels)
            self.objects.changed("nodes", kept)

    # --- scheduler

    def _place(self, pod: Object) -> None:
        reason = self._unbound(pod)
        if not reason:
            refusals: Counter[str] = Counter()
            for node in self.nodes:
                why = node.why_not(pod, self._taken(node))
                if not why:
                    return self._bind(pod, node)
                refusals.update(why)
            counted = ", ".join(sorted(f"{n} {why}" for why, n in refusals.items()))
            hint = _NO_VICTIMS if "Insufficient" in counted else _TEMPORARY
            reason = f"{counted}. {hint.format(n=len(self.nodes))}"
        message = f"0/{len(self.nodes)} nodes are available: {reason}"
        if self._condition(pod, "PodScheduled", "False", "Unschedulable", message):
            self.objects.changed("pods", pod)
            # a real cluster folds later warnings into the first, whatever they say
            if not self._has_event(pod, "FailedScheduling"):
                self.event(pod, "Warning", "FailedScheduling", message)
        return None

    def _unbound(self, pod: Object) -> str:
        for volume in pod["spec"].get("volumes") or ():
            if claim := volume.get("persistentVolumeClaim"):
                name, space = claim["claimName"], pod["metadata"]["namespace"]
                try:
                    found = self.objects.get("persistentvolumeclaims", space, name)
                except Refused:
                    return f'persistentvolumeclaim "{name}" not found. {_TEMPORARY.format(n=1)}'
                if found["status"]["phase"] != "Bound":
                    hint = _TEMPORARY.format(n=len(self.nodes))
                    return f"pod has unbound immediate PersistentVolumeClaims. {hint}"
        return ""

    def _taken(self, node: Node) -> dict[str, float]:
        taken: Counter[str] = Counter()
        for pod in self.objects.find("pods"):
            is_over = pod["status"].get("phase") in ("Succeeded", "Failed")
            if pod["spec"].get("nodeName") == node.name and not is_over:
                taken.update(requests_of(pod))  # type: ignore[arg-type]
        return dict(taken)

    def _bind(self, pod: Object, node: Node) -> None:
        pod["spec"]["nodeName"] = node.name
        self._condition(pod, "PodScheduled", "True")
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        self.event(pod, "Normal", "Scheduled", f"Successfully assigned {name} to {node.name}")
        self.objects.changed("pods", pod)

    # --- kubelet

    async def _run(self, pod: Object, running: Running) -> None:
        """Live a pod's life."""
        status = pod["status"]
        status |= {"startTime": now(), "hostIP": "127.0.0.1"}
        await self._volumes_ready(pod)
        folder = self._folder(pod)
        address = self._free_address(pod)
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
        for container in pod["spec"].get("initContainers") or ():
            await self._run_container(pod, container, running, folder, is_init=True)
            if status.get("phase") == "Failed":
                return
        self._condition(pod, "Initialized", "True")
        (container,) = pod["spec"]["containers"]  # more of them are not pretended
        await self._run_container(pod, container, running, folder, is_init=False)

    async def _run_container(
        self, pod: Object, container: Object, running: Running, folder: Path, is_init: bool
    ) -> None:
        """Run a container until it has ended for good."""
        await self._pull(pod, container, is_init)
        await self._secrets_ready(pod, container, is_init)
        restarts, policy = 0, pod["spec"]["restartPolicy"]
        while True:
            began = now()
            code, reason, message = await self._execute(pod, container, running, folder, is_init)
            ended = {"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": now()}
            ended |= {"message": message} if message else {}
            if "deletionTimestamp" in pod["metadata"] or status_is_over(pod):
                return
            is_done = policy == "Never" or (code == 0 and (policy == "OnFailure" or is_init))
            self._container(
                pod, container, is_init, {"terminated": ended}, ready=is_init and not code
            )
            if is_done:
                if code or not is_init:
                    self._end(pod, "Failed" if code else "Succeeded")
                self.objects.changed("pods", pod)
                return
            self.objects.changed("pods", pod)
            await self._back_off(pod, container, is_init, ended, restarts)
            restarts += 1
            self._status_of(pod, container, is_init)["restartCount"] = restarts

    async def _back_off(
        self, pod: Object, container: Object, is_init: bool, ended: Object, restarts: int
    ) -> None:
        last = {"terminated": ended}
        self._status_of(pod, container, is_init)["lastState"] = last
        if not restarts:
            return  # the first time at once
        meta = pod["metadata"]
        words = f"restarting failed container={container['name']} pod={meta['name']}_{meta['namespace']}({meta['uid']})"  # noqa: E501
        waiting = {"reason": "CrashLoopBackOff", "message": f"back-off 10s {words}"}
        self._container(pod, container, is_init, {"waiting": waiting})
        self.event(pod, "Warning", "BackOff", f"Back-off {words}")
        self.objects.changed("pods", pod)
        await asyncio.sleep(self.back_off)

    async def _secrets_ready(self, pod: Object, container: Object, is_init: bool) -> None:
        """Wait for the Secrets that the environment refers to."""
        space = pod["metadata"]["namespace"]
        there = {thing["metadata"]["name"] for thing in self.objects.find("secrets", space)}
        while missing := _secrets_of(container) - there:
            words = f'secret "{min(missing)}" not found'
            waiting = {"reason": "CreateContainerConfigError", "message": words}
            self._container(pod, container, is_init, {"waiting": waiting})
            self.objects.changed("pods", pod)
            await asyncio.sleep(0.05)
            there = {thing["metadata"]["name"] for thing in self.objects.find("secrets", space)}

    async def _volumes_ready(self, pod: Object) -> None:
        """Wait for the Secrets and ConfigMaps that are to be mounted."""
        while missing := self._missing(pod):
            if not self._has_event(pod, "FailedMount"):
                self.event(pod, "Warning", "FailedMount", missing)
            await asyncio.sleep(0.05)

    def _missing(self, pod: Object) -> str:
        space = pod["metadata"]["namespace"]
        for volume in pod["spec"].get("volumes") or ():
            for kind, key, name in (
                ("secret", "secretName", "secrets"),
                ("configMap", "name", "configmaps"),
            ):
                source = volume.get(kind)
                if source and not source.get("optional"):
                    try:
                        self.objects.get(name, space, source[key])
                    except Refused:
                        what = f'{kind.lower()} "{source[key]}" not found'
                        return f'MountVolume.SetUp failed for volume "{volume["name"]}" : {what}'
        return ""

    async def _pull(self, pod: Object, container: Object, is_init: bool) -> None:
        name = container["image"]
        node = next(n for n in self.nodes if n.name == pod["spec"]["nodeName"])
        self._container(pod, container, is_init, {"waiting": {"reason": "ContainerCreating"}})
        self.objects.changed("pods", pod)
        if name in node.pulled and container.get("imagePullPolicy") != "Always":
            text = f'Container image "{name}" already present on machine'
            self.event(pod, "Normal", "Pulled", text)
            return
        began = asyncio.get_running_loop().time()
        self.event(pod, "Normal", "Pulling", f'Pulling image "{name}"')
        while (image := self.image(name)).pulling:
            await asyncio.sleep(0.02)
        if image.refused:
            await self._refuse(pod, container, is_init)
        seconds = f"{asyncio.get_running_loop().time() - began:.3f}s"
        node.pulled[name] = self.image(name).size
        self.event(
            pod,
            "Normal",
            "Pulled",
            f'Successfully pulled image "{name}" in {seconds} ({seconds} including waiting). '
            f"Image size: {self.image(name).size} bytes.",
        )

    async def _refuse(self, pod: Object, container: Object, is_init: bool) -> None:
        """Back off until the registry gives the image."""
        name = container["image"]
        code = "NotFound" if self.image(name).refused.endswith("not found") else "Unknown"
        words = f"rpc error: code = {code} desc = {self.image(name).refused}"
        waiting = {"reason": "ErrImagePull", "message": words}
        self._container(pod, container, is_init, {"waiting": waiting})
        self.event(pod, "Warning", "Failed", f'Failed to pull image "{name}": {words}')
        self.event(pod, "Warning", "Failed", "Error: ErrImagePull")
        self.objects.changed("pods", pod)
        await asyncio.sleep(0.2)
        text = f'Back-off pulling image "{name}": ErrImagePull: {words}'
        waiting = {"reason": "ImagePullBackOff", "message": text}
        self._container(pod, container, is_init, {"waiting": waiting})
        self.event(pod, "Normal", "BackOff", f'Back-off pulling image "{name}"')
        self.event(pod, "Warning", "Failed", "Error: ImagePullBackOff")
        self.objects.changed("pods", pod)
        while self.image(name).refused:
            await asyncio.sleep(0.05)

    def image(self, name: str) -> Image:
        """Return what the registry has; what is not named there is a plain image."""
        return self.registry.get(name) or Image()

    async def _execute(
        self, pod: Object, container: Object, running: Running, folder: Path, is_init: bool
    ) -> tuple[int, str, str]:
        """Run the program once; return exit code, reason and termination message."""
        try:
            mounts = self._mounts(pod, container, folder)
        except NotADirectoryError as error:
            return 128, "StartError", f"failed to create containerd task: {error}: unknown"
        image = self.image(container["image"])
        command = [*(container.get("command") or image.entrypoint)]
        command += container.get("args") or (() if container.get("command") else image.arguments)
        environment = self._environment(pod, container, folder, mounts, image)
        told = folder / f"{container['name']}.termination-log"
        told.write_bytes(b"")
        mounts |= {container.get("terminationMessagePath") or "/dev/termination-log": told}
        folder_in_pod = container.get("workingDir")
        where = Path(_mapped(folder_in_pod, mounts) if folder_in_pod else environment["HOME"])
        where.mkdir(parents=True, exist_ok=True)
        running.killed_as = None
        logs = running.logs.setdefault(container["name"], [])
        logs.append(folder / f"{container['name']}.{len(logs)}.log")
        address = pod["status"]["podIP"]
        with logs[-1].open("wb") as log:
            try:
                running.process = await asyncio.create_subprocess_exec(
                    *(_mapped(_expanded(word, environment), mounts, address) for word in command),
                    env=environment,
                    cwd=where,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                words = f'exec: "{command[0]}": {error.strerror}: unknown'
                return 128, "StartError", f"failed to create containerd task: {words}"
        self.event(pod, "Normal", "Started", f"Started container {container['name']}")
        state = {"running": {"startedAt": now()}}
        self._container(pod, container, is_init, state, ready=not is_init)
        if not is_init:
            pod["status"]["phase"] = "Running"
        self.objects.changed("pods", pod)
        code = await running.process.wait()
        code = 128 - code if code < 0 else code
        reason = "Error" if code else "Completed"
        if running.killed_as:
            reason, code = running.killed_as
        message = told.read_bytes()
        if code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            message = message or logs[-1].read_bytes()
        return code, reason, message[-_MESSAGE_BYTES:].decode(errors="replace")

    def _environment(
        self, pod: Object, container: Object, folder: Path, mounts: dict[str, Path], image: Image
    ) -> dict[str, str]:
        programs = folder / "programs"
        programs.mkdir(exist_ok=True)
        for name, script in image.programs.items():
            (programs / name).write_text(script)
            (programs / name).chmod(0o755)
        own = {e["name"]: self._value(pod, e) for e in container.get("env") or ()}
        for source in container.get("envFrom") or ():
            space, name = pod["metadata"]["namespace"], source["secretRef"]["name"]
            data = self.objects.get("secrets", space, name).get("data") or {}
            own = {key: base64.b64decode(value).decode() for key, value in data.items()} | own
        address = pod["status"]["podIP"]
        given = {"HOME": "/root"} | dict(image.environment) | own
        path = os.pathsep.join((str(programs), str(Path(sys.executable).parent), os.defpath))
        paths = [str(_CHECKOUT), os.environ.get("PYTHONPATH", "")]
        environment = {
            "PATH": path,
            "LANG": "C.UTF-8",
            "TMPDIR": str(_made(folder / "tmp")),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "HOSTNAME": pod["metadata"]["name"],
            MARK: pod["metadata"]["uid"],
            CLUSTER_MARK: str(self.root),
        }
        if "nvidia.com/gpu" in ((container.get("resources") or {}).get("limits") or {}):
            environment["LD_LIBRARY_PATH"] = str(self._driver(pod))
        environment |= {name: _mapped(value, mounts, address) for name, value in given.items()}
        if environment["HOME"] == given["HOME"]:  # no mount covers it
            environment["HOME"] = str(_made(folder / "root" / given["HOME"].lstrip("/")))
        return environment

    def _driver(self, pod: Object) -> Path:
        """Return the folder with the driver's library, as a container toolkit mounts it."""
        major, minor = next(n for n in self.nodes if n.name == pod["spec"]["nodeName"]).cuda
        folder = _made(self.root / f"driver-{major}.{minor}")
        library = folder / "libcuda.so.1"
        if not library.exists() and (compiler := shutil.which("cc")):
            version = 1000 * major + 10 * minor
            source = f"int cuDriverGetVersion(int *v) {{ *v = {version}; return 0; }}"
            command = [compiler, "-shared", "-o", str(library), "-x", "c", "-"]
            subprocess.run(command, input=source, text=True, check=True)
        return folder

    def _value(self, pod: Object, variable: Object) -> str:
        source = variable.get("valueFrom")
        if not source:
            return str(variable.get("value") or "")
        if ref := source.get("secretKeyRef"):
            secret = self.objects.get("secrets", pod["metadata"]["namespace"], ref["name"])
            return base64.b64decode(secret["data"][ref["key"]]).decode()
        found: Any = pod
        for part in source["fieldRef"]["fieldPath"].split("."):
            found = found[part]
        return str(found)

    def _mounts(self, pod: Object, container: Object, folder: Path) -> dict[str, Path]:
        """Return the folder behind each mount's path, made if need be as a kubelet makes it."""
        sources = {
            v["name"]: self._source(pod, v, folder) for v in pod["spec"].get("volumes") or ()
        }
        mounts: dict[str, Path] = {}
        for mount in sorted(container.get("volumeMounts") or (), key=lambda m: m["mountPath"]):
            target = sources[mount["name"]] / mount.get("subPath", "")
            if not target.exists():
                target.mkdir(parents=True)
            path = mount["mountPath"].rstrip("/")
            link = Path(_mapped(path, mounts))
            if mounts and str(link) != path:
                _link(link, target, path)
            mounts[path] = target
        return mounts

    def _source(self, pod: Object, volume: Object, folder: Path) -> Path:
        space = pod["metadata"]["namespace"]
        if claim := volume.get("persistentVolumeClaim"):
            return _made(self.claim(claim["claimName"]))
        place = _made(folder / "volumes" / volume["name"])
        data: dict[str, bytes] = {}
        with suppress(Refused):  # optional
            if secret := volume.get("secret"):
                kept = self.objects.get("secrets", space, secret["secretName"]).get("data") or {}
                data = {key: base64.b64decode(value) for key, value in kept.items()}
            if configuration := volume.get("configMap"):
                kept = (
                    self.objects.get("configmaps", space, configuration["name"]).get("data") or {}
                )
                data = {key: value.encode() for key, value in kept.items()}
        for key, value in data.items():
            (place / key).write_bytes(value)
        return place

    def claim(self, name: str) -> Path:
        """Return the folder of this machine that a claim is."""
        return self.root / "claims" / name

    def _folder(self, pod: Object) -> Path:
        return _made(self.root / "pods" / pod["metadata"]["uid"])

    def _free_address(self, pod: Object) -> str:
        """Return an address of the loopback net on which the pod's ports are free."""
        ports = [
            p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports") or ()
        ]
        while True:
            self._address = (self._address + 1) % 2**22
            high, middle, low = (
                self._address >> 16,
                (self._address >> 8) & 255,
                self._address & 255,
            )
            address = f"127.{64 + high}.{middle}.{low or 1}"
            with suppress(OSError):
                for port in ports:
                    socket.create_server((address, port)).close()
                return address

    # --- what ends a pod

    async def end(self, pod: Object, grace: float) -> None:
        """Stop a pod's processes, as for a deletion, and forget it."""
        running = self._running.get(pod["metadata"]["uid"])
        if running:
            process = running.process
            if process and process.returncode is None:
                with suppress(ProcessLookupError, TimeoutError):  # what is late is killed below
                    process.send_signal(signal.SIGTERM if grace else signal.SIGKILL)
                    async with asyncio.timeout(grace or None):
                        await process.wait()
            await self._stop_rest(pod)
            if running.task:
                running.task.cancel()
        self.objects.remove("pods", pod)
        for secret in self.objects.find("secrets", pod["metadata"]["namespace"]):
            owners = secret["metadata"].get("ownerReferences") or ()
            if any(owner["uid"] == pod["metadata"]["uid"] for owner in owners):
                self.objects.remove("secrets", secret)
        self.objects.wake()

    async def kill(self, pod: Object, reason: str, code: int) -> None:
        """Kill a pod's program as the kernel does when its memory is at an end."""
        running = self._running[pod["metadata"]["uid"]]
        assert running.process is not None, "the pod runs nothing"
        running.killed_as = (reason, code)
        running.process.kill()
        await running.process.wait()

    async def drain(self, pod: Object) -> None:
        """End a pod's program as an administrator empties its node."""
        pod["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": 0}
        text = "Eviction API: evicting"
        await self._take(pod, "EvictionByEvictionAPI", text)

    async def evict(self, pod: Object, message: str) -> None:
        """Take a pod from its node for want of something there."""
        pod["status"] |= {"phase": "Failed", "reason": "Evicted", "message": message}
        await self._take(pod, "TerminationByKubelet", "The node was low on resource")
        self.event(pod, "Warning", "Evicted", message)

    async def _take(self, pod: Object, reason: str, text: str) -> None:
        self._condition(pod, "DisruptionTarget", "True", reason, text)
        running = self._running.get(pod["metadata"]["uid"])
        if running and running.task:
            running.task.cancel()
        await self._stop_rest(pod)
        self._end(pod, "Failed")
        self.objects.changed("pods", pod)

    async def close(self) -> None:
        """End everything."""
        tasks = [running.task for running in self._running.values() if running.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(_kill_marked, {CLUSTER_MARK: str(self.root)})
        for running in self._running.values():
            if running.process:
                await running.process.wait()

    async def _stop_rest(self, pod: Object) -> None:
        if "podIP" in pod["status"]:
            await asyncio.to_thread(_kill_marked, {MARK: pod["metadata"]["uid"]})

    def log(self, pod: Object, container: str, previous: bool) -> str:
        """Return what a container has printed, in its last run or the one before."""
        running = self._running.get(pod["metadata"]["uid"], Running())
        files = running.logs.get(container or pod["spec"]["containers"][0]["name"], [])
        if len(files) < 1 + previous:
            name = container or pod["spec"]["containers"][0]["name"]
            text = f'container "{name}" in pod "{pod["metadata"]["name"]}" is waiting to start'
            raise Refused(400, "BadRequest", f"{text}: ContainerCreating")
        return files[-1 - previous].read_text(errors="replace")

    # --- what stands in the status

    def _end(self, pod: Object, phase: str) -> None:
        pod["status"]["phase"] = phase
        for condition in ("Ready", "ContainersReady"):
            reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
            self._condition(pod, condition, "False", reason)
        self.objects.wake()

    def _status_of(self, pod: Object, container: Object, is_init: bool) -> Object:
        kind = "initContainerStatuses" if is_init else "containerStatuses"
        found: list[Object] = pod["status"].setdefault(kind, [])
        for status in found:
            if status["name"] == container["name"]:
                return status
        found.append(
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {},
                "lastState": {},
            }
        )
        return found[-1]

    def _container(
        self, pod: Object, container: Object, is_init: bool, state: Object, ready: bool = False
    ) -> None:
        self._status_of(pod, container, is_init).update(state=state, ready=ready)
        if not is_init:
            truth, reason = ("True", "") if ready else ("False", "ContainersNotReady")
            text = "" if ready else f"containers with unready status: [{container['name']}]"
            for condition in ("ContainersReady", "Ready"):
                self._condition(pod, condition, truth, reason, text)

    def _condition(
        self, pod: Object, kind: str, truth: str, reason: str = "", message: str = ""
    ) -> bool:
        """Set a condition; return whether it is news."""
        new = {"type": kind, "status": truth}
        new |= {"reason": reason} if reason else {}
        new |= {"message": message} if message else {}
        conditions = pod["status"].setdefault("conditions", [])
        old = next((c for c in conditions if c["type"] == kind), None)
        if old and new.items() <= old.items():
            return False
        since = old["lastTransitionTime"] if old and old["status"] == truth else now()
        conditions[:] = [c for c in conditions if c["type"] != kind]
        conditions.append(new | {"lastTransitionTime": since, "lastProbeTime": None})
        return True

    def event(self, about: Object, type_: str, reason: str, message: str) -> None:
        """Tell of something, as kubelet and controllers do."""
        meta, space = about["metadata"], about["metadata"]["namespace"]
        for old in self.objects.find("events", space):
            same = old["involvedObject"]["uid"] == meta["uid"] and old["message"] == message
            if same and old["reason"] == reason:
                old |= {"count": old["count"] + 1, "lastTimestamp": now()}
                self.objects.changed("events", old)
                return
        self.objects.add(
            "events",
            space,
            {
                "metadata": {"generateName": f"{meta['name']}."},
                "involvedObject": {
                    "kind": about["kind"],
                    "apiVersion": about["apiVersion"],
                    "namespace": space,
                    "name": meta["name"],
                    "uid": meta["uid"],
                },
                "type": type_,
                "reason": reason,
                "message": message,
                "source": {"component": "pretended"},
                "count": 1,
                "firstTimestamp": now(),
                "lastTimestamp": now(),
                "eventTime": None,
            },
        )

    def _has_event(self, about: Object, reason: str) -> bool:
        return any(
            event["reason"] == reason
            and event["involvedObject"]["uid"] == about["metadata"]["uid"]
            for event in self.objects.find("events")
        )


def _kill_marked(mark: Mapping[str, str]) -> None:
    # kernels lead sessions of their own; a real pod is a process namespace, which ends as a whole
    while found := list(marked(mark)):
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, 5)


def status_is_over(pod: Object) -> bool:
    """Return whether a pod has ended."""
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def _tolerates(tolerations: Any, taint: Mapping[str, str]) -> bool:
    if taint.get("effect") == "PreferNoSchedule":
        return True
    return any(
        t.get("key") in (None, taint["key"])
        and t.get("effect") in (None, taint.get("effect"))
        and (t.get("operator") == "Exists" or t.get("value") == taint.get("value"))
        for t in tolerations
    )


def _affine(spec: Object, labels: Mapping[str, str]) -> bool:
    wanted = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = wanted.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(
        all(_expression_meets(e, labels) for e in term.get("matchExpressions") or ())
        for term in required["nodeSelectorTerms"]
    )


def _expression_meets(expression: Object, labels: Mapping[str, str]) -> bool:
    name, operator = expression["key"], expression["operator"]
    if operator in ("Exists", "DoesNotExist"):
        return (name in labels) == (operator == "Exists")
    return (labels.get(name) in expression["values"]) == (operator == "In")


def _mapped(text: str, mounts: Mapping[str, Path], address: str = "0.0.0.0") -> str:
    """Replace the paths of mounts by their folders, and the address that means all."""
    paths = "|".join(re.escape(path) for path in sorted(mounts, key=len, reverse=True))
    if paths:
        whole = rf"(?<![\w/.-])({paths})(?=$|[/:,\s\"'])"
        text = re.sub(whole, lambda match: str(mounts[match[1]]), text)
    return text.replace("0.0.0.0", address)


def _secrets_of(container: Object) -> set[str]:
    """Return the names of the Secrets that a container's environment refers to."""
    sources = [variable.get("valueFrom") or {} for variable in container.get("env") or ()]
    return {source["secretKeyRef"]["name"] for source in sources if "secretKeyRef" in source}


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    return re.sub(r"\$\((\w+)\)", lambda m: environment.get(m[1], m[0]), text)


def _link(link: Path, target: Path, path: str) -> None:
    """Put a link where a real node mounts; in runc's words if there is no folder for it."""
    if link.is_symlink():
        link.unlink()  # an earlier pod's
    elif link.is_file():
        raise NotADirectoryError(
            f'error mounting "{target}" to rootfs at "{path}": mount {target}:{path}: not a '
            "directory"
        )
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def remove(folder: Path) -> None:
    """Remove what a closed cluster has left."""
    shutil.rmtree(folder, ignore_errors=True)
