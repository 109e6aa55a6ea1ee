"""Users' servers as pods of a cluster: for each what it chose, or in words why there is none."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from secrets import token_hex
from time import monotonic
from typing import Any, ClassVar
from urllib.parse import urlsplit

from aiohttp import ClientError
from jupyterhub.utils import maybe_future
from kubernetes_asyncio.client import ApiException, V1Container, V1Pod, V1VolumeMount
from kubespawner import KubeSpawner
from tornado.web import HTTPError
from traitlets import Instance, Integer, Unicode

from hub.errors import ImageRefused
from hub.kubernetes import diagnosis, entry_check, hidden_tokens
from hub.kubernetes.diagnosis import Finding, Surroundings, asked_for
from hub.kubernetes.own_images import OwnImages
from hub.kubernetes.profiles import check_choice
from kube.quantities import GPU, quantity
from landcover.storage.tree import is_folder_name, is_mountable

_GLANCE_SECONDS = 0.5
_CONNECT_SECONDS = 2.0
_NODES_SECONDS = 60.0
_HUB = "docker.io/"
_ASK_FOR_NODES = ("gpu", "room", "pulling")  # findings that say more with what nodes have
_USER = "hub.jupyter.org/username"  # kubespawner's annotation
_NO_ANSWER = (ApiException, ClientError, OSError, TimeoutError)


class NotStarted(HTTPError):
    """A server does not start, and a person is told why."""

    def __init__(self, finding: Finding) -> None:
        """Show the finding on the page of the start, and in the log."""
        text = finding.text(datetime.now(UTC))
        super().__init__(503, text)
        self.jupyterhub_message = text


class PodSpawner(KubeSpawner):  # type: ignore[misc]  # untyped base
    """KubeSpawner that gives up in words, and mounts the folders of the user's groups."""

    patience = Integer(
        600, config=True, help="Seconds that a server may wait for its image, a node or a GPU."
    )
    home = Unicode("/home/jovyan", config=True, help="The home directory in the images.")
    storage = Unicode("storage", config=True, help="The name of the volume with the storage tree.")
    own_images = Instance(
        OwnImages, (), config=True, help="From where users may bring images, and which."
    )
    own_image = Unicode(help="The name of an image that the user brings; set by the profile.")

    # what all spawners of this hub have learned
    _sizes: ClassVar[dict[str, int]] = {}
    _nodes: ClassVar[list[dict[str, float]] | None] = None
    _nodes_seen: ClassVar[float] = float("-inf")

    def __init__(self, **options: Any) -> None:
        """Start with no finding."""
        super().__init__(**options)
        self._found: Finding | None = None
        self._notes: list[Finding] = []
        self._earlier = ""
        self._secret_name = ""

    async def prepare(self) -> None:
        """Validate what was chosen: image and resources are set, no pod is created yet.

        What takes time here says so by `say`.

        Raises:
            NotStarted: it cannot be started.
        """
        if self.own_image:
            self.say(f"The image {self.own_image} is looked for at its registry.")
            try:
                image = await self.own_images.checked(self.own_image, f"{self.uid}:{self.gid}")
            except ImageRefused as error:
                raise NotStarted(Finding("own-image", str(error), is_final=True)) from error
            self.image = image.pinned
            self._sizes[image.pinned] = image.size
            self._found = None
            for sentence in image.sentences:
                self.note(sentence)

    def note(self, sentence: str) -> None:
        """Show a sentence on the page of the start, whatever comes next."""
        self._notes.append(Finding("noted", sentence, progress=10))

    def say(self, sentence: str) -> None:
        """Show a sentence on the page of the start, until the pod has more to tell."""
        self._found = Finding("preparing", sentence, progress=5)

    async def load_user_options(self) -> None:
        """Apply the chosen profile, if it is one of the user's; then prepare."""
        offered = self.profile_list
        if callable(offered):
            offered = await maybe_future(offered(self))
        check_choice(offered, self.user_options)
        await super().load_user_options()
        await self.prepare()

    async def get_pod_manifest(self) -> V1Pod:
        """Return the pod, with a team folder for each of the user's groups."""
        pod: V1Pod = await super().get_pod_manifest()
        (notebook,) = (c for c in pod.spec.containers if c.name == "notebook")
        # added here, because KubeSpawner would read {names} in what others have named
        notebook.volume_mounts = [*(notebook.volume_mounts or ()), *self._team_mounts()]
        for container in (*(pod.spec.init_containers or ()), notebook):
            # so that the last lines of a crash stand in the status, and nobody must read logs
            container.termination_message_policy = "FallbackToLogsOnError"
        self._look_into_image(pod, notebook)
        if self.api_token:
            # a name of this start's own: the Secret of an earlier one may just be on its way out
            self._secret_name = f"{self.pod_name}-{token_hex(4)}"
            hidden_tokens.hide(notebook, self.api_token, self._secret_name)
        return pod

    def _look_into_image(self, pod: V1Pod, notebook: V1Container) -> None:
        """Add a check at entry to pods of users' own images, and to all with GPUs."""
        gpus = int((notebook.resources.limits or {}).get(GPU, 0))
        if not gpus:  # an image can ask NVIDIA's runtime for all of the node's by a variable
            notebook.env = [*(notebook.env or ()), entry_check.NO_GPU]
        if self.own_image:
            notebook.command = entry_check.START
        if self.own_image or gpus:
            check = entry_check.container(notebook, gpus, self.home)
            pod.spec.init_containers = [*(pod.spec.init_containers or ()), check]

    def _team_mounts(self) -> list[V1VolumeMount]:
        names = sorted(group.name for group in getattr(self.user, "groups", ()))
        mountable = [name for name in names if is_folder_name(name) and is_mountable(name)]
        for name in set(names) - set(mountable):
            self.log.warning("The group %r of %s can be no folder", name, self.user.name)
        return [
            V1VolumeMount(
                name=self.storage, mount_path=f"{self.home}/team/{name}", sub_path=f"team/{name}"
            )
            for name in mountable
        ]

    async def _start(self) -> str:
        """Start the pod and wait until its server listens; return the address."""
        self._found, self._notes = None, []
        try:
            async with asyncio.timeout(self.patience):
                await self._watching()
                self._earlier = _uid(self._pod())
                starting = asyncio.ensure_future(super()._start())
                try:
                    return await self._listening(await self._started(starting))
                finally:
                    starting.cancel()
        except TimeoutError as error:
            raise NotStarted((await self._look()).given_up(self.patience)) from error

    async def _started(self, starting: "asyncio.Future[str]") -> str:
        while True:
            done, _ = await asyncio.wait([starting], timeout=_GLANCE_SECONDS)
            if done:
                return starting.result()
            await self._give_up_if_final()

    async def _listening(self, url: str) -> str:
        """Wait for the server itself; a container runs before, and while, its program crashes."""
        address = urlsplit(url)
        while True:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CONNECT_SECONDS):
                    _, writer = await asyncio.open_connection(address.hostname, address.port)
                writer.close()
                return url
            await self._give_up_if_final()
            await asyncio.sleep(_GLANCE_SECONDS)

    async def _give_up_if_final(self) -> None:
        finding = await self._look()
        if finding.is_final:
            raise NotStarted(finding)

    async def _make_create_pod_request(self, pod: V1Pod, request_timeout: float) -> bool:
        """Request the pod once; return whether there is one.

        KubeSpawner's own gives up when the API is away for a second, and writes the pod into the
        log. If the pod is made and its Secret is not, the next request begins anew.
        """
        try:
            async with asyncio.timeout(request_timeout):
                made = await self.api.create_namespaced_pod(self.namespace, pod)
                if self._secret_name:
                    secret = hidden_tokens.secret(self._secret_name, self.api_token, made)
                    await self.api.create_namespaced_secret(self.namespace, secret)
        except ApiException as error:
            if error.status == 409:
                self.log.info("A pod %s is there already, stopping it", self.pod_name)
                await self.stop(True)
                return False
            self._found = diagnosis.refused(error.status, _said(error))
            if self._found.is_final:
                raise NotStarted(self._found) from None  # its text would show the pod
            return False
        except (ClientError, OSError) as error:
            self._found = diagnosis.unavailable(type(error).__name__)
            return False
        self._found = None
        return True

    async def _make_delete_pod_request(self, *request: Any) -> bool:
        """Request a pod's deletion once; return whether that was accepted."""
        try:
            return bool(await super()._make_delete_pod_request(*request))
        except _NO_ANSWER as error:
            self.log.warning("Pod %s not deleted yet: %s", self.pod_name, _reason(error))
            return False

    async def poll(self) -> int | None:
        """Return None while the pod runs; an API that is away ends nobody's server."""
        await self._watching()
        status: int | None = await super().poll()
        return status

    async def _watching(self) -> None:
        """Wait until pods and events are watched."""
        while True:
            try:
                await self._start_watching_pods()
                await self._start_watching_events()
            except Exception as error:  # KubeSpawner stumbles over answers that are no JSON
                self._found = diagnosis.unavailable(_reason(error))
                await asyncio.sleep(2 * _GLANCE_SECONDS)
            else:
                if self._found and self._found.kind == "api":
                    self._found = None
                return

    async def _start_reflector(
        self, kind: str, reflector_class: Any, replace: bool = False, **options: Any
    ) -> Any:
        """Watch a kind of objects, anew if the old watch has given up.

        KubeSpawner keeps a watch that could not begin, or has ended after a minute without the
        API; every later start would then fail until the hub is restarted.
        """
        key = self._get_reflector_key(kind)
        old = self.reflectors.get(key)
        has_ended = old is not None and old.watch_task is not None and old.watch_task.done()
        try:
            return await super()._start_reflector(
                kind, reflector_class, replace or has_ended, **options
            )
        except Exception:
            if self.reflectors.get(key) is not old or not has_ended:
                self.reflectors.pop(key, None)
            if has_ended:
                self.reflectors[key] = old
            raise

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what the start is doing or waiting for, whenever that changes."""
        said, noted = "", 0
        while True:
            finding = await self._look()
            news, noted = self._notes[noted:], len(self._notes)
            for one in (*news, finding):
                text = one.text(datetime.now(UTC))
                # the last word is the failure's
                if text != said and not one.is_final:
                    yield {"progress": one.progress, "message": text}
                    said = text
            await asyncio.sleep(_GLANCE_SECONDS)

    async def _look(self) -> Finding:
        """Return the most telling thing about the start."""
        if self._found:
            return self._found
        pod, events = self._pod(), self.events
        if pod and _uid(pod) == self._earlier:
            return diagnosis.ENDING  # what became of it says nothing of this start
        self._learn_sizes()
        around = Surroundings(events=events, sizes=self._sizes)
        finding = diagnosis.diagnose(pod, around)
        if finding.kind not in _ASK_FOR_NODES:
            return finding
        await self._learn_nodes()
        around = Surroundings(
            events=events,
            sizes=self._sizes,
            nodes=self._nodes,
            holders=self._gpu_holders() if getattr(self.user, "admin", False) else {},
        )
        return diagnosis.diagnose(pod, around)

    def _pod(self) -> dict[str, Any] | None:
        return self._pods().get(f"{self.namespace}/{self.pod_name}")

    def _pods(self) -> dict[str, Any]:
        return self.pod_reflector.pods if self.pod_reflector else {}

    def _learn_sizes(self) -> None:
        for event in self.event_reflector.events if self.event_reflector else ():
            if pulled := diagnosis.pulled_size(event.get("message") or ""):
                self._sizes.update([pulled])

    def _gpu_holders(self) -> Counter[str]:
        """Return how many GPUs the servers of each user hold."""
        holders: Counter[str] = Counter()
        for pod in self._pods().values():
            if pod["spec"].get("nodeName") and pod["status"]["phase"] in ("Pending", "Running"):
                count = int(asked_for(pod).get(GPU, 0))
                name = (pod["metadata"].get("annotations") or {}).get(_USER, "?")
                holders += Counter({name: count})
        return holders

    async def _learn_nodes(self) -> None:
        """Read the resources of the nodes; nothing if the hub may not list them."""
        cls = type(self)
        if monotonic() - cls._nodes_seen <= _NODES_SECONDS:
            return
        cls._nodes_seen = monotonic()
        try:
            nodes = (await self.api.list_node(_request_timeout=_CONNECT_SECONDS)).items
        except _NO_ANSWER:
            cls._nodes = None
            return
        cls._nodes = [_for_pods(node) for node in nodes if not _is_cordoned(node)]
        for name, count in _sizes(nodes):
            # what is told of a pull, or by a registry, is of this very image
            cls._sizes.setdefault(name, count)


def _uid(pod: dict[str, Any] | None) -> str:
    return str(pod["metadata"]["uid"]) if pod else ""


def _is_cordoned(node: Any) -> bool:
    return bool(node.spec and node.spec.unschedulable)


def _for_pods(node: Any) -> dict[str, float]:
    amounts: dict[str, str] = node.status.allocatable or {}
    return {name: quantity(amount) for name, amount in amounts.items()}


def _sizes(nodes: Sequence[Any]) -> Iterator[tuple[str, int]]:
    """Yield names and bytes of the images that nodes have.

    As the node's runtime counts, which is the figure of the event of a pull: containerd's is
    nearly what is downloaded, that of CRI-O is unpacked and about twice as much.
    """
    for node in nodes:
        for image in node.status.images or ():
            for name in image.names or ():
                # in full there; a profile may say geoportal/notebook:1, or python:3.12
                for short in (name, name.removeprefix(_HUB), name.removeprefix(f"{_HUB}library/")):
                    yield short, image.size_bytes or 0


def _said(error: ApiException) -> str:
    """Return the message of the API's answer."""
    with suppress(ValueError, TypeError, AttributeError):
        return str(json.loads(error.body or b"")["message"])
    return str(error.reason or "")


def _reason(error: Exception) -> str:
    if isinstance(error, ApiException):
        return f"{error.status}: {_said(error)}"
    return type(error).__name__
