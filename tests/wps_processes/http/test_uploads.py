"""Uploads over the web server: by another's client of tus, and by connections that break off."""

import io
import threading

import numpy as np
import pytest
import requests

from benchmarks.served import until
from tests.wps_processes.http.test_server import PREFIX, connected, read, serving
from wps_processes.service import MAX_BODY

CHUNK = "application/offset+octet-stream"
KNOWN = {"Authorization": "token anna", "Tus-Resumable": "1.0.0"}


@pytest.fixture
def served(start):
    wps = start(running=False)
    with serving(wps.client.application) as port:
        yield f"http://127.0.0.1:{port}", wps.root / "users/anna/uploads", port


def announced(url, length):
    told = {"Upload-Length": str(length), "Upload-Metadata": "filename c2NlbmUuemlw"}
    answer = requests.post(f"{url}{PREFIX}uploads", headers=KNOWN | told, timeout=30)
    assert answer.status_code == 201
    return answer.headers["Location"]


def arrived(url, path):
    return int(requests.head(f"{url}{path}", headers=KNOWN, timeout=30).headers["Upload-Offset"])


def test_the_client_of_others_uploads_and_resumes(served):
    tusclient = pytest.importorskip("tusclient.client")
    url, folder, _ = served
    content = np.random.default_rng(0).bytes(3 * MAX_BODY + 17)
    client = tusclient.TusClient(f"{url}{PREFIX}uploads", headers={"Authorization": "token anna"})
    how = {"file_stream": io.BytesIO(content), "chunk_size": MAX_BODY}
    first = client.uploader(**how, metadata={"filename": "scene.zip"})
    first.upload(stop_at=MAX_BODY)
    assert not (folder / "scene.zip").exists()
    second = client.uploader(**how, url=first.url)
    assert second.offset == MAX_BODY
    second.upload()
    assert (folder / "scene.zip").read_bytes() == content


def test_a_part_that_breaks_off_counts_for_nothing(served):
    url, folder, port = served
    path = announced(url, 1000)
    with connected(port) as client:
        head = (
            f"PATCH {path} HTTP/1.1\r\nHost: x\r\nAuthorization: token anna\r\n"
            "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n"
            "Upload-Offset: 0\r\nContent-Length: 1000\r\n\r\n"
        )
        client.sendall(head.encode() + b"x" * 999)
    assert arrived(url, path) == 0
    assert not (folder / "scene.zip").exists()


def test_more_than_one_body_may_hold_is_refused_in_words(served):
    url, _, port = served
    path = announced(url, 3 * MAX_BODY)
    with connected(port) as client:
        head = (
            f"PATCH {path} HTTP/1.1\r\nHost: x\r\nAuthorization: token anna\r\n"
            "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n"
            f"Upload-Offset: 0\r\nContent-Length: {2 * MAX_BODY}\r\n\r\n"
        )
        client.sendall(head.encode() + b"x" * 1000)
        answer = read(client)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert f"at most {MAX_BODY} are read".encode() in answer


def test_two_at_once_lose_and_mix_nothing(served):
    url, folder, _ = served
    path = announced(url, 64 * 1000)
    said = []

    def send():
        with requests.Session() as session:
            session.headers.update(KNOWN, **{"Content-Type": CHUNK})
            offset = 0
            while offset < 64 * 1000:
                part = (offset // 1000).to_bytes(1, "big") * 1000
                answer = session.patch(
                    f"{url}{path}", part, headers={"Upload-Offset": str(offset)}, timeout=30
                )
                said.append(answer.status_code)
                known = session.get(f"{url}{path}", timeout=30)
                if known.status_code != 423:  # else the whole file is being placed
                    offset = int(known.headers["Upload-Offset"])

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    until(lambda: (folder / "scene.zip").exists())
    expected = b"".join(number.to_bytes(1, "big") * 1000 for number in range(64))
    assert (folder / "scene.zip").read_bytes() == expected
    assert said.count(204) == 64
    assert set(said) <= {204, 404, 409, 423}
