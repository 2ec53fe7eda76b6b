"""The clients of a node: the official Python client 3.x, by REST alone, against the server's stand-in on loopback.

WEAVIATE_STAND_IN names its binary; `scripts/lib/clients` builds it. What is shown of the client is that the server is
spoken to as indexing and inference jobs do it: ids that are made of what they name, batches that may be sent again, a
reader who cannot write, and backups by the server's own API.
"""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid

import pytest
import weaviate

KEYS = {"admin": "admin-key", "writer": "writer-key", "reader": "reader-key"}
CHUNK = {
    "class": "Chunk",
    "vectorizer": "none",
    "properties": [{"name": "text", "dataType": ["text"]}, {"name": "document", "dataType": ["text"]}],
}
START = 10


def free_ports(count):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Node:
    """One server with its files; it can be ended and started again, with other files or with the same."""

    def __init__(self, binary, root):
        self.binary, self.root, self.process = binary, root, None
        rest, grpc, gossip, data, raft = free_ports(5)
        self.url = f"http://127.0.0.1:{rest}"
        self.arguments = ["--host", "127.0.0.1", "--port", str(rest), "--config-file", str(root / "config.json")]
        self.environment = {
            "CLUSTER_HOSTNAME": "weaviate-0",
            "ENABLE_MODULES": "backup-filesystem",
            "BACKUP_FILESYSTEM_PATH": str(root / "backups"),
            "AUTHENTICATION_APIKEY_ENABLED": "true",
            "GRPC_PORT": str(grpc),
            "CLUSTER_GOSSIP_BIND_PORT": str(gossip),
            "CLUSTER_DATA_BIND_PORT": str(data),
            "RAFT_PORT": str(raft),
            "STAND_IN_START_MS": "10",
            "STAND_IN_TIME_SCALE": "0.05",
        }
        # As the agent writes it: the keys, and who may do what.
        access = {
            "authentication": {
                "apikey": {"enabled": True, "allowed_keys": list(KEYS.values()), "users": list(KEYS)},
                "anonymous_access": {"enabled": False},
            },
            "authorization": {
                "admin_list": {"enabled": True, "users": ["admin", "writer"], "read_only_users": ["reader"]}
            },
        }
        (root / "config.json").write_text(json.dumps(access))

    def start(self, data="data"):
        environment = {**self.environment, "PERSISTENCE_DATA_PATH": str(self.root / data)}
        log = (self.root / "server.log").open("ab")
        self.process = subprocess.Popen([self.binary, *self.arguments], env=environment, stdout=log, stderr=log)
        end = time.monotonic() + START
        while time.monotonic() < end:
            assert self.process.poll() is None, (self.root / "server.log").read_text()
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"{self.url}/v1/.well-known/ready", timeout=1)
                return self
            time.sleep(0.02)
        raise AssertionError(f"not ready within {START} s")

    def stop(self):
        self.process.terminate()
        assert self.process.wait(10) == 0

    def client(self, role):
        return weaviate.Client(self.url, auth_client_secret=weaviate.AuthApiKey(KEYS[role]))


@pytest.fixture
def node(tmp_path, monkeypatch):
    # Nothing but loopback: the client asks a registry for newer versions of itself, and goes on without an answer.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    node = Node(os.environ["WEAVIATE_STAND_IN"], tmp_path).start()
    yield node
    if node.process.poll() is None:
        node.stop()


