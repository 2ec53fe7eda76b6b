"""EC2: the interface, the order of its checks, what hung-up calls and late reads do; and the machine's metadata."""

import collections
import subprocess

from . import clean
from .made import HERE, Unavailable
from .pace import Late
from .record import AS_ASSUMED, OTHERWISE, not_asked

NONE = {"eni": "eni-0ffffffffffffffff", "instance": "i-0ffffffffffffffff", "attachment": "eni-attach-0ffffffffffffffff"}


def probe_detach_twice(ask, made):
    instance, eni = made.instance, made.eni
    attach = {"NetworkInterfaceId": eni, "InstanceId": instance, "DeviceIndex": 1}
    attachment = ask.calls.must("ec2", "AttachNetworkInterface", **attach)["AttachmentId"]

    def attached():
        return clean.interface(ask.calls, eni).get("Attachment", {}).get("Status") == "attached"

    ask.pace.wait("the interface is attached", attached)
    first = ask("ec2", "DetachNetworkInterface", AttachmentId=attachment)
    second = ask("ec2", "DetachNetworkInterface", AttachmentId=attachment)
    ask.pace.wait("the interface is free", lambda: clean.interface(ask.calls, eni)["Status"] == "available")
    return judge_detach_twice(first.ok, second.code)


def judge_detach_twice(first, code):
    if not first:
        return not_asked("the first call was refused")
    return AS_ASSUMED if code == "IncorrectState" else OTHERWISE


def probe_order(ask, made):
    """As one who may move only what bears a tag: what exists is denied, and what does not?"""
    role, instance, eni = made.role, made.instance, made.eni
    attach = {"InstanceId": instance, "DeviceIndex": 1}

    def control():
        return ask("ec2", "AttachNetworkInterface", role, NetworkInterfaceId=eni, **attach, DryRun=True)

    codes = [
        ask("ec2", "AttachNetworkInterface", role, NetworkInterfaceId=NONE["eni"], **attach).code,
        ask("ec2", "DetachNetworkInterface", role, AttachmentId=NONE["attachment"]).code,
    ]
    return judge_order(control().code, codes)


def judge_order(control, codes):
    if control != "UnauthorizedOperation":
        return not_asked(f"the role was not denied what exists: {control}")
    return AS_ASSUMED if all(code.endswith(".NotFound") for code in codes) else OTHERWISE


def probe_hang_up(ask, made):
    """Asks to change a description and closes the connection before the answer."""
    eni, acted = made.eni, []
    for number, after in enumerate((0.03, 0.02, 0.01)):
        description = {"Value": clean.mark(made.run, f"hung up {number}", made.described)}
        parameters = {"NetworkInterfaceId": eni, "Description": description}
        if not ask.calls.hang_up("ec2", "ModifyNetworkInterfaceAttribute", after, **parameters):
            continue

        def changed():
            return clean.interface(ask.calls, eni).get("Description") == description["Value"]

        try:
            acted.append(bool(ask.pace.wait("the change", changed, ask.pace.patience / 10)))
        except Late:
            acted.append(False)
    ask.seen("ec2:ModifyNetworkInterfaceAttribute, hung up", f"{sum(acted)} of {len(acted)} took effect")
    return judge_hang_up(acted)


def judge_hang_up(acted):
    if not acted:
        return not_asked("every answer came before the connection was closed")
    return AS_ASSUMED if all(acted) else OTHERWISE


def probe_stale_read(ask, made):
    eni, seen = made.eni, collections.Counter()
    words = ["read 0", "read 1", "read 2", "read 3"]
    marks = [clean.mark(made.run, word, made.described) for word in words]
    made.describe(eni, words[0])
    ask.pace.wait("the first change", lambda: clean.interface(ask.calls, eni).get("Description") == marks[0])
    for number in (1, 2, 3):
        made.describe(eni, words[number])
        for _ in range(15):
            # By its id, as nothing else here does: so that a test can make these reads stale.
            answer = ask.calls.ask("ec2", "DescribeNetworkInterfaces", NetworkInterfaceIds=[eni])
            found = answer.body.get("NetworkInterfaces")
            seen[classify(found[0].get("Description", "") if found else None, marks, number)] += 1
        ask.pace.wait("the change", lambda: clean.interface(ask.calls, eni).get("Description") == marks[number])
    told = ", ".join(f"{count} {name}" for name, count in sorted(seen.items()))
    ask.seen("ec2:DescribeNetworkInterfaces after each of 3 changes", told)
    return judge_stale(seen)


def classify(description, marks, last):
    if description is None:
        return "absent"
    if description not in marks:
        return "torn"
    behind = last - marks.index(description)
    return {0: "current", 1: "before the last change"}.get(behind, "older")


def judge_stale(seen):
    if seen["absent"] or seen["torn"] or seen["older"]:
        return OTHERWISE
    if seen["before the last change"]:
        return AS_ASSUMED
    return not_asked(f"none of {sum(seen.values())} reads was stale")


def probe_imds(ask, made):
    if made.given.imds:
        command = ["sh", str(HERE / "imds.sh"), made.given.imds, "/dev/stdout", "400"]
        text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    elif made.given.instance:
        raise Unavailable("a given instance runs no UserData of ours")
    else:
        text = ask.pace.wait("the instance's console shows the answers", lambda: console(ask.calls, made.instance))
    counts = line_of(text)
    ask.seen("GET latest/meta-data/instance-id, in a burst; PUT 2021-03-23/api/token", text_of(counts))
    return judge_imds(counts)


def console(calls, instance):
    answer = calls.must("ec2", "GetConsoleOutput", InstanceId=instance, Latest=True)
    return answer.get("Output") if line_of(answer.get("Output", "")) else None


def line_of(text):
    """The counts by status, from the first whole line of ours."""
    for line in (text or "").splitlines():
        _, ours, rest = line.partition("weaviate-conformance-imds ")
        words = rest.split()
        if ours and words[-1:] == ["end"]:
            return dict(word.split("=", 1) for word in words[:-1])
    return {}


def text_of(counts):
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def judge_imds(counts):
    if counts.get("denied") != "403":
        return OTHERWISE
    others = set(counts) - {"denied", "200"}
    if not others:
        return not_asked("no request was throttled")
    return AS_ASSUMED if others == {"503"} else OTHERWISE
