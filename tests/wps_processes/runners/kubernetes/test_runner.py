"""Jobs in a pretended cluster: the pods' real program, the real service, and what goes wrong."""

import json
import shutil
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
import pytest
import requests
from werkzeug.serving import make_server

from benchmarks.served import Client, serving, until
from hub.local.machine import free_port
from hub.local.processes import marked
from landcover.operation import Needs
from tests.stand_ins.kubernetes import Image, Node, PretendedCluster, not_found
from tests.stand_ins.kubernetes.node import MARK
from tests.stand_ins.nextcloud.servers import Server, stood_in
from tests.wps_processes.conftest import KnownTokens
from tests.wps_processes.jobs.test_ledger import EXTRACT
from wps_processes.jobs.dispatcher import Dispatcher
from wps_processes.jobs.folder import FETCHED
from wps_processes.jobs.ledger import LEASE_SECONDS, Job, Ledger
from wps_processes.jobs.membership import HubUnavailable
from wps_processes.jobs_service import JobsService
from wps_processes.runners.fetching import Fetcher
from wps_processes.runners.kubernetes import attempt
from wps_processes.runners.kubernetes.api import Cluster
from wps_processes.runners.kubernetes.attempt import RunnerContext
from wps_processes.runners.kubernetes.callbacks import Runs, RunTokens
from wps_processes.runners.kubernetes.runner import KubernetesRunner
from wps_processes.runners.kubernetes.settings import ClusterSettings
from wps_processes.runners.kubernetes.watch import Watching
from wps_processes.runners.needs import MARGIN_MIB
from wps_processes.service import Application

pytestmark = pytest.mark.timeout(180)
IMAGE, CUDA, CLAIM = "geoportal/job:1", "geoportal/job-cuda:1", "geo-storage"
KEY = b"k" * 32
# the program of a pod, whose operation waits for a file to vanish before it begins
HELD = """
import sys, time
from pathlib import Path
from landcover.progress import report_progress
from wps_processes.runners import worker as job
from wps_processes.runners.kubernetes import pod

run = job._run
job._IMPORTED_IN_ADVANCE = ()  # takes seconds, and this operation needs nothing of it

def held(request, voice):
    voice.remark("it is held")
    while Path({hold!r}).exists():
        report_progress(0.42, "held")
        time.sleep(0.02)
    return run(request, voice)

job._run = held
sys.exit(pod.main())
"""


@dataclass
class Service:
    """A service whose jobs run in the pretended cluster."""

    cluster: PretendedCluster
    ledger: Ledger
    dispatcher: Dispatcher
    url: str
    stop: Callable[[], None]

    def submit(self, inputs=EXTRACT, user="anna", groups=(), operation="extract-samples"):
        made = Job(
            user=user,
            folder=user,
            groups=list(groups),
            administrator=False,
            operation=operation,
            inputs=inputs,
            request="{}",
        )
        self.dispatcher.submit(made)
        return made.id

    def over(self, job_id):
        return until(lambda: (known := self.ledger.get(job_id)).is_over and known)

    def says(self, job_id, words):
        known = until(
            lambda: (
                ((known := self.ledger.get(job_id)).is_over or words in known.message) and known
            )
        )
        assert words in known.message

    def pod(self):
        """Wait for the one pod that runs, and return its name."""
        found = self.cluster.wait_for("pods", lambda p: p["status"].get("phase") == "Running")
        return found["metadata"]["name"]

    def processes(self):
        return [p for pod in self.cluster.find("pods") for p in marked({MARK: uid(pod)})]


def uid(thing):
    return thing["metadata"]["uid"]


@pytest.fixture
def root(start):
    """The storage, with a scene and labels of anna's."""
    return start(running=False).root


@pytest.fixture
def cluster(root, tmp_path, monkeypatch):
    """A cluster whose claim is the storage."""
    with PretendedCluster(tmp_path / "cluster") as made:
        (tmp_path / "cluster/claims").mkdir()
        (tmp_path / f"cluster/claims/{CLAIM}").symlink_to(root)
        made.create_claim(CLAIM)
        monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig))
        yield made


