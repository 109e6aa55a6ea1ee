"""The controller of `batch/v1` Jobs: a pod for each Job, and the Job's status from the pod's."""

import copy
import math
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic

from tests.stand_ins.kubernetes.node import Machine, status_is_over
from tests.stand_ins.kubernetes.objects import Object, Objects, Refused, now

INDEX = "batch.kubernetes.io/job-completion-index"


class Jobs:
    """Runs Jobs of one pod at a time, or of one for each index, as often as they allow."""

    def __init__(
        self, objects: Objects, machine: Machine, create: Callable[[str, str, Object], Object]
    ) -> None:
        self.objects, self.machine, self.create = objects, machine, create
        self._refused: dict[str, float] = {}

    async def look(self) -> None:
        """Bring every Job one step further."""
        for job in self.objects.find("jobs"):
            if _is_finished(job):
                await self._forget_late(job)
            else:
                await self._advance(job)

    async def _advance(self, job: Object) -> None:
        status, spec = job["status"], job["spec"]
        if "startTime" not in status:
            status["startTime"] = now()
        if spec.get("completionMode") == "Indexed":
            await self._advance_indexed(job)
            return
        pods = self.pods_of(job)
        failed = [pod for pod in pods if pod["status"].get("phase") == "Failed"]
        succeeded = [pod for pod in pods if pod["status"].get("phase") == "Succeeded"]
        active = [pod for pod in pods if not status_is_over(pod)]
        counts = {
            "active": len(active),
            "ready": sum(_is_ready(pod) for pod in active),
            "succeeded": len(succeeded),
            "failed": len(failed),
        }
        if any(status.get(name, 0) != count for name, count in counts.items()):
            status |= counts
            self.objects.changed("jobs", job)
        if succeeded:
            status["completionTime"] = now()
            text = "Reached expected number of succeeded pods"
            self._finish(job, ("SuccessCriteriaMet", "Complete"), "CompletionsReached", text)
        elif _age(status["startTime"]) >= spec.get("activeDeadlineSeconds", math.inf):
            for pod in active:
                await self.machine.end(pod, 0)
            text = "Job was active longer than specified deadline"
            status |= {"active": 0, "ready": 0, "failed": len(failed) + len(active)}
            self._finish(job, ("FailureTarget", "Failed"), "DeadlineExceeded", text)
        elif len(failed) > spec.get("backoffLimit", 6):
            text = "Job has reached the specified backoff limit"
            self._finish(job, ("FailureTarget", "Failed"), "BackoffLimitExceeded", text)
        elif not active and monotonic() - self._refused.get(job["metadata"]["uid"], 0.0) > 1:
            self._create_pod(job)

    async def _advance_indexed(self, job: Object) -> None:
        """Run a pod for each index, again where it failed, until one failed too often."""
        status, spec = job["status"], job["spec"]
        by_index: dict[int, list[Object]] = {n: [] for n in range(spec["completions"])}
        for pod in self.pods_of(job):
            by_index[int(pod["metadata"]["annotations"][INDEX])].append(pod)
        phases = {n: [pod["status"].get("phase") for pod in pods] for n, pods in by_index.items()}
        active = [p for pods in by_index.values() for p in pods if not status_is_over(p)]
        done = [n for n, known in phases.items() if "Succeeded" in known]
        lost = [
            n for n, known in phases.items()
            if known.count("Failed") > spec["backoffLimitPerIndex"]
        ]  # fmt: skip
        told = {
            "active": len(active),
            "ready": sum(map(_is_ready, active)),
            "succeeded": len(done),
            "failed": sum(known.count("Failed") for known in phases.values()),
            "completedIndexes": ",".join(map(str, done)),
            "failedIndexes": ",".join(map(str, lost)),
        }
        if any(status.get(name, 0) != value for name, value in told.items()):
            status |= told
            self.objects.changed("jobs", job)
        if len(done) == spec["completions"]:
            status["completionTime"] = now()
            text = "Reached expected number of succeeded pods"
            self._finish(job, ("SuccessCriteriaMet", "Complete"), "CompletionsReached", text)
        elif len(lost) > spec["maxFailedIndexes"]:
            for pod in active:
                await self.machine.end(pod, 0)
            text = "Job has exceeded the specified maximal number of failed indexes"
            self._finish(job, ("FailureTarget", "Failed"), "MaxFailedIndexesExceeded", text)
        else:
            for number in range(spec["completions"]):
                running = any(not status_is_over(pod) for pod in by_index[number])
                if number not in done and not running and len(active) < spec["parallelism"]:
                    self._create_pod(job, number)
                    active.append({})

    def pods_of(self, job: Object) -> list[Object]:
        """Return the pods that a Job has made."""
        uid = job["metadata"]["uid"]
        return [
            pod
            for pod in self.objects.find("pods", job["metadata"]["namespace"])
            if any(o["uid"] == uid for o in pod["metadata"].get("ownerReferences") or ())
        ]

    def has_counted(self, pod: Object) -> bool:
        """Return whether the Job of a pod has taken note of its end."""
        owners = {owner["uid"] for owner in pod["metadata"]["ownerReferences"]}
        return any(
            _is_finished(job)
            for job in self.objects.find("jobs")
            if job["metadata"]["uid"] in owners
        )

    def _create_pod(self, job: Object, index: int | None = None) -> None:
        meta = job["metadata"]
        template = copy.deepcopy(job["spec"]["template"])
        names = {"job-name": meta["name"], "controller-uid": meta["uid"]}
        labels = names | {f"batch.kubernetes.io/{name}": value for name, value in names.items()}
        template.setdefault("metadata", {}).setdefault("labels", {}).update(labels)
        template["metadata"]["generateName"] = f"{meta['name']}-"
        if index is not None:
            template["metadata"]["generateName"] += f"{index}-"
            template["metadata"]["labels"][INDEX] = str(index)
            template["metadata"].setdefault("annotations", {})[INDEX] = str(index)
            for container in template["spec"]["containers"]:
                name = "JOB_COMPLETION_INDEX"
                container.setdefault("env", []).append({"name": name, "value": str(index)})
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"]}
        template["metadata"]["ownerReferences"] = [owner | {"controller": True}]
        try:
            pod = self.create("pods", meta["namespace"], template)
        except Refused as refusal:
            self._refused[meta["uid"]] = monotonic()
            text = f"Error creating: {refusal.message}"
            self.machine.event(job, "Warning", "FailedCreate", text)
        else:
            text = f"Created pod: {pod['metadata']['name']}"
            self.machine.event(job, "Normal", "SuccessfulCreate", text)

    def _finish(self, job: Object, kinds: tuple[str, str], reason: str, message: str) -> None:
        since = {"lastTransitionTime": now(), "lastProbeTime": now()}
        job["status"]["conditions"] = [
            {"type": kind, "status": "True", "reason": reason, "message": message} | since
            for kind in kinds
        ]
        self.objects.changed("jobs", job)

    async def _forget_late(self, job: Object) -> None:
        seconds = job["spec"].get("ttlSecondsAfterFinished", math.inf)
        if _age(job["status"]["conditions"][-1]["lastTransitionTime"]) >= seconds:
            await self.remove(job, "Background", 0)

    async def remove(self, job: Object, policy: str, grace: float) -> None:
        """Delete a Job; its pods go with it unless the policy is Orphan."""
        self.objects.remove("jobs", job)
        for pod in self.pods_of(job):
            if policy == "Orphan":
                pod["metadata"]["ownerReferences"] = []
                self.objects.changed("pods", pod)
            else:
                await self.machine.end(pod, grace)


def _is_finished(job: Object) -> bool:
    return any(
        condition["type"] in ("Complete", "Failed")
        for condition in job["status"].get("conditions") or ()
    )


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _age(stamp: str) -> float:
    then = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return (datetime.now(UTC) - then).total_seconds()
