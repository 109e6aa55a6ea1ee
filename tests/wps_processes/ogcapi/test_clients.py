"""What others have written holds the API against the standard: a client, a validator, a fuzzer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator
from owslib.ogcapi.processes import Processes

from benchmarks.served import DEADLINE
from tests.wps_processes.conftest import KnownTokens
from tests.wps_processes.ogcapi.conftest import Api
from tests.wps_processes.ogcapi.test_core import SENT, links

SCHEMATHESIS = """
headers = {{ Authorization = "token anna" }}
[parameters]
"path.jobId" = "{job}"
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "409", "503"]
"""
"""Inputs depend on the process, which a templated path cannot say: what does not fit is 400."""


class OnlyAnna(KnownTokens):
    """Nobody else has a token, whatever is sent."""

    def caller(self, request):
        caller = super().caller(request)
        return caller if caller is not None and caller.name == "anna" else None


def test_owslib_lists_describes_and_executes(served):
    with served() as (address, wps):
        client = Processes(address, headers={"Authorization": "token anna"})
        assert "echo" in [each["id"] for each in client.processes()]
        assert client.process("echo")["inputs"]["text"]["schema"] == {
            "type": "string",
            "default": "",
        }
        assert client.api()["openapi"] == "3.0.3"
        assert len(client.conformance()["conformsTo"]) == 6
        assert client.execute("echo", SENT)["text"] == "teststring"
        made = client.execute("echo", SENT, async_=True)
        assert wps.dispatcher.wait(made["jobID"], DEADLINE).state == "successful"
        (job,) = (each for each in client._request(path="jobs")["jobs"]
                  if each["jobID"] == made["jobID"])  # fmt: skip
        assert links(job)["self"] == links(made)["self"]
        with pytest.raises(RuntimeError, match="echo has no input nothing"):
            client.execute("echo", {"nothing": 1})


def test_the_description_is_valid_openapi(idle):
    OpenAPIV30SpecValidator(json.loads(idle.get("api").data)).validate()


@pytest.mark.parametrize("cases", [15, pytest.param(200, marks=pytest.mark.proof)])
def test_a_fuzzer_finds_nothing(served, tmp_path, cases):
    with served(at_once=4) as (address, wps):
        wps.client.application.identity = OnlyAnna()
        job = Api(wps).begin(inputs=SENT)
        wps.dispatcher.wait(job, DEADLINE)
        (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS.format(job=job))
        found = subprocess.run(
            [Path(sys.executable).with_name("schemathesis"), "run", f"{address}/api",
             "--header", "Authorization: token anna", "--max-examples", str(cases),
             "--seed", "1", "--phases", "examples,fuzzing", "--no-color"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        print(found.stdout)
        assert found.returncode == 0, found.stdout + found.stderr
        jobs = Api(wps).json("jobs", status="successful")["jobs"]
        assert len(jobs) > 1, found.stdout  # else all that it sent was refused