@pytest.fixture
def hold(cluster, root):
    """A file; while it is there, operations do not begin."""
    file = root / "users/anna/hold"
    file.touch()
    program = root.parent / "held.py"
    program.write_text(HELD.format(hold=str(file)))
    script = f"#!/bin/sh\nexec {sys.executable} {program}\n"
    cluster.registry[IMAGE] = Image(programs={"python": script})
    return file


@pytest.fixture
def serve(root, cluster, tmp_path):
    """A function that starts a service; all are stopped at the end."""
    stops, ports = ExitStack(), (free_port(), free_port())

    def starter(
        patience=300.0,
        upgrade=300.0,
        at_once=4,
        place=tmp_path / "jobs.sqlite",
        at=0,
        told=0,
        groups_now=None,
        fetcher=None,
        lease=LEASE_SECONDS,
        **chosen,
    ):
        port, url = ports[at], f"http://127.0.0.1:{ports[told]}/services/wps/runs"
        settings = ClusterSettings(
            image=IMAGE, claim=CLAIM, namespace="geoportal", report_url=url, **chosen
        )
        api, tokens = Cluster("geoportal"), RunTokens(KEY)
        means = RunnerContext(
            root, api, Watching(api), settings, tokens, fetcher, patience, upgrade
        )
        ledger, runner = Ledger(place, lease), KubernetesRunner(means)
        dispatcher = Dispatcher(ledger, runner, at_once, groups_now=groups_now)
        runs = Runs(ledger, tokens, runner.orders, runner.told, groups_now)
        application = Application(JobsService(root, ledger, dispatcher), KnownTokens(), runs=runs)
        with ExitStack() as stack:
            stack.callback(ledger.close)
            server = stack.enter_context(
                make_server("127.0.0.1", port, application, threaded=True)
            )
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            dispatcher.start()
            stack.callback(dispatcher.stop)
            stop = stack.pop_all().close
        stops.callback(stop)
        return Service(cluster, ledger, dispatcher, url, stop)

    with stops:
        yield starter


def test_a_job_computes_in_a_pod_and_its_result_comes_back(serve, root, hold):
    service = serve()
    job = service.submit(groups=["ice"])
    service.says(job, "held")
    assert service.ledger.get(job).progress == 42
    assert until(lambda: service.ledger.get(job).remarks) == ["it is held"]
    hold.unlink()
    over = service.over(job)
    assert over.remarks == ["it is held"]
    assert (over.state, over.outputs["total"], over.attempt) == ("successful", 150, 1)
    folder = root / f"users/anna/jobs/{job}"
    assert (folder / "counts.csv").exists()
    assert "done" in (folder / "job.log").read_text()
    assert not [name for name in folder.iterdir() if name.name.startswith(".")]
    service.cluster.wait_for("jobs", has_condition("Complete"))


def test_a_pod_reads_what_its_owner_keeps_at_nextcloud(serve, root, tmp_path):
    stand_in, users = stood_in(tmp_path / "nextcloud")
    with stand_in.serving():
        dav = Server(stand_in.url, users, "ice & snow", {}, stand_in)
        there = stand_in.files("anna") / "Geoportal/home"
        there.mkdir(parents=True)
        shutil.copy(root / "shared/scene.tif", there / "ice.tif")
        service = serve(fetcher=Fetcher(root, dav.access))
        over = service.over(service.submit(EXTRACT | {"scene": "home/ice.tif"}))
    assert (over.state, over.outputs["total"]) == ("successful", 150)
    until(lambda: not (root / f"users/anna/jobs/{over.id}" / FETCHED).exists())


def has_condition(kind):
    return lambda thing: any(
        each["type"] == kind for each in thing["status"].get("conditions") or ()
    )


def test_no_secret_but_the_token_of_this_attempt_is_in_a_pod(serve, hold):
    service = serve()
    job = service.submit(groups=["ice"])
    (made,) = until(lambda: service.cluster.find("jobs"))
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    known = service.ledger.get(job)
    assert container["env"] == [
        {"name": "GEOPORTAL_RUN_URL", "value": f"{service.url}/{job}"},
        {"name": "GEOPORTAL_RUN_TOKEN", "value": RunTokens(KEY).of(known)},
        {"name": "HOME", "value": "/tmp"},
        {"name": "OMP_NUM_THREADS", "value": "1"},
        {"name": "LOKY_MAX_CPU_COUNT", "value": "1"},
        {"name": "CUDA_VISIBLE_DEVICES", "value": ""},
    ]
    assert "envFrom" not in container
    assert {next(iter(set(v) - {"name"})) for v in pod["volumes"]} == {
        "persistentVolumeClaim",
        "emptyDir",
    }
    hold.unlink()
    assert service.over(job).state == "successful"


