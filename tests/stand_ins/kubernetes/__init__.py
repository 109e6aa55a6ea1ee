"""A cluster that is none: a Kubernetes API for tests, with a machine that really runs programs.

    with PretendedCluster(tmp_path) as cluster:
        cluster.create_claim("geo-storage")
        subprocess.run([...], env=os.environ | cluster.environment)   # sees it by KUBECONFIG
        cluster.nodes[0].gpus = 1                                     # what waited, runs

It keeps pods, claims, Secrets, ConfigMaps, Services, events, nodes and Jobs; creates, reads,
lists (label and field selectors), watches, merges patches and deletes them; checks whatever is
created against Kubernetes' own schemas, strictly; and speaks of its refusals in Kubernetes'
words. KubeSpawner's client and the synchronous one of the project `kubernetes` both take it for
real. `node.py` says how a container differs from a real one.

What can go wrong is an attribute, to be changed at any time: `nodes`, `registry`, `quota`,
`admission`, `forbidden`, `unavailable`, and the methods `drain`, `evict` and `kill`.
"""

import asyncio
import base64
import json
import secrets
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from aiohttp import web

from tests.stand_ins.kubernetes.jobs import Jobs
from tests.stand_ins.kubernetes.node import Image, Machine, Node, denied, not_found, status_is_over
from tests.stand_ins.kubernetes.objects import (
    KINDS,
    RELEASE,
    Change,
    Object,
    Objects,
    Refused,
    quantity,
    requests_of,
    selected,
)

__all__ = ["Image", "Node", "PretendedCluster", "Refused", "denied", "not_found"]

NAMESPACE = "geoportal"
_WATCH_SECONDS = 300.0


