"""What was asked and answered, with placeholders for all that belongs to an account."""

import json
import os
import re

AS_ASSUMED = "as assumed"
OTHERWISE = "otherwise"


def not_asked(reason):
    return f"not asked: {reason}"


# In this order: an ARN holds an account's number, a long id a short one.
PATTERNS = [
    (r"Encoded authorization failure message: \S+", "Encoded authorization failure message: <encoded>"),
    (r"arn:aws[a-z-]*:[^\s\"',;)\]]+", "<arn>"),
    (r"\bA(?:KIA|SIA|ROA|IDA)[A-Z0-9]{8,}\b", "<key>"),
    (r"\beni-attach-[0-9a-f]{8,17}\b", "<attachment>"),
    (r"\b(eni|i|subnet|sg|vpc|ami|lt|vol|snap|rtb|igw|acl)-[0-9a-f]{8,17}\b", r"<\1>"),
    (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>"),
    (r"\b[0-9a-f]{32,}\b", "<hex>"),
    (r"\b\d{12}\b", "<account>"),
    (r"\b(?:\d{1,3}\.){3}\d{1,3}\b", "<address>"),
    (r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>"),
    (r"\b[\w.+-]+@[\w-]+\.[\w.]+\b", "<mail>"),
]


class Scrub:
    """Replaces known names first, then whatever looks like an id."""

    def __init__(self):
        self.names = {}

    def hide(self, name, placeholder):
        if name:
            self.names[name] = placeholder

    def __call__(self, value):
        if isinstance(value, dict):
            return {key: self(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self(item) for item in value]
        if not isinstance(value, str):
            return value
        for name in sorted(self.names, key=len, reverse=True):
            value = value.replace(name, self.names[name])
        for pattern, placeholder in PATTERNS:
            value = re.sub(pattern, placeholder, value)
        return value


def sentence(service, operation, parameters):
    def shown(name, value):
        if name == "Body":
            return f"<{len(value)} bytes>"
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))

    return " ".join([f"{service}:{operation}", *(f"{name}={shown(name, value)}" for name, value in parameters.items())])


class Asking:
    """One behaviour's record, and the way in which its probe calls. `calls` are those that stand in no record."""

    def __init__(self, name, what, calls):
        self.name, self.what, self.calls, self.pace = name, what, calls, calls.pace
        self.asked, self.answered, self.verdict = [], [], not_asked("the run ended before")

    def __call__(self, service, operation, as_role=None, **parameters):
        answer = (as_role or self.calls).ask(service, operation, **parameters)
        self.note(sentence(service, operation, parameters), answer, as_role)
        return answer

    def note(self, asked, answer, as_role=None):
        self.asked.append(asked + (" (as the role)" if as_role else ""))
        told = {"status": answer.status}
        self.answered.append(told | ({} if answer.ok else {"code": answer.code, "text": answer.text}))

    def seen(self, asked, what):
        """Something that is no single answer."""
        self.asked.append(asked)
        self.answered.append({"seen": what})

    def rendered(self):
        return {name: getattr(self, name) for name in ("name", "what", "asked", "answered", "verdict")}


def write(path, header, records, scrub):
    """Whole or not at all."""
    whole = header | {"records": [scrub(record.rendered()) for record in records]}
    beside = f"{path}.tmp"
    with open(beside, "w", encoding="utf-8") as file:
        json.dump(whole, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