def test_bad_input_is_told_in_the_operations_own_words(serve):
    service = serve()
    over = service.over(service.submit(EXTRACT | {"class_field": "kind"}))
    assert over.state == "failed"
    assert "kind" in over.error
    service.cluster.wait_for("jobs", has_condition("Complete"))


def test_dismissing_a_running_job_ends_its_pod(serve, root, hold):
    service = serve()
    job = service.submit()
    service.says(job, "held")
    processes = service.processes()
    assert len(processes) >= 2  # one computes, one reports
    assert service.dispatcher.dismiss(job, "dismissed by its owner")
    until(lambda: not service.cluster.find("jobs"))
    assert psutil.wait_procs(processes, timeout=30)[1] == []
    until(lambda: service.ledger.get(job).pid is None)
    assert service.ledger.get(job).state == "dismissed"
    assert [p.name for p in (root / f"users/anna/jobs/{job}").iterdir()] == ["job.log"]


def test_dismissing_a_waiting_job_leaves_nothing_in_the_cluster(serve, cluster):
    cluster.nodes[:] = [Node(cores=0)]
    service = serve()
    job = service.submit()
    service.says(job, "waiting for a node with free processors, 1 for this job")
    assert service.dispatcher.dismiss(job, "dismissed by its owner")
    until(lambda: not cluster.find("jobs") and not cluster.find("pods"))
    assert service.ledger.get(job).state == "dismissed"


@pytest.mark.parametrize("code", [137, 0])
def test_a_job_killed_for_want_of_memory_says_how_much_it_had(serve, hold, code):
    """With version 1 of control groups, such a pod may end with status 0."""
    service = serve()
    job = service.submit()
    service.says(job, "held")
    service.cluster.kill(service.pod(), "OOMKilled", code)
    over = service.over(job)
    assert over.state == "failed"
    assert f"more memory than the {2048 + MARGIN_MIB} MiB" in over.error


def test_a_job_that_crashes_fails_alone_and_in_words(serve, root, hold):
    service = serve()
    job = service.submit()
    service.says(job, "held")
    service.cluster.kill(service.pod(), "Error", 139)
    assert "crashed with signal 11" in service.over(job).error
    hold.unlink()
    assert service.over(service.submit()).state == "successful"


def evict(service, job, attempt):
    """Wait until this attempt runs, and take its pod for want of disk space."""
    service.says(job, "held")
    names = [pod["metadata"]["name"] for pod in service.cluster.find("pods")]
    (name,) = (name for name in names if name.startswith(f"wps-{job}-{attempt}-"))
    service.cluster.evict(name, "The node was low on resource: ephemeral-storage.")


def test_an_evicted_job_is_tried_again_once_then_says_what_its_nodes_were_short_of(serve, hold):
    service = serve()
    job = service.submit()
    evict(service, job, 1)
    until(lambda: service.ledger.get(job).attempt == 2)
    evict(service, job, 2)
    over = service.over(job)
    assert over.attempt == 2
    assert "its node was short of disk space" in over.error


def test_a_job_whose_node_is_emptied_ends_well_elsewhere(serve, root, hold):
    service = serve()
    job = service.submit()
    service.says(job, "held")
    service.dispatcher.pause("chief")
    service.cluster.drain(service.pod())
    service.says(job, "waiting to start again: the node on which the job ran was emptied")
    hold.unlink()
    service.dispatcher.resume("chief")
    over = service.over(job)
    assert (over.state, over.attempt, over.outputs["total"]) == ("successful", 2, 150)
    log = (root / f"users/anna/jobs/{job}/job.log").read_text()
    assert "emptied by an administrator" in log


