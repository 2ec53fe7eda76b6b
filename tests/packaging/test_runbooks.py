"""docs/runbooks: each command in them exists, with the options that are written; each file that they name is there."""

import os
import re
import shlex
import subprocess

import pytest
from template import PACKAGING, ROOT, load

RUNBOOKS = sorted((ROOT / "docs/runbooks").glob("*.md"))
TEMPLATE_COMMAND = "aws cloudformation deploy"
# Not of AWS: what a Debian or Ubuntu node and an operator's machine have.
OTHERS = {
    "apt-get",
    "curl",
    "journalctl",
    "mkdir",
    "printf",
    "read",
    "sha256sum",
    "systemctl",
    "weaviate-provisioner",
    "ask",
    "ask()",
}


def blocks(text):
    return re.findall(r"^ *```sh\n(.*?)^ *```", text, re.M | re.S)


def commands(text):
    """Each command line of the blocks, without what only stands around it: assignments, substitutions, pipes."""
    for block in blocks(text):
        for line in block.splitlines():
            line = re.sub(r"^[A-Z]+=\$\((.*)\)$", r"\1", line.strip())
            yield from line.split(" | ")
    # And those in the running text.
    yield from re.findall(r"`(aws [^`]+)`", text)


def driver():
    from awscli.clidriver import create_clidriver

    return create_clidriver()


@pytest.fixture(scope="module")
def aws():
    return driver()


def unknown(aws, words):
    """What of `aws SERVICE COMMAND --options` the AWS CLI does not know; it asks nobody."""
    _, service, command, *rest = words
    # Commands and options are made when help is asked for.
    top = aws.create_help_command()
    if service not in top.command_table:
        return [service]
    table = top.command_table[service].create_help_command().command_table
    if command not in table:
        return [f"{service} {command}"]
    options = set(table[command].create_help_command().arg_table) | set(top.arg_table)
    # A switch of two has its opposite in the same table.
    return [word for word in rest if word.startswith("--") and word.removeprefix("--") not in options]


def wrong(aws, text):
    for command in commands(text):
        words = shlex.split(command, comments=True)
        if not words:
            continue
        if words[0] == "aws":
            yield from unknown(aws, words)
        elif "=" in words[0] or words[0] in ("sort", "tail"):
            continue
        elif words[0] not in OTHERS:
            yield words[0]


def test_every_aws_command_exists(aws):
    assert len(RUNBOOKS) == 8
    for path in RUNBOOKS:
        assert list(wrong(aws, path.read_text())) == [], path.name
    assert sum(command.startswith("aws ") for path in RUNBOOKS for command in commands(path.read_text())) > 30


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("aws ec2 describe-everything", ["ec2 describe-everything"]),
        ("aws ec2 describe-instances --instances i-1", ["--instances"]),
        ("aws cloudformation deploy --stack-name x --params a=b", ["--params"]),
        ("INSTANCE=$(aws autoscaling describe-groups)", ["autoscaling describe-groups"]),
        ("weaviate-backup now", ["weaviate-backup"]),
        ("aws s3 ls s3://b | sort | tail -n 5", []),
    ],
)
def test_a_command_that_does_not_exist_is_caught(aws, line, found):
    assert list(wrong(aws, f"```sh\n{line}\n```\n")) == found


def agent_commands(text):
    """In blocks and in the running text."""
    return re.findall(r"(?:`|^ *)weaviate-provisioner (-?-?[a-z]+)", text, re.M)


def test_every_command_of_the_agent_exists():
    known = subprocess.run([os.environ["AGENT"], "--help"], capture_output=True, text=True, timeout=30).stdout
    known = set(re.findall(r"^  ([a-z]+)  ", known, re.M)) | {"--version"}
    assert {"run", "backup", "close", "plan", "validate", "status", "timeline"} <= known
    asked = {command for path in RUNBOOKS for command in agent_commands(path.read_text())}
    assert asked and asked <= known


def test_every_parameter_exists():
    known = set(load()["Parameters"])
    found = {}
    for path in RUNBOOKS:
        for command in commands(path.read_text()):
            if command.startswith(TEMPLATE_COMMAND):
                words = shlex.split(command.partition("--parameter-overrides ")[2])
                found.update({word.partition("=")[0]: word.partition("=")[2] for word in words})
    assert found.keys() <= known
    parameters = load()["Parameters"]
    for name, value in found.items():
        about = parameters[name]
        if "AllowedPattern" in about:
            assert re.fullmatch(about["AllowedPattern"], value), (name, value)
        if "AllowedValues" in about:
            assert value in about["AllowedValues"], (name, value)
    # A stack that is made anew has everything that has no default.
    assert {name for name, about in parameters.items() if "Default" not in about} <= found.keys()


def test_every_link_and_file_is_there():
    texts = {path: path.read_text() for path in [*RUNBOOKS, PACKAGING / "README.md"]}
    for path, text in texts.items():
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (path.parent / link).exists(), (path.name, link)
        for named in re.findall(r"`((?:packaging|docs|scripts|tests)/[\w./-]+)`", text):
            assert (ROOT / named).exists(), (path.name, named)
    index = texts[ROOT / "docs/runbooks/README.md"]
    assert [path.name for path in RUNBOOKS if path.name != "README.md" and f"]({path.name})" not in index] == []
    # One line for each file.
    listed = re.findall(r"^\| \[`([^`]+)`\]", texts[PACKAGING / "README.md"], re.M)
    shipped = {path.name for path in PACKAGING.iterdir() if path.is_file()} - {"README.md"}
    assert set(listed) == shipped and len(listed) == len(shipped)


def test_what_the_template_refers_to_is_there():
    named = re.findall(r"\b(?:docs|packaging|tests)/[\w/*.-]*\w", (PACKAGING / "cloudformation.yaml").read_text())
    assert len(named) > 3
    for pattern in named:
        assert list(ROOT.glob(pattern)), pattern


def test_the_settings_in_them_exist():
    """TOML that is written by hand into conf.d: `printf '[section]\\nkey = …'`."""
    reference = (PACKAGING / "config.toml").read_text()
    for path in RUNBOOKS:
        for section, key in re.findall(r"printf '\[(\w+)\]\\n(\w+) = ", path.read_text()):
            part = reference.partition(f"[{section}]")[2].partition("\n[")[0]
            assert re.search(rf"^(#: )?{key} = ", part, re.M), (path.name, section, key)