class PretendedCluster:
    """One cluster on a free port of this machine.

    Attributes:
        nodes: the machines; at first one without a GPU.
        registry: what is special about an image; any other name is an image that is there.
        quota: the ResourceQuota of the namespace, as {"requests.nvidia.com/gpu": 1, "pods": 2}.
        admission: a policy: from resource and object to the words of its refusal, or to None.
        forbidden: resources that the caller may not read, as RBAC would say; z2jh's hub may
            not read nodes.
        unavailable: whether the API answers 503 and ends its watches.
        provisions: whether a claim that a client creates is bound at once.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.nodes = [Node()]
        self.quota: dict[str, float] = {}
        self.admission: Callable[[str, Object], str | None] = lambda resource, thing: None
        self.forbidden = {"nodes"}
        self.unavailable = False
        self.provisions = True
        self.token = secrets.token_hex(16)
        self.url = ""
        self._objects = Objects()
        self._machine = Machine(self._objects, root, self.nodes)
        self._jobs = Jobs(self._objects, self._machine, self._create)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()
        self._endings: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None

    # --- for tests

    @property
    def registry(self) -> dict[str, Image]:
        return self._machine.registry

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which clients find this cluster."""
        return {"KUBECONFIG": str(self.kubeconfig), "POD_NAMESPACE": NAMESPACE}

    @property
    def kubeconfig(self) -> Path:
        """The file that names address and token."""
        return self.root / "kubeconfig"

    def __enter__(self) -> "PretendedCluster":
        self.root.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        self._ready.wait()
        if self._fault:
            raise self._fault
        context = {"cluster": "pretended", "user": "pretended", "namespace": NAMESPACE}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "pretended",
            "contexts": [{"name": "pretended", "context": context}],
            "clusters": [{"name": "pretended", "cluster": {"server": self.url}}],
            "users": [{"name": "pretended", "user": {"token": self.token}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(content))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._await(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._fault and not error:
            raise self._fault

    def claim(self, name: str) -> Path:
        """Return the folder that a claim is."""
        return self._machine.claim(name)

    def create_claim(self, name: str, *, bound: bool = True, namespace: str = NAMESPACE) -> Path:
        """Make a claim; return its folder."""
        spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
        thing = {"metadata": {"name": name}, "spec": spec}
        self.create("persistentvolumeclaims", thing, namespace)
        if bound:
            self.bind(name, namespace)
        self.claim(name).mkdir(parents=True, exist_ok=True)
        return self.claim(name)

    def bind(self, claim: str, namespace: str = NAMESPACE, *, bound: bool = True) -> None:
        """Give a waiting claim its volume, or take it away."""

        async def bind() -> None:
            found = self._objects.get("persistentvolumeclaims", namespace, claim)
            found["status"]["phase"] = "Bound" if bound else "Pending"
            self._objects.changed("persistentvolumeclaims", found)

        self._await(bind())

    def create(self, resource: str, thing: Object, namespace: str = NAMESPACE) -> Object:
        """Create an object as a client would."""

        async def create() -> Object:
            return self._create(resource, namespace, thing)

        return self._await(create())

    def find(self, resource: str, namespace: str = NAMESPACE) -> list[Object]:
        """Return all objects of a resource, as they are now."""

        async def find() -> list[Object]:
            found = self._objects.find(resource, namespace if resource != "nodes" else None)
            return json.loads(json.dumps(found))  # type: ignore[no-any-return]

        return self._await(find())

    def pod(self, name: str, namespace: str = NAMESPACE) -> Object:
        """Return one pod as it is now."""
        return next(p for p in self.find("pods", namespace) if p["metadata"]["name"] == name)

    def wait_for(
        self,
        resource: str,
        is_so: Callable[[Object], Any],
        seconds: float = 60.0,
        types: tuple[str, ...] = ("ADDED", "MODIFIED"),
    ) -> Object:
        """Wait until an object of a resource is as asked, now or in the history; return it."""

        async def wait() -> Object:
            seen = 0
            async with asyncio.timeout(seconds):
                while True:
                    changes = await self._objects.follow(seen, 1)
                    if self._fault:
                        raise self._fault
                    while not changes.empty():
                        change = changes.get_nowait()
                        seen = change.version
                        is_meant = change.resource == resource and change.type in types
                        if is_meant and is_so(change.object):
                            return change.object

        return self._await(wait())

    def wait_until_gone(self, resource: str, uid: str) -> None:
        """Wait until an object has been removed."""
        self.wait_for(resource, lambda thing: thing["metadata"]["uid"] == uid, types=("DELETED",))

    def kill(self, pod: str, reason: str = "OOMKilled", code: int = 137) -> None:
        """Kill a pod's program, as the kernel does for want of memory."""
        self._await(self._machine.kill(self._live(pod), reason, code))

    def drain(self, pod: str) -> None:
        """Take a Job's pod from its node as `kubectl drain` does: gone once it is counted."""

        async def drain() -> None:
            found = self._live(pod)
            await self._machine.drain(found)
            while not self._jobs.has_counted(found):
                await asyncio.sleep(0.02)
            await self._machine.end(found, 0)

        self._await(drain())

    def evict(self, pod: str, message: str) -> None:
        """Take a pod from its node."""
        self._await(self._machine.evict(self._live(pod), message))

    def _live(self, pod: str) -> Object:
        return self._objects.get("pods", NAMESPACE, pod)

    def _await(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # --- the loop

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._open())
        except BaseException as error:
            self._fault = error
            return
        finally:
            self._ready.set()
        self._loop.run_forever()

    async def _open(self) -> None:
        for node in self.nodes:
            self._objects.add(
                "nodes", "", {"metadata": {"name": node.name}, "status": node.status}
            )
        app = web.Application(middlewares=[self._answered], client_max_size=2**24)
        for prefix in ("/api/v1", "/apis/batch/v1"):
            app.router.add_route("*", f"{prefix}/{{resource}}", self._collection)
            app.router.add_route("*", f"{prefix}/{{resource:nodes}}/{{name}}", self._single)
            space = f"{prefix}/namespaces/{{namespace}}/{{resource}}"
            app.router.add_route("*", space, self._collection)
            app.router.add_route("*", f"{space}/{{name}}", self._single)
        app.router.add_get("/api/v1/namespaces/{namespace}/{resource:pods}/{name}/log", self._log)
        app.router.add_get("/version", self._version)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._controlling = asyncio.create_task(self._control())

    async def _control(self) -> None:
        """Let scheduler, kubelet and controller look after every change, and now and then."""
        try:
            while True:
                seen = self._objects.version
                if not self.unavailable:
                    self._machine.look()
                    await self._jobs.look()
                await self._objects.follow(max(seen, self._objects.version), 0.05)
        except Exception as error:
            self._fault = error
            raise

    async def _close(self) -> None:
        self._controlling.cancel()
        await self._machine.close()
        await self._runner.cleanup()

    # --- HTTP

    @web.middleware
    async def _answered(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        try:
            if self.unavailable:
                text = "the server is currently unable to handle the request"
                raise Refused(503, "ServiceUnavailable", text)
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                raise Refused(401, "Unauthorized", "Unauthorized")
            resource = request.match_info.get("resource", "")
            if resource in self.forbidden and request.method == "GET":
                who = "system:serviceaccount:geoportal:hub"
                text = f'{resource} is forbidden: User "{who}" cannot list resource "{resource}"'
                raise Refused(403, "Forbidden", f'{text} in API group "" at the cluster scope')
            if resource and resource not in KINDS:
                text = "the server could not find the requested resource"
                raise Refused(404, "NotFound", text)
            return await handler(request)
        except Refused as refusal:
            return web.json_response(refusal.status, status=refusal.code)

    async def _version(self, request: web.Request) -> web.Response:
        major, minor = RELEASE.split(".")
        return web.json_response({"major": major, "minor": minor, "gitVersion": f"v{RELEASE}.0"})

    async def _collection(self, request: web.Request) -> web.StreamResponse:
        resource, namespace = request.match_info["resource"], request.match_info.get("namespace")
        if request.method == "POST":
            made = self._create(resource, namespace or "", await request.json())
            if resource == "persistentvolumeclaims" and self.provisions:
                made["status"]["phase"] = "Bound"
            return web.json_response(made, status=201)
        labels = request.query.get("labelSelector", "")
        fields = request.query.get("fieldSelector", "")
        found = [t for t in self._objects.find(resource, namespace) if selected(t, labels, fields)]
        if request.method == "DELETE":
            for thing in found:
                await self._delete(request, resource, thing)
        if request.query.get("watch", "").lower() in ("true", "1"):
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            with suppress(ConnectionError):  # the watcher has gone
                await self._watch(request, response, resource, namespace)
            return response
        version, kind = KINDS[resource]
        meta = {"resourceVersion": str(self._objects.version)}
        listed = {"kind": f"{kind}List", "apiVersion": version, "metadata": meta, "items": found}
        return web.json_response(listed)

    async def _single(self, request: web.Request) -> web.StreamResponse:
        resource = request.match_info["resource"]
        namespace = request.match_info.get("namespace", "")
        thing = self._objects.get(resource, namespace, request.match_info["name"])
        if request.method == "DELETE":
            await self._delete(request, resource, thing)
        elif request.method == "PATCH":
            _merge(thing, await request.json())
            self._objects.changed(resource, thing)
        return web.json_response(thing)

    async def _log(self, request: web.Request) -> web.Response:
        where = request.match_info
        pod = self._objects.get("pods", where["namespace"], where["name"])
        previous = request.query.get("previous", "").lower() == "true"
        text = self._machine.log(pod, request.query.get("container", ""), previous)
        if "tailLines" in request.query:
            text = "".join(text.splitlines(True)[-int(request.query["tailLines"]) :])
        return web.Response(text=text)

    async def _watch(
        self,
        request: web.Request,
        response: web.StreamResponse,
        resource: str,
        namespace: str | None,
    ) -> None:
        """Send changes as they come, one line of JSON each."""
        await response.prepare(request)
        seen = int(request.query.get("resourceVersion") or 0)
        if not seen:
            seen = self._objects.version
            for thing in self._objects.find(resource, namespace):
                await self._send(request, response, Change(seen, "ADDED", resource, thing))
        ends = self._loop.time() + float(request.query.get("timeoutSeconds") or _WATCH_SECONDS)
        while (left := ends - self._loop.time()) > 0 and not self.unavailable:
            changes = await self._objects.follow(seen, min(left, 0.2))
            while not changes.empty():
                change = changes.get_nowait()
                seen = change.version
                space = change.object["metadata"].get("namespace")
                if change.resource == resource and namespace in (None, space):
                    await self._send(request, response, change)

    async def _send(
        self, request: web.Request, response: web.StreamResponse, change: Change
    ) -> None:
        labels = request.query.get("labelSelector", "")
        if selected(change.object, labels, request.query.get("fieldSelector", "")):
            line = json.dumps({"type": change.type, "object": change.object})
            await response.write(line.encode() + b"\n")

    # --- what a server does to objects

    def _create(self, resource: str, namespace: str, thing: Object) -> Object:
        refusal = self.admission(resource, thing)
        if refusal:
            text = f'admission webhook "policy.geoportal" denied the request: {refusal}'
            raise Refused(403, "Forbidden", text)
        if resource == "pods":
            self._check_quota(namespace, thing)
            thing["spec"].setdefault("restartPolicy", "Always")
            thing["spec"].setdefault("terminationGracePeriodSeconds", 30)
            thing["spec"].setdefault("serviceAccountName", "default")
            thing["status"] = {"phase": "Pending", "qosClass": "Burstable"}
        if resource == "jobs":
            thing["spec"].setdefault("backoffLimit", 6)
            thing["status"] = {}
        if resource == "persistentvolumeclaims":
            thing["status"] = {"phase": "Pending"}
        if resource == "secrets" and "stringData" in thing:
            plain = thing.pop("stringData")
            encoded = {
                key: base64.b64encode(text.encode()).decode() for key, text in plain.items()
            }
            thing["data"] = (thing.get("data") or {}) | encoded
        return self._objects.add(resource, namespace, thing)

    def _check_quota(self, namespace: str, pod: Object) -> None:
        """Refuse a pod that asks for more than is left, as the quota's admission does."""
        if not self.quota:
            return
        asked = _counted(pod)
        used: Counter[str] = Counter()
        for other in self._objects.find("pods", namespace):
            if not status_is_over(other):
                used.update(_counted(other))  # type: ignore[arg-type]
        over = [
            name
            for name, most in self.quota.items()
            if asked.get(name, 0.0) + used[name] > quantity(most) and asked.get(name)
        ]
        if over:
            told = {
                word: ",".join(f"{name}={amounts.get(name, 0):g}" for name in over)
                for word, amounts in (
                    ("requested", asked),
                    ("used", used),
                    ("limited", self.quota),
                )
            }
            name = pod["metadata"].get("name") or pod["metadata"]["generateName"]
            text = ", ".join(f"{word}: {amounts}" for word, amounts in told.items())
            text = f'pods "{name}" is forbidden: exceeded quota: geoportal, {text}'
            raise Refused(403, "Forbidden", text)

    def _ended(self, ending: "asyncio.Task[None]") -> None:
        self._endings.discard(ending)
        if not ending.cancelled():
            self._fault = self._fault or ending.exception()

    async def _delete(self, request: web.Request, resource: str, thing: Object) -> None:
        body = await request.json() if request.can_read_body else {}
        query = request.query
        policy = query.get("propagationPolicy") or (body or {}).get("propagationPolicy")
        grace = query.get("gracePeriodSeconds", (body or {}).get("gracePeriodSeconds"))
        grace = 30.0 if grace is None else float(grace)
        if resource == "pods":
            thing["metadata"] |= {"deletionTimestamp": thing["metadata"]["creationTimestamp"]}
            thing["metadata"]["deletionGracePeriodSeconds"] = int(grace)
            self._objects.changed("pods", thing)
            # the answer comes at once, the end when the program has ended
            ending = asyncio.create_task(self._machine.end(thing, grace))
            self._endings.add(ending)
            ending.add_done_callback(self._ended)
        elif resource == "jobs":
            # the default for Jobs, from the time before there were policies
            await self._jobs.remove(thing, policy or "Orphan", 0)
        else:
            self._objects.remove(resource, thing)


def _counted(pod: Object) -> dict[str, float]:
    """Return what a pod counts for in a quota."""
    asked = requests_of(pod)
    return {f"requests.{name}": amount for name, amount in asked.items()} | asked | {"pods": 1.0}


def _merge(thing: Object, patch: Object) -> None:
    """Apply a JSON merge patch."""
    for name, value in patch.items():
        if value is None:
            thing.pop(name, None)
        elif isinstance(value, dict) and isinstance(thing.get(name), dict):
            _merge(thing[name], value)
        else:
            thing[name] = value
