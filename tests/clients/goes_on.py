"""A job of a user's with the official client 3.x, which goes on by itself when the node is replaced.

    goes_on.py writer|reader        NODE_URL, WRITER_KEY and READER_KEY in the environment

It says `ok` for each thing that went well, `wrong: …` for what must never be, and why something did not go well on
standard error: it tries that again then. SIGTERM: it looks once more, and ends with 0.
"""

import hashlib
import os
import signal
import sys
import time
import uuid

import requests
import weaviate

URL = os.environ["NODE_URL"]
CHUNKS = 10
CLASS = {
    "class": "Passage",
    "vectorizer": "none",
    "properties": [{"name": "text", "dataType": ["text"]}, {"name": "document", "dataType": ["text"]}],
}
# Between two tries: a node that is being replaced answers nobody for a while.
PAUSE = 0.2
ended = False


def end(*_):
    global ended
    ended = True


def say(line):
    print(line, flush=True)


class Job:
    """What a user does with a client of his own. One that has failed is thrown away: its batch keeps what it could not
    send, and would send it once more with each try, and its threads do not survive every failure."""

    def __init__(self, key):
        self.key, self.client, self.said = key, None, None

    def connect(self):
        key = weaviate.AuthApiKey(os.environ[self.key])
        return weaviate.Client(URL, auth_client_secret=key, timeout_config=(1, 5), startup_period=None)

    def again(self, work):
        """Until it goes well. What a node does not answer, or answers while it comes or goes, is no fault of the job's."""
        while True:
            try:
                self.client = self.client or self.connect()
                return work(self.client)
            except (requests.exceptions.RequestException, weaviate.exceptions.WeaviateBaseError) as error:
                self.client = None
                self.complain(error)
                time.sleep(PAUSE)

    def complain(self, error):
        said = f"{sys.argv[1]} tries again: {error!r:.150}"
        if said != self.said:
            print(said, file=sys.stderr, flush=True)
        self.said = said


def chunk_id(document, index):
    """SHA-256 of document and chunk index, as a UUID: who writes a chunk again writes the same object."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{document}:{index}".encode()).digest()[:16]))


def index_document(client, document):
    failed = []

    def look(results):
        failed.extend(one for one in results if one.get("result", {}).get("errors"))

    with client.batch(batch_size=CHUNKS, num_workers=1, callback=look) as batch:
        for index in range(CHUNKS):
            batch.add_data_object(
                {"text": f"{document} chunk {index}", "document": document},
                "Passage",
                uuid=chunk_id(document, index),
                vector=[float(index), 1.0, 0.5],
            )
    if failed:
        raise weaviate.exceptions.WeaviateBaseError(str(failed[0]))


def count(client):
    answer = client.query.aggregate("Passage").with_meta_count().do()
    try:
        return answer["data"]["Aggregate"]["Passage"][0]["meta"]["count"]
    except (KeyError, TypeError) as error:
        raise weaviate.exceptions.WeaviateBaseError(str(answer)) from error


def create(client):
    if not client.schema.exists("Passage"):
        client.schema.create_class(CLASS)


def write():
    """An indexing job: one document after the other. At its end it sends all of them once more, as a job does that does
    not know what the last backup held: there is each chunk once."""
    job = Job("WRITER_KEY")
    job.again(create)
    documents = 0
    while not ended:
        job.again(lambda client: index_document(client, f"doc-{documents}"))
        documents += 1
        say("ok")
    for document in range(documents):
        job.again(lambda client, document=document: index_document(client, f"doc-{document}"))
    there = job.again(count)
    if there != documents * CHUNKS:
        say(f"wrong: {there} chunks of {documents} documents with {CHUNKS} each")
    name = chunk_id("doc-0", 3)
    chunk = job.again(lambda client: client.data_object.get_by_id(name, class_name="Passage", with_vector=True))
    if chunk is None or chunk["properties"]["text"] != "doc-0 chunk 3" or chunk["vector"] != [3.0, 1.0, 0.5]:
        say(f"wrong: doc-0 chunk 3 is {chunk}")


def refused(client):
    """Whether a write of the reader's is refused, and not only unanswered."""
    try:
        client.data_object.create({"text": "x"}, "Passage", uuid=str(uuid.uuid4()), vector=[0.0, 0.0, 0.0])
    except weaviate.exceptions.UnexpectedStatusCodeException as error:
        if error.status_code == 403:
            return True
        raise
    return False


def read():
    """An inference job: it counts what it may read, and is refused when it writes."""
    job = Job("READER_KEY")
    while not ended:
        if job.again(count) == 0:
            say("wrong: the collection is empty")
        if not job.again(refused):
            say("wrong: a reader has written")
        say("ok")
        time.sleep(PAUSE / 10)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    {"writer": write, "reader": read}[sys.argv[1]]()