def test_a_job_that_takes_too_long_is_ended(serve, hold):
    service = serve(longest_seconds=3)
    job = service.submit()
    over = service.over(job)
    assert "not over after 3 seconds" in over.error
    assert not service.processes()


def test_a_program_that_does_not_even_start_leaves_its_last_words_in_the_log(serve, root, cluster):
    script = "#!/bin/sh\necho no such module >&2\nexit 1\n"
    cluster.registry[IMAGE] = Image(programs={"python": script})
    service = serve()
    over = service.over(service.submit())
    assert over.state == "failed"
    assert "ended without a result" in over.error
    assert "no such module" in (root / f"users/anna/jobs/{over.id}/job.log").read_text()


def test_an_image_that_cannot_be_pulled_is_given_up_after_a_while(serve, cluster):
    cluster.registry[IMAGE] = not_found(IMAGE)
    service = serve(patience=0.1)
    over = service.over(service.submit())
    assert "image of jobs cannot be pulled" in over.error
    until(lambda: not cluster.find("jobs"))


def test_a_full_quota_is_waited_for(serve, cluster):
    cluster.quota = {"pods": 0}
    service = serve()
    job = service.submit()
    service.says(job, "its quota may be used up")
    cluster.quota = {}
    assert service.over(job).state == "successful"


def test_a_quota_of_jobs_is_waited_for_too(serve, cluster):
    words = "exceeded quota: geoportal, requested: count/jobs.batch=1"
    cluster.admission = lambda resource, thing: words if resource == "jobs" else None
    service = serve()
    job = service.submit()
    service.says(job, "waiting for room in the cluster's quota")
    cluster.admission = lambda resource, thing: None
    assert service.over(job).state == "successful"


def test_a_job_that_is_not_admitted_fails_with_a_sentence(serve, cluster):
    cluster.admission = lambda resource, thing: "image is not on the list"
    service = serve(upgrade=0.0)
    over = service.over(service.submit())
    assert over.state == "failed"
    assert "does not admit" in over.error
    assert "list" not in over.error  # for administrators


def test_a_job_that_is_not_admitted_during_an_upgrade_is_admitted_after_it(
    serve, cluster, monkeypatch
):
    monkeypatch.setattr("wps_processes.runners.kubernetes.attempt._FIRST_PAUSE", 0.4)
    words = "exceeded quota: geoportal, requested: count/jobs.batch=1"
    asked = []

    def full(resource, thing):
        asked.extend([thing] * (resource == "jobs"))
        return words if resource == "jobs" else None

    cluster.admission = full
    service = serve(upgrade=1.0)
    job = service.submit()
    until(lambda: len(asked) > 2)  # after more than a second, which does not count
    cluster.admission = lambda resource, thing: "image is not on the list"
    service.says(job, "does not admit the job yet")
    cluster.admission = lambda resource, thing: None
    assert service.over(job).state == "successful"


def test_lowered_limits_are_not_for_jobs_that_run(serve, hold):
    service = serve()
    job = service.submit()
    service.says(job, "held")
    service.stop()
    service = serve(most_memory_mib=1024)
    refused = service.over(service.submit())
    assert "a job may have 1024" in refused.error
    hold.unlink()
    assert service.over(job).state == "successful"


def test_no_job_is_lost_while_the_api_does_not_answer(serve, cluster, hold):
    service = serve()
    cluster.unavailable = True
    job = service.submit()
    service.says(job, "whose API does not answer")
    cluster.unavailable = False
    service.says(job, "held")
    cluster.unavailable = True
    hold.unlink()
    assert service.over(job).state == "successful"
    cluster.unavailable = False


