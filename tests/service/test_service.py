"""The service over HTTP, without a network."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from speech2lip.errors import UserError
from speech2lip.jobs.store import DONE, RUNNING
from speech2lip.jobs.workspace import Workspace
from speech2lip.service.app import make_app
from speech2lip.service.server import is_loopback, users_of
from speech2lip.service.users import Users

JOB = {"kind": "evaluate", "name": "anna"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def alone(data: Path) -> TestClient:
    return TestClient(make_app(Users(data, alone=True)), base_url="http://127.0.0.1:7860")


@pytest.fixture
def two(data: Path) -> tuple[TestClient, TestClient, Users]:
    """Clients of two users."""
    users = Users(data)
    app = make_app(users)
    tokens = [users.add(name) for name in ("anna", "bob")]
    anna, bob = (TestClient(app, headers={"Authorization": f"Bearer {token}"}) for token in tokens)
    return anna, bob, users


def _upload(client: TestClient, content: bytes, name: str = "me.mp4") -> str:
    begun = client.post("/v1/uploads", json={"name": name, "size": len(content)})
    assert begun.status_code == 201
    identity = begun.json()["id"]
    done = client.patch(f"/v1/uploads/{identity}", content=content, headers={"Upload-Offset": "0"})
    assert done.status_code == 200 and done.json()["complete"]
    return str(identity)


def test_the_service_says_that_it_is_there_without_a_token(two):
    anna, _, _ = two
    found = TestClient(anna.app).get("/v1/health")
    assert found.status_code == 200 and found.json()["status"] == "ok"


def test_nothing_else_is_said_without_the_right_token(two):
    anna, _, users = two
    stranger = TestClient(anna.app)
    checked = 0
    for path, methods in anna.app.openapi()["paths"].items():
        for method in methods:
            if path == "/v1/health":
                continue
            for headers in ({}, {"Authorization": "Bearer s2l_wrong"}, {"Authorization": "Basic abc"}):
                reply = stranger.request(
                    method, path.replace("{identity}", "a" * 16).replace("{name}", "anna"), headers=headers
                )
                assert reply.status_code == 401 and "token" in reply.json()["error"], (method, path)
                checked += 1
    assert checked > 40
    users.remove("anna")
    assert anna.get("/v1/jobs").status_code == 401


def test_an_upload_goes_on_where_it_was_broken_off(alone, data):
    content = bytes(range(256)) * 10_000
    begun = alone.post("/v1/uploads", json={"name": "../../me.MP4", "size": len(content)}).json()
    where = f"/v1/uploads/{begun['id']}"
    assert alone.patch(where, content=content[:1000], headers={"Upload-Offset": "0"}).json()["offset"] == 1000
    again = alone.patch(where, content=content[:1000], headers={"Upload-Offset": "0"})
    assert again.status_code == 409 and "go on at 1000" in again.json()["error"]
    assert alone.get(where).json()["offset"] == 1000
    rest = alone.patch(where, content=content[1000:], headers={"Upload-Offset": "1000"})
    assert rest.json()["complete"]
    more = alone.patch(where, content=b"x", headers={"Upload-Offset": str(len(content))})
    assert more.status_code == 413
    (file,) = (data / "uploads" / begun["id"]).glob("*.mp4")
    assert file.read_bytes() == content and file.parent.parent == (data / "uploads").resolve()
    assert alone.delete(where).status_code == 204 and alone.get(where).status_code == 404


def test_uploads_are_bounded(alone, data):
    workspace = alone.app.state.users.workspaces()[0]
    workspace.uploads.most, workspace.uploads.total = 1000, 1500
    assert alone.post("/v1/uploads", json={"name": "a.mp4", "size": 1001}).status_code == 413
    assert alone.post("/v1/uploads", json={"name": "a.mp4", "size": 0}).status_code == 413
    assert alone.post("/v1/uploads", json={"name": "a.mp4", "size": 1000}).status_code == 201
    left = alone.post("/v1/uploads", json={"name": "b.mp4", "size": 501})
    assert left.status_code == 413 and "500 are left" in left.json()["error"]


def test_a_job_is_ordered_with_an_upload_and_shown(alone):
    video = _upload(alone, b"no video")
    order = {"kind": "learn", "name": "anna", "values": {"video": video, "minutes": 30, "consent": True}}
    made = alone.post("/v1/jobs", json=order)
    assert made.status_code == 201 and made.json()["state"] == "queued"
    assert made.json()["values"]["video"].endswith("me.mp4") and made.json()["values"]["minutes"] == 30.0
    found = alone.get("/v1/jobs", params={"state": "queued", "name": "anna"}).json()
    assert [job["id"] for job in found] == [made.json()["id"]]
    assert alone.get("/v1/jobs", params={"name": "bob"}).json() == []


@pytest.mark.parametrize(
    ("order", "status", "said"),
    [
        ({"kind": "dance", "name": "anna"}, 422, "there is no kind of job"),
        ({"kind": "evaluate", "name": "../bob"}, 422, "cannot be a subject's name"),
        (
            {"kind": "speak", "name": "anna", "values": {"audio": "/etc/passwd"}},
            404,
            "there is no upload '/etc/passwd'",
        ),
        ({"kind": "speak", "name": "anna", "values": {"audio": "../../x"}}, 404, "there is no upload"),
        ({"kind": "train", "name": "anna", "values": {"minutes": 1e99}}, 422, "no number between"),
        ({"kind": "train", "name": "anna", "values": {"minutes": 1, "config": "/etc/passwd"}}, 422, "has no parameter"),
    ],
)
def test_orders_that_cannot_be_carried_out_are_one_sentence(alone, order, status, said):
    reply = alone.post("/v1/jobs", json=order)
    assert reply.status_code == status and said in reply.json()["error"]
    assert alone.get("/v1/jobs").json() == []


def test_an_upload_that_has_not_arrived_is_no_input(alone):
    begun = alone.post("/v1/uploads", json={"name": "a.wav", "size": 100}).json()
    reply = alone.post("/v1/jobs", json={"kind": "speak", "name": "anna", "values": {"audio": begun["id"]}})
    assert reply.status_code == 422 and "0 of 100 bytes" in reply.json()["error"]


def test_the_same_key_orders_once(alone):
    first, again = (alone.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": "k"}).json()["id"] for _ in range(2))
    assert first == again and len(alone.get("/v1/jobs").json()) == 1
    other = alone.post("/v1/jobs", json={**JOB, "name": "bob"}, headers={"Idempotency-Key": "k"})
    assert other.status_code == 409


def test_jobs_are_paused_resumed_cancelled_and_removed(alone):
    job = alone.post("/v1/jobs", json=JOB).json()["id"]
    for action, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        assert alone.post(f"/v1/jobs/{job}/{action}").json()["state"] == state
    assert alone.post(f"/v1/jobs/{job}/pause").status_code == 409
    assert alone.delete(f"/v1/jobs/{job}").status_code == 204
    assert alone.get(f"/v1/jobs/{job}").status_code == 404


def test_nobody_sees_what_is_anothers(two, data):
    anna, bob, _ = two
    upload = _upload(anna, b"secret", "secret.wav")
    job = anna.post("/v1/jobs", json={"kind": "speak", "name": "anna", "values": {"audio": upload}}).json()["id"]
    folder = data / "users" / "anna" / "jobs" / job
    (folder / "result.mp4").write_bytes(b"secret video")
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/log", f"/v1/jobs/{job}/files", f"/v1/jobs/{job}/files/result.mp4",
                 f"/v1/jobs/{job}/events", f"/v1/uploads/{upload}", f"/v1/jobs/../../anna/jobs/{job}"):  # fmt: skip
        assert bob.get(path).status_code == 404, path
        if "events" not in path and ".." not in path:
            assert anna.get(path).status_code == 200, path
    assert bob.get("/v1/jobs").json() == bob.get("/v1/uploads").json() == []
    assert bob.post(f"/v1/jobs/{job}/cancel").status_code == 404
    assert bob.post("/v1/jobs", json={"kind": "speak", "name": "x", "values": {"audio": upload}}).status_code == 404
    assert bob.get(f"/v1/jobs/{job}/files/..%2f..%2f..%2fanna%2fjobs%2f{job}%2fresult.mp4").status_code == 404


def test_results_are_served_whole_or_in_ranges_and_nothing_beside_them(alone, data):
    job = alone.post("/v1/jobs", json=JOB).json()["id"]
    folder = data / "jobs" / job
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "report.html").write_text("<p>report</p>")
    (folder / "result.mp4").write_bytes(bytes(range(100)))
    (folder / "log.txt").write_text("one\ntwo\n")
    (folder / "link").symlink_to(data / "jobs" / "jobs.sqlite")
    files = {file["path"]: file["size"] for file in alone.get(f"/v1/jobs/{job}/files").json()}
    assert files == {"evaluation/report.html": 13, "result.mp4": 100}
    part = alone.get(f"/v1/jobs/{job}/files/result.mp4", headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == bytes(range(10, 20))
    assert alone.get(f"/v1/jobs/{job}/log").text == "one\ntwo\n"
    for name in (
        "link",
        "log.txt",
        "alive",
        "../jobs.sqlite",
        "..%2fjobs.sqlite",
        "evaluation",
        "%2fetc%2fpasswd",
    ):
        assert alone.get(f"/v1/jobs/{job}/files/{name}").status_code == 404, name


def test_events_tell_every_change_and_end_with_the_job(alone, data):
    jobs = Workspace(data).jobs
    job = alone.post("/v1/jobs", json=JOB).json()["id"]
    timer = threading.Timer(0.8, lambda: (jobs.take(), jobs.settle(job, DONE, 0)))
    timer.start()
    events = [json.loads(line[6:]) for line in alone.get(f"/v1/jobs/{job}/events").text.splitlines() if line]
    timer.join()
    assert events[0]["state"] == "queued" and events[-1]["state"] == "done"


def test_progress_is_shown_while_a_job_runs_and_not_that_of_its_last_try(alone, data):
    jobs = Workspace(data).jobs
    job = alone.post("/v1/jobs", json=JOB).json()["id"]
    begun = jobs.take()
    facts = {"title": "training", "done": 5, "total": 10, "unit": "step", "rate": 2.0}
    file = jobs.folder_of(job) / "progress.json"
    file.write_text(json.dumps({**facts, "at": begun.began - 100}))
    assert alone.get(f"/v1/jobs/{job}").json()["progress"] is None
    file.write_text(json.dumps({**facts, "at": begun.began + 1}))
    shown = alone.get(f"/v1/jobs/{job}").json()
    assert shown["state"] == RUNNING and shown["progress"]["share"] == 0.5 and shown["progress"]["left"] == 2.5


def test_the_queue_of_one_user_is_bounded(alone, monkeypatch):
    from speech2lip.service import app

    monkeypatch.setattr(app, "_MOST_WAITING", 3)
    for _ in range(3):
        assert alone.post("/v1/jobs", json=JOB).status_code == 201
    assert alone.post("/v1/jobs", json=JOB).status_code == 409


def test_subjects_are_listed_and_removed(alone, data, subject_config):
    import shutil

    assert alone.get("/v1/subjects").json() == []
    (data / "dataset").mkdir(parents=True)
    shutil.copytree(subject_config.data.root, data / "dataset" / "anna")
    (found,) = alone.get("/v1/subjects").json()
    assert (found["name"], found["state"], found["trained"]) == ("anna", "ready", False) and found["frames"] > 100
    assert alone.get("/v1/subjects/anna").json() == found
    assert alone.get("/v1/subjects/bob").status_code == alone.delete("/v1/subjects/bob").status_code == 404
    assert alone.delete("/v1/subjects/anna").status_code == 204 and alone.get("/v1/subjects").json() == []


def test_other_sites_cannot_speak_for_whoever_sits_here(alone):
    """A page of another site, and one whose name was made to lead here."""
    job = alone.post("/v1/jobs", json=JOB).json()["id"]
    cancel = f"/v1/jobs/{job}/cancel"
    assert alone.post(cancel, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert alone.post(cancel, headers={"Host": "evil.example:7860"}).status_code == 400
    assert alone.get("/v1/jobs", headers={"Host": "evil.example"}).status_code == 400
    assert alone.get(f"/v1/jobs/{job}").json()["state"] == "queued"
    assert (
        "access-control-allow-origin" not in alone.get("/v1/jobs", headers={"Origin": "https://evil.example"}).headers
    )
    assert alone.post(cancel, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_only_loopback_is_served_without_users(data):
    assert users_of(data, "127.0.0.1").alone and users_of(data, "localhost").alone and users_of(data, "::1").alone
    for host in ("0.0.0.0", "192.168.0.3", "example.org", "::"):
        assert not is_loopback(host)
        with pytest.raises(UserError, match="has no users yet: add one first with speech2lip serve"):
            users_of(data, host)
    Users(data).add("anna")
    assert not users_of(data, "127.0.0.1").alone and not users_of(data, "0.0.0.0").alone


def test_tokens_are_not_kept_and_their_file_is_private(data):
    token = Users(data).add("anna")
    file = data / "users.json"
    assert token not in file.read_text() and file.stat().st_mode & 0o077 == 0
    for name in ("anna", "../x", "", "-x"):
        with pytest.raises(UserError):
            Users(data).add(name)
    file.write_text("{")
    with pytest.raises(UserError, match=r"users\.json cannot be read"):
        Users(data).workspace(token)
