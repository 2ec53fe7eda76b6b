"""S3: conditional writers, what an ETag is, tokens, checksums, versions, and the order of its checks."""

import base64
import collections
import concurrent.futures
import hashlib

from .record import AS_ASSUMED, OTHERWISE, not_asked

BODY = b"weaviate conformance"
# Of an empty body.
CHECKSUMS = {
    "SHA512": base64.b64encode(hashlib.sha512().digest()).decode(),
    "MD5": base64.b64encode(hashlib.md5(usedforsecurity=False).digest()).decode(),
    "XXHASH64": base64.b64encode(bytes.fromhex("ef46db3751d8e999")).decode(),
}
WRITERS, ROUNDS = 8, 5


def at(made, name):
    bucket, prefix = made.place
    return {"Bucket": bucket, "Key": f"{prefix}{name}"}


def probe_race(ask, made):
    """Writers that all want to be the first of a key, some times over."""
    rounds = []
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        for number in range(ROUNDS):
            target = at(made, f"race/{number}")

            def write(writer, target=target):
                answer = ask.calls.ask("s3", "PutObject", **target, Body=b"%d" % writer, IfNoneMatch="*")
                return answer.status, answer.code

            rounds.append(collections.Counter(pool.map(write, range(WRITERS))))
    total = sum(rounds, collections.Counter())
    told = ", ".join(f"{count} times {status} {code}".rstrip() for (status, code), count in sorted(total.items()))
    ask.seen(f"s3:PutObject IfNoneMatch=*, {WRITERS} at a time, {ROUNDS} rounds", told)
    return judge_race(rounds)


def judge_race(rounds):
    winners = [count[(200, "")] for count in rounds]
    losers = {answer for count in rounds for answer in count} - {(200, "")}
    right = set(winners) == {1} and losers == {(412, "PreconditionFailed")}
    return AS_ASSUMED if right else OTHERWISE


def probe_etag_kms(ask, made):
    answer = ask("s3", "PutObject", **at(made, "kms"), Body=BODY, ServerSideEncryption="aws:kms")
    if not answer.ok:
        return not_asked(f"the write was refused: {answer.code}")
    verdict = judge_etag(answer.body["ETag"])
    ask.seen("its ETag", "the MD5 of the body" if verdict == AS_ASSUMED else "not the MD5 of the body")
    return verdict


def judge_etag(tag):
    return AS_ASSUMED if tag.strip('"') == hashlib.md5(BODY, usedforsecurity=False).hexdigest() else OTHERWISE


def probe_token(ask, made):
    """Between two pages a key is written behind the first one's last: a token for that entry shows it."""
    for name in ("token/a", "token/c"):
        ask.calls.must("s3", "PutObject", **at(made, name), Body=BODY)
    where = at(made, "token/")
    page = {"Bucket": where["Bucket"], "Prefix": where["Key"], "MaxKeys": 1}
    first = ask.calls.must("s3", "ListObjectsV2", **page)
    ask.calls.must("s3", "PutObject", **at(made, "token/b"), Body=BODY)
    token = first.get("NextContinuationToken", "")
    second = ask.calls.ask("s3", "ListObjectsV2", **page, ContinuationToken=token)
    keys = [one["Key"].rpartition("/")[2] for one in second.body.get("Contents", [])]
    ask.seen("s3:ListObjectsV2 after a, of a and c; b was written meanwhile", f"{second.status} {keys}")
    return judge_token(keys)


def judge_token(keys):
    return AS_ASSUMED if keys == ["b"] else OTHERWISE


def probe_bucket_order(ask, made):
    """As one who may do nothing in S3."""
    role, there = made.role, at(made, "order")
    absent = ask("s3", "GetObject", role, Bucket=f"{made.name}-none", Key="order")
    control = ask("s3", "GetObject", role, **there)
    return judge_bucket_order(control.code, absent.code)


def judge_bucket_order(control, code):
    if control != "AccessDenied":
        return not_asked(f"the role was not denied what exists: {control}")
    return AS_ASSUMED if code == "NoSuchBucket" else OTHERWISE


def probe_versions(ask, made):
    there = at(made, "version")
    status = ask("s3", "GetBucketVersioning", Bucket=there["Bucket"])
    answer = ask("s3", "PutObject", **there, Body=BODY)
    return judge_versions(status.body.get("Status"), answer)


def judge_versions(status, answer):
    if not answer.ok:
        return not_asked(f"the write was refused: {answer.code}")
    return OTHERWISE if status or "VersionId" in answer.body else AS_ASSUMED


def probe_checksums(ask, made):
    kept = []
    for name, value in CHECKSUMS.items():
        there = at(made, f"checksum/{name}")
        ask("s3", "PutObject", **there, Body=b"", **{f"Checksum{name}": value})
        answer = ask.calls.ask("s3", "HeadObject", **there, ChecksumMode="ENABLED")
        kept.append(answer.body.get(f"Checksum{name}"))
    ask.seen(f"s3:HeadObject ChecksumMode=ENABLED, of {', '.join(CHECKSUMS)}", f"{sum(map(bool, kept))} are kept")
    return judge_checksums(kept)


def judge_checksums(kept):
    return OTHERWISE if any(kept) else AS_ASSUMED