def test_a_gpu_job_waits_for_a_node_with_a_gpu_and_goes_there(serve, cluster, monkeypatch):
    needs = Needs(gpus=1)
    monkeypatch.setattr(attempt, "needed_by", lambda job: needs)
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    tolerated = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    cuda = {"nodeSelector": {"gpu": "yes"}, "tolerations": [tolerated]}
    cluster.nodes[:] = [Node(labels={"gpu": "yes"}, taints=[taint])]
    service = serve(image_cuda=CUDA, placement={"cuda": cuda})
    job = service.submit()
    service.says(job, "waiting for a node with a free GPU")
    (made,) = cluster.find("jobs")
    spec = made["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["image"] == CUDA
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert (spec["nodeSelector"], spec["tolerations"]) == ({"gpu": "yes"}, [tolerated])
    cluster.nodes[0].gpus = 1
    assert service.over(job).state == "successful"


def test_a_gpu_job_without_an_image_for_it_is_refused(serve, monkeypatch):
    monkeypatch.setattr(attempt, "needed_by", lambda job: Needs(gpus=1))
    service = serve()
    assert "needs a GPU" in service.over(service.submit()).error
    assert service.cluster.find("jobs") == []


def test_a_service_that_ends_leaves_jobs_alone_and_the_next_one_finds_them(serve, hold):
    first = serve()
    job = first.submit()
    first.says(job, "held")
    (made,) = first.cluster.find("jobs")
    first.stop()

    second = serve()
    assert second.ledger.get(job).state == "running"
    hold.unlink()
    over = second.over(job)
    assert (over.state, over.attempt) == ("successful", 1)
    assert [uid(each) for each in second.cluster.find("jobs")] == [uid(made)]


def test_services_that_share_a_ledger_share_the_jobs_in_the_cluster(serve, hold, postgresql):
    place = postgresql.database()
    other = serve(place=place, at=1, lease=6.0, at_once=0)  # starts none by itself
    first = serve(place=place, told=1, lease=6.0)
    dismissed, kept = first.submit(), first.submit()
    for job in (dismissed, kept):
        first.says(job, "held")  # what the other one was told
        assert first.ledger.get(job).holder == first.ledger.holder
    assert other.dispatcher.dismiss(dismissed, "dismissed by its owner")
    until(lambda: len(first.cluster.find("jobs")) == 1)

    first.stop()
    until(lambda: other.ledger.get(kept).holder == other.ledger.holder)
    hold.unlink()
    over = other.over(kept)
    assert (over.state, over.attempt) == ("successful", 1)
    assert other.ledger.get(dismissed).state == "dismissed"


def test_a_service_that_is_killed_finds_its_job_again(cluster, hold, root, tmp_path):
    given = {
        "jobs_run_in": "kubernetes",
        "job_image": IMAGE,
        "job_claim": CLAIM,
        "job_namespace": "geoportal",
    }
    for name in ("scene.tif", "labels.tif"):
        (root / "shared" / name).unlink(missing_ok=True)
    (root / "shared").rmdir()
    with serving(tmp_path, **given) as service:
        anna = Client(service, "anna")
        job = anna.accepted()
        until(lambda: anna.job(job)["message"] == "held")
        (made,) = cluster.find("jobs")
        service.stop(9)
        hold.unlink()
        # its result comes while nobody listens
        until(lambda: "done" in (root / f"users/anna/jobs/{job}/job.log").read_text())
        service.start()
        until(lambda: anna.job(job)["state"] == "successful")
        cluster.wait_for("jobs", has_condition("Complete"))
        assert [uid(each) for each in cluster.find("jobs")] == [uid(made)]
    key = tmp_path / "job-token.key"
    assert key.stat().st_mode & 0o777 == 0o600
    (container,) = made["spec"]["template"]["spec"]["containers"]
    token = container["env"][1]["value"]
    for kept in tmp_path.glob("*"):  # the ledger, keys and the log
        assert kept.is_dir() or token.encode() not in kept.read_bytes()
    events = [json.loads(line) for line in service.log.read_text().splitlines()]
    said = [event["message"] for event in events if event.get("job") == job]
    assert said.count("job successful") == 1


@pytest.fixture
def running(serve, hold):
    """A service, and the row and token of a job that runs there."""
    service = serve()
    job = service.submit()
    service.says(job, "held")
    known = service.ledger.get(job)
    return service, known, RunTokens(KEY).of(known)


def asked(service, job_id, token, method="GET", **said):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.request(method, f"{service.url}/{job_id}", headers=headers, timeout=30, **said)


def test_the_route_takes_the_token_of_this_attempt_and_no_other(running):
    service, job, token = running
    assert asked(service, job.id, token).json()["operation"] == "extract-samples"
    old = RunTokens(KEY).of(Job(**(vars(job) | {"attempt": job.attempt - 1})))
    others = RunTokens(KEY).of(Job(**(vars(job) | {"id": "11111111-1111-1111-1111-111111111111"})))
    foreign = RunTokens(b"x" * 32).of(job)
    for wrong in (old, others, foreign, "anna", "", token[:-1], "é"):
        answer = asked(service, job.id, wrong.encode().decode("latin-1") if wrong else "")
        assert answer.status_code == 401, wrong
    assert asked(service, "11111111-1111-1111-1111-111111111111", token).status_code == 401
    assert asked(service, f"{job.id}/x", token).status_code == 401
    for method in ("PUT", "DELETE", "PATCH", "HEAD"):
        assert asked(service, job.id, token, method).status_code == 405
    assert service.ledger.get(job.id).state == "running"


def test_a_pod_mounts_nothing_of_a_group_that_its_owner_has_left(serve, hold):
    service = serve(groups_now=lambda user: ("sea",))
    job = service.submit(groups=["ice", "sea"])
    service.says(job, "held")
    (made,) = service.cluster.find("jobs")
    (container,) = made["spec"]["template"]["spec"]["containers"]
    mounted = [each.get("subPath") for each in container["volumeMounts"]]
    assert mounted == ["users/anna", "team/sea", "shared", None]
    hold.unlink()
    assert service.over(job).state == "successful"


def test_a_pod_that_begins_late_is_told_of_the_groups_of_that_time(serve, hold):
    now = [("ice", "sea")]
    service = serve(groups_now=lambda user: now[0])
    job = service.submit(groups=["ice", "sea"])
    service.says(job, "held")
    token = RunTokens(KEY).of(service.ledger.get(job))
    assert asked(service, job, token).json()["groups"] == ["ice", "sea"]
    now[0] = ("sea",)
    assert asked(service, job, token).json()["groups"] == ["sea"]
    hold.unlink()
    assert service.over(job).groups == ["sea"]


def test_a_pod_gets_no_orders_while_nobody_knows_the_groups(serve, hold):
    is_away = []

    def groups_now(user):
        if is_away:
            raise HubUnavailable("nobody answers")
        return ("ice",)

    service = serve(groups_now=groups_now)
    job = service.submit(groups=["ice"])
    service.says(job, "held")
    token = RunTokens(KEY).of(service.ledger.get(job))
    is_away.append(True)
    assert asked(service, job, token).status_code == 503
    assert service.ledger.get(job).state == "running"
    is_away.clear()
    assert asked(service, job, token).json()["groups"] == ["ice"]


FORGED = (
    b"",
    b"{}",
    b"nonsense",
    b"[1, 2]",
    b"[" * 100_000,
    b'{"state": "successful"}',
    b'{"outputs": "all"}',
    b'{"outputs": {"total": [1]}}',
    b'{"outputs": {"total": {"a": 1}}}',
    b'{"outputs": {"total": NaN}}',
    b'{"outputs": {"total": 1e999}}',
    b'{"error": 5}',
    b'{"progress": "50", "message": "x"}',
    b'{"progress": 50}',
)


def test_what_no_job_says_is_refused_and_changes_nothing(running):
    service, job, token = running
    for forged in FORGED:
        answer = asked(service, job.id, token, "POST", data=forged)
        assert answer.status_code in (400, 411), forged
    big = b" " * (1 << 20) + b'{"error": "x"}'
    assert asked(service, job.id, token, "POST", data=big).status_code == 413
    assert service.ledger.get(job.id).state == "running"


def test_what_is_over_stays_as_it_is(running, hold):
    service, job, token = running
    hold.unlink()
    assert service.over(job.id).state == "successful"
    for word in ({"error": "late"}, {"progress": 5, "message": "late"}, {"outputs": {}}):
        assert asked(service, job.id, token, "POST", json=word).status_code == 409
    assert asked(service, job.id, token).status_code == 409
    assert service.ledger.get(job.id).outputs["total"] == 150


def test_a_pod_that_hears_of_its_dismissal_ends_itself(running, hold):
    """Whoever deletes the Job may be late, or never come."""
    service, job, _ = running
    processes = service.processes()
    service.ledger.dismiss(job.id)  # nobody tells the runner
    assert psutil.wait_procs(processes, timeout=30)[1] == []