def chunk_id(document, index):
    """SHA-256 of document and chunk index, as a UUID: who writes a chunk again writes the same object."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{document}:{index}".encode()).digest()[:16]))


def index_document(client, document, chunks):
    """What an indexing job does: a batch of objects whose ids say what they are."""
    failed = []

    def look(results):
        failed.extend(one for one in results if one.get("result", {}).get("errors"))

    with client.batch(batch_size=20, num_workers=1, callback=look) as batch:
        for index in range(chunks):
            batch.add_data_object(
                {"text": f"{document} chunk {index}", "document": document},
                "Chunk",
                uuid=chunk_id(document, index),
                vector=[float(index), 1.0, 0.5],
            )
    assert failed == []


def count(client):
    answer = client.query.aggregate("Chunk").with_meta_count().do()
    return answer["data"]["Aggregate"]["Chunk"][0]["meta"]["count"]


def test_an_id_is_made_of_what_it_names():
    assert chunk_id("doc-1", 0) == chunk_id("doc-1", 0)
    ids = {chunk_id(document, index) for document in ("doc-1", "doc-2", "doc-") for index in range(20)}
    assert len(ids) == 60
    # "doc-1", 1 and "doc-", 11 would be one without something between them.
    assert chunk_id("doc-1", 1) != chunk_id("doc-", 11)


def test_a_batch_that_is_sent_twice_makes_no_duplicates(node):
    writer = node.client("writer")
    writer.schema.create_class(CHUNK)
    for _ in range(2):
        index_document(writer, "doc-1", 50)
        assert count(writer) == 50
    index_document(writer, "doc-2", 7)
    assert count(writer) == 57
    found = writer.data_object.get_by_id(chunk_id("doc-1", 3), class_name="Chunk", with_vector=True)
    assert found["properties"]["text"] == "doc-1 chunk 3"
    assert found["vector"] == [3.0, 1.0, 0.5]


def test_a_reader_reads_and_is_refused_on_writes(node):
    writer, reader = node.client("writer"), node.client("reader")
    writer.schema.create_class(CHUNK)
    index_document(writer, "doc-1", 5)
    assert count(reader) == 5
    near = reader.query.get("Chunk", ["text"]).with_near_vector({"vector": [4.0, 1.0, 0.5]}).with_limit(1).do()
    assert near["data"]["Get"]["Chunk"] == [{"text": "doc-1 chunk 4"}]

    refused = [
        lambda: reader.data_object.create({"text": "no"}, "Chunk", uuid=chunk_id("doc-2", 0)),
        lambda: reader.data_object.delete(chunk_id("doc-1", 0), class_name="Chunk"),
        lambda: reader.schema.delete_class("Chunk"),
        lambda: reader.backup.create("by_a_reader", "filesystem"),
    ]
    for write in refused:
        with pytest.raises(weaviate.UnexpectedStatusCodeException) as error:
            write()
        assert error.value.status_code == 403, error.value
    assert count(writer) == 5


def test_without_a_key_nobody_gets_in(node):
    with pytest.raises(weaviate.UnexpectedStatusCodeException) as unknown:
        weaviate.Client(node.url, auth_client_secret=weaviate.AuthApiKey("unknown"))
    assert unknown.value.status_code == 401
    request = urllib.request.Request(f"{node.url}/v1/schema")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=5)
    assert error.value.code == 401


def test_backups_are_made_and_restored_by_the_servers_own_api(node):
    admin = node.client("admin")
    admin.schema.create_class(CHUNK)
    index_document(admin, "doc-1", 30)
    # The client makes small letters of it: as it stands the server would refuse it.
    given = "weaviate_backup_2025-09-24T153000Z"
    made = admin.backup.create(given, "filesystem", include_classes=["Chunk"], wait_for_completion=True)
    assert (made["id"], made["status"]) == (given.lower(), "SUCCESS")
    assert admin.backup.get_create_status(given, "filesystem")["status"] == "SUCCESS"
    # The same id is never used again.
    with pytest.raises(weaviate.UnexpectedStatusCodeException, match="already exists"):
        admin.backup.create(given, "filesystem")
    # Over what is there: taken, and failed later.
    over = admin.backup.restore(given, "filesystem", wait_for_completion=False)
    assert over["status"] == "STARTED"

    def ended():
        return admin.backup.get_restore_status(given, "filesystem")["status"] in ("FAILED", "SUCCESS", "CANCELED")

    end = time.monotonic() + START
    while not ended() and time.monotonic() < end:
        time.sleep(0.02)
    assert admin.backup.get_restore_status(given, "filesystem")["status"] == "FAILED"

    # Another machine with an empty disk, at the same address and with the same name.
    node.stop()
    node.start(data="another")
    assert admin.schema.get()["classes"] == []
    restored = admin.backup.restore(given, "filesystem", wait_for_completion=True)
    assert restored["status"] == "SUCCESS"
    assert count(admin) == 30


def test_an_option_of_the_server_that_the_client_has_not_goes_by_rest(node):
    """`config` came with the client 4.x. ChunkSize is taken, and changes nothing."""
    admin = node.client("admin")
    admin.schema.create_class(CHUNK)
    index_document(admin, "doc-1", 3)
    with pytest.raises(TypeError):
        admin.backup.create("with_config", "filesystem", config={"ChunkSize": 256})
    body = {"id": "with_config", "config": {"ChunkSize": 256, "CPUPercentage": 80, "CompressionLevel": "BestSpeed"}}
    request = urllib.request.Request(
        f"{node.url}/v1/backups/filesystem",
        data=json.dumps(body).encode(),
        headers={"authorization": f"Bearer {KEYS['admin']}", "content-type": "application/json"},
    )
    assert json.loads(urllib.request.urlopen(request, timeout=5).read())["status"] == "STARTED"


def test_reader_and_writer_go_on_by_themselves_after_a_replacement(node):
    """The same clients, and nobody told them: another server at the same address, with what the backup held."""
    admin, writer, reader = (node.client(role) for role in ("admin", "writer", "reader"))
    writer.schema.create_class(CHUNK)
    index_document(writer, "doc-1", 20)
    admin.backup.create("before_the_end", "filesystem", wait_for_completion=True)
    node.stop()
    with pytest.raises(Exception) as error:
        count(reader)
    assert "Connection" in type(error.value).__name__, error.value
    node.start(data="replacement")
    admin.backup.restore("before_the_end", "filesystem", wait_for_completion=True)
    assert count(reader) == 20
    # What the job was at is sent once more, and goes on.
    index_document(writer, "doc-1", 25)
    assert count(reader) == 25
