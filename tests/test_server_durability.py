"""What was acknowledged stays, whatever happens to the process; nothing is half there."""

import hashlib
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import requests
from hubs import ARTIFACT, Hub, add_users, artifact_operations, running_hub
from huggingface_hub import CommitOperationAdd

from retq_hub.errors import StorageError
from retq_hub.server.services import open_database, open_services

KILLS = 3


def push_until_it_dies(hub: Hub, repo: str, start: int, kept: dict[str, bytes]) -> None:
    """Commit one file after the other; note those that the hub acknowledged."""
    login = {"Authorization": f"Bearer {hub.tokens['alice']}"}
    for number in range(start, start + 10_000):
        name, data = f"{number}.bin", b"\0" + f"{repo} {number}".encode() * 200
        commit = (
            '{"key":"header","value":{"summary":"s"}}\n'
            f'{{"key":"file","value":{{"path":"{name}","content":"{encoded(data)}"}}}}\n'
        )
        try:
            answer = requests.post(
                f"{hub.endpoint}/api/models/{repo}/commit/main",
                data=commit,
                headers=login,
                timeout=10,
            )
        except requests.RequestException:
            return
        assert answer.status_code == 200, answer.text
        kept[name] = data


def encoded(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


def check_whole(hub: Hub) -> None:
    """Check that every file of every commit is on the disk and is what its name says."""
    database = open_database(hub.data)
    with database.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        digests = [row[0] for row in connection.execute("SELECT sha256 FROM blobs")]
        heads = connection.execute(
            "SELECT repos.head, refs.oid FROM repos JOIN refs ON refs.repo = repos.id "
            "WHERE refs.kind='heads' AND refs.name='main'"
        ).fetchall()
    database.close()
    assert heads
    assert all(head == oid for head, oid in heads)
    for digest in digests:
        data = (hub.data / "blobs" / digest[:2] / digest[2:]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest


def test_a_killed_hub_has_all_that_it_acknowledged(tmp_path):
    tokens = add_users(tmp_path / "data", "alice")
    repos = ["alice/one", "alice/two"]
    kept: dict[str, dict[str, bytes]] = {repo: {} for repo in repos}
    for round_ in range(KILLS):
        with running_hub(tmp_path, tokens=tokens) as hub:
            for repo in repos:
                hub.api("alice").create_repo(repo, exist_ok=True)
            pushers = [
                threading.Thread(
                    target=push_until_it_dies, args=(hub, repo, 10_000 * round_, kept[repo])
                )
                for repo in repos
            ]
            for one in pushers:
                one.start()
            threading.Event().wait(0.5 + 0.1 * round_)
            hub.process.send_signal(signal.SIGKILL)
            for one in pushers:
                one.join()
    with running_hub(tmp_path, tokens=tokens) as hub:
        assert list((hub.data / "scratch").iterdir()) == []
        for repo in repos:
            assert len(kept[repo]) >= KILLS
            for name, data in list(kept[repo].items())[-3:]:
                got = requests.get(f"{hub.endpoint}/{repo}/resolve/main/{name}", timeout=10)
                assert got.content == data
            there = {one.path for one in hub.api("alice").list_repo_tree(repo)}
            assert set(kept[repo]) <= there
            assert len(there) <= len(kept[repo]) + KILLS
        check_whole(hub)


def test_many_push_and_pull_at_once_and_nothing_is_lost(hub):
    alice = hub.api("alice")
    repos = [f"alice/at-once-{number}" for number in range(16)]
    query = (ARTIFACT / "query.safetensors").read_bytes()

    def push(repo: str) -> str:
        alice.create_repo(repo)
        return alice.create_commit(repo, artifact_operations(), commit_message="all").oid

    def pull(number: int) -> bytes:
        repo = repos[number % len(repos)]
        address = f"{hub.endpoint}/{repo}/resolve/main/query.safetensors"
        return requests.get(address, timeout=30).content

    with ThreadPoolExecutor(16) as pool:
        commits = list(pool.map(push, repos))
    with ThreadPoolExecutor(64) as pool:
        assert set(pool.map(pull, range(64))) == {query}
    assert [alice.model_info(repo).sha for repo in repos] == commits


def test_a_folder_is_served_by_one_process(hub):
    command = [sys.executable, "-m", "retq_hub.cli", "serve", "--data", str(hub.data)]
    done = subprocess.run([*command, "--port", "0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 7
    assert "is served by another process" in done.stderr


def test_a_hub_stops_when_told(tmp_path):
    with running_hub(tmp_path) as hub:
        hub.process.send_signal(signal.SIGTERM)
        hub.process.wait(10)
    assert "Traceback" not in hub.log.read_text()


def test_a_newer_hubs_folder_is_left_alone(tmp_path):
    database = open_database(tmp_path)
    with database.writing() as connection:
        connection.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(Exception, match="has version 99, this retq-hub knows 2"):
        open_database(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "hub.sqlite").write_bytes(b"something else " * 100)
    with pytest.raises(Exception, match=r"hub\.sqlite cannot be used"):
        open_database(Path(tmp_path))


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "thesis.tex").write_text("years of work")
    with pytest.raises(StorageError, match="is no hub's folder: it holds scratch but no hub"):
        open_services(tmp_path, refuse_invalid=False)
    assert (tmp_path / "scratch" / "thesis.tex").read_text() == "years of work"


def test_a_database_of_something_else_is_left_alone(tmp_path):
    with closing(sqlite3.connect(tmp_path / "hub.sqlite")) as connection:
        connection.execute("CREATE TABLE patients (id)")
    with pytest.raises(StorageError, match="is no hub's database"):
        open_database(tmp_path)


def test_merges_and_commits_at_once_lose_nothing(hub):
    alice = hub.api("alice")
    alice.create_repo("alice/merge-race")
    pulls = [
        alice.create_commit(
            "alice/merge-race",
            [CommitOperationAdd(f"pull-{number}", b"p")],
            commit_message="pull",
            create_pr=True,
        ).pr_num
        for number in range(8)
    ]

    def act(number: int) -> None:
        if number % 2:
            alice.merge_pull_request("alice/merge-race", pulls[number // 2])
        else:
            alice.create_commit(
                "alice/merge-race",
                [CommitOperationAdd(f"push-{number // 2}", b"c")],
                commit_message="push",
            )

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(act, range(16)))
    there = {one.path for one in alice.list_repo_tree("alice/merge-race")}
    assert there == {f"{kind}-{number}" for kind in ("pull", "push") for number in range(8)}
    assert len(alice.list_repo_commits("alice/merge-race")) == 17


def test_a_hub_of_before_other_kinds_learns_that_all_are_segmentations(tmp_path):
    database = open_database(tmp_path)
    with database.writing() as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute(
            "INSERT INTO repos VALUES (1, 'models', 'a', 'b', 0, '', 'then', 'then', 'head')"
        )
        row = (1, "b", "1.0.0", "s", "[]", "x", "y", "[]", "z", None, None, 1, "[]", "b")
        connection.execute(f"INSERT INTO queries VALUES ({', '.join('?' * len(row))})", row)
        connection.execute("PRAGMA user_version=1")
    database.close()
    for _ in range(2):
        again = open_database(tmp_path)
        with again.reading() as connection:
            facets = connection.execute("SELECT facet, value, repo FROM facets").fetchall()
            assert [tuple(one) for one in facets] == [("kind", "segmentation", 1)]
            assert connection.execute("PRAGMA user_version").fetchone()[0] == 2
        again.close()
