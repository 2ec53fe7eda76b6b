"""The UserData: the three forms are one script, and that script does what it says against the embedded cloud, which
checks the signature. WORLD_CLOUD names the binary of the example `cloud`; `scripts/lib/packaging` builds it.

What the script would install and start stands in its PATH as programs that write down how they were called; `curl` is
the real one behind a program that also writes down what everybody on the machine could read of it.
"""

import hashlib
import json
import os
import pathlib
import stat
import subprocess
import time
import tomllib
import urllib.request

import boto3
import botocore.config
import embed
import jsonschema
import pytest
import yaml
from template import PACKAGING, Stack

BUCKET = "acme-weaviate"
PACKAGE = b"a package " * 5000
SHA256 = hashlib.sha256(PACKAGE).hexdigest()
SCRIPT = embed.SCRIPT.read_text()
CONFIGURATION = "/etc/weaviate-provisioner/config.toml"


# ---- One script in three forms --------------------------------------------------------------------------------------


def embedded(cloud_config):
    document = yaml.safe_load(cloud_config)
    (written,) = document["write_files"]
    # What is run is what was written, by the shell that it is written for.
    assert document["runcmd"] == [["bash", written["path"]]]
    assert SCRIPT.startswith("#!/bin/bash\n")
    return written["content"]


def differs(cloud_config, user_data):
    """Which forms are not the script."""
    if embedded(cloud_config) != SCRIPT:
        yield "user-data.yaml"
    if embed.below(embedded(user_data)) != embed.below(SCRIPT):
        yield "cloudformation.yaml"


def test_the_forms_do_not_differ(stack):
    found = list(differs(embed.CLOUD_CONFIG.read_text(), stack.user_data()))
    assert found == [], "`scripts/lib/packaging embed` writes user-data.sh into the others"


def test_a_form_that_differs_is_caught(stack):
    changed = embed.CLOUD_CONFIG.read_text().replace("--retry 6", "--retry 7")
    assert list(differs(changed, stack.user_data())) == ["user-data.yaml"]
    changed = stack.user_data().replace("sha256sum --check", "true --check")
    assert list(differs(embed.CLOUD_CONFIG.read_text(), changed)) == ["cloudformation.yaml"]


def test_embedding_changes_nothing_that_is_right():
    assert embed.cloud_config(embed.CLOUD_CONFIG.read_text(), SCRIPT) == embed.CLOUD_CONFIG.read_text()
    assert embed.template(embed.TEMPLATE.read_text(), SCRIPT) == embed.TEMPLATE.read_text()


def test_embedding_mends_what_differs():
    changed = SCRIPT.replace("--retry 6", "--retry ${TRIES}")
    assert embedded(embed.cloud_config(embed.CLOUD_CONFIG.read_text(), changed)) == changed
    assert "--retry ${!TRIES}" in embed.template(embed.TEMPLATE.read_text(), changed)


def names(script):
    """What is set above the line."""
    above = script.partition(embed.LINE)[0]
    return [line.partition("=")[0] for line in above.splitlines() if line[:1].isupper() and "='" in line]


def test_the_forms_have_the_same_values_above_the_line(stack):
    assert names(SCRIPT) == names(embedded(stack.user_data())) and len(names(SCRIPT)) == 6


def shown(script):
    _, _, rest = script.partition("<<'END'\n")
    return rest.partition("\nEND\n")[0]


def keys(toml):
    def walk(table, at=""):
        for key, value in table.items():
            yield from walk(value, f"{at}{key}.") if isinstance(value, dict) else [f"{at}{key}"]

    return set(walk(tomllib.loads(toml)))


@pytest.mark.parametrize("parameters", [{}, {"ImageFile": "/opt/weaviate/image.tar"}])
def test_the_configurations_have_only_keys_that_exist(parameters):
    """Those of the reference, in which a key without a default stands behind a mark."""
    reference = (PACKAGING / "config.toml").read_text().replace("#: ", "")
    known = keys(reference)
    assert len(known) > 50
    for toml in (shown(SCRIPT), shown(embedded(Stack(**parameters).user_data()))):
        assert keys(toml) - known == set()


# ---- Lints ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(PACKAGING.glob("*.sh")), ids=lambda path: path.name)
def test_shellcheck_finds_nothing(path):
    done = subprocess.run(["shellcheck", str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    assert path.stat().st_mode & stat.S_IXUSR


def test_shellcheck_finds_what_is_wrong(tmp_path):
    wrong = tmp_path / "wrong.sh"
    wrong.write_text(SCRIPT.replace('"$PACKAGE_SHA256" "$1"', "$PACKAGE_SHA256 $1"))
    assert "SC2086" in subprocess.run(["shellcheck", str(wrong)], capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="session")
def schema():
    """cloud-init's own, of its package; installing that would make this machine into somebody's instance."""
    return json.loads(pathlib.Path(os.environ["CLOUD_INIT_SCHEMA"]).read_text())


def test_the_cloud_config_is_one(stack, schema):
    for text in (embed.CLOUD_CONFIG.read_text(), stack.user_data()):
        assert text.startswith("#cloud-config\n")
        jsonschema.Draft4Validator(schema).validate(yaml.safe_load(text))


def test_a_cloud_config_that_is_none_is_caught(schema):
    wrong = yaml.safe_load(embed.CLOUD_CONFIG.read_text())
    wrong["write_files"][0]["permissions"] = 700
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(schema).validate(wrong)


# ---- The script at work ---------------------------------------------------------------------------------------------

CASE = '[cloud]\nsecrets = [{ name = "weaviate/admin-key", value = "s3cret" }]\n'
NOTED = """#!/bin/bash
printf '%s\\n' "{name} $*" >>"$NOTES/calls"
"""
# Its arguments and its environment, before it becomes the real one.
CURL = """#!/bin/bash
printf '%s\\n' "curl" >>"$NOTES/calls"
tr '\\0' '\\n' </proc/self/cmdline >>"$NOTES/readable"
printf '%s\\n' "$@" >>"$NOTES/readable"
env >>"$NOTES/readable"
exec {curl} "$@"
"""


def operator(s3):
    return boto3.client(
        "s3",
        region_name="eu-central-1",
        endpoint_url=s3,
        aws_access_key_id="AKIAWORLDOPERATOR000",
        aws_secret_access_key="world-operator-secret",
        config=botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


class World:
    """The cloud, a directory that stands for the machine, and programs that note how they were called."""

    def __init__(self, addresses, path):
        self.imds, self.s3 = addresses["imds"], addresses["s3"]
        self.path, self.config = path, path / "etc/config.toml"
        self.programs = path / "programs"
        self.programs.mkdir()
        for name in ("apt-get", "systemctl", "weaviate-provisioner"):
            self.program(name, NOTED.format(name=name))
        self.program("curl", CURL.format(curl="/usr/bin/curl"))
        self.program("sleep", "#!/bin/sh\n")
        self.clock(0)
        self.console = path / "console"
        operator(self.s3).put_object(Bucket=BUCKET, Key="prod/packages/weaviate-provisioner.deb", Body=PACKAGE)

    def program(self, name, text):
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def clock(self, behind):
        """What this machine's clock says, in seconds behind the truth. Nobody sets the real one."""
        self.program(
            "date",
            f"""#!/bin/sh
            case "$1" in
              --set) echo "date $*" >>"$NOTES/calls" ;;
              +%s) echo $(($(/bin/date +%s) - {behind})) ;;
              *) exec /bin/date "$@" ;;
            esac
            """,
        )

    def run(self, script=SCRIPT, **values):
        values = {
            "PACKAGE_URL": f"{self.s3}/{BUCKET}/prod/packages/weaviate-provisioner.deb",
            "PACKAGE_SHA256": SHA256,
            "METADATA": self.imds,
            "CONSOLE": str(self.console),
            "CONFIG": str(self.config),
            **values,
        }
        above, line, below = script.partition(embed.LINE)
        lines = [
            f"{n}='{values[n]}'" if (n := text.partition("=")[0]) in values else text for text in above.split("\n")
        ]
        # Its tries are for AWS; what fails here fails for good.
        below = below.replace("--retry 6", f"--retry {values.get('retry', 0)}")
        env = {"PATH": f"{self.programs}:/usr/bin:/bin", "NOTES": str(self.path), "TMPDIR": str(self.path)}
        return subprocess.run(
            ["bash", "-c", "\n".join(lines) + line + below],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.path,
        )

    def calls(self):
        calls = self.path / "calls"
        return [call for call in calls.read_text().splitlines() if call != "curl"] if calls.exists() else []

    def said(self):
        return self.console.read_text().splitlines() if self.console.exists() else []

    def secrets(self):
        """The instance's credentials: the same for as long as they are valid."""

        def ask(path, method="GET", **headers):
            asked = urllib.request.Request(f"{self.imds}/latest/{path}", method=method, headers=headers)
            return urllib.request.urlopen(asked, timeout=5).read().decode()

        token = {"X-aws-ec2-metadata-token": ask("api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})}
        role = ask("meta-data/iam/security-credentials/", **token)
        found = json.loads(ask(f"meta-data/iam/security-credentials/{role}", **token))
        return [found["SecretAccessKey"], found["Token"]]


@pytest.fixture
def start(tmp_path):
    running = []

    def start(case=CASE):
        path = tmp_path / "case.toml"
        path.write_text(case)
        process = subprocess.Popen([os.environ["WORLD_CLOUD"], "--case", str(path)], stdout=subprocess.PIPE, text=True)
        running.append(process)
        return World(dict(process.stdout.readline().split() for _ in range(3)), tmp_path)

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.fixture
def world(start):
    return start()


def test_a_bare_machine_is_installed_configured_and_started(world):
    done = world.run()
    assert done.returncode == 0, done.stderr
    update, install, started = world.calls()
    assert update.endswith(" update") and install.endswith("/weaviate-provisioner.deb")
    assert started == "systemctl start --no-block weaviate-provisioner.service"
    assert world.config.read_text() == shown(SCRIPT) + "\n"
    assert not world.config.with_suffix(".toml.new").exists()
    assert world.said() == []


def test_the_form_of_the_template_does_the_same(world, stack):
    done = world.run(embedded(stack.user_data()))
    assert done.returncode == 0, done.stderr
    assert 'deployment = "acme-prod"' in world.config.read_text()


def test_what_is_installed_is_what_was_fetched(world):
    world.program("apt-get", '#!/bin/bash\n[[ ${*: -1} != *.deb ]] || cp "${@: -1}" "$NOTES/installed"\n')
    assert world.run().returncode == 0
    assert (world.path / "installed").read_bytes() == PACKAGE


def readable(world):
    """Which credentials somebody else on the machine could have read."""
    places = [path for path in world.path.rglob("*") if path.is_file() and path.name != "case.toml"]
    texts = [path.read_bytes() for path in places] + [world.run_log.encode()]
    return [secret for secret in world.secrets() if any(secret.encode() in text for text in texts)]


def test_credentials_are_in_no_argument_environment_or_file(world):
    done = world.run()
    assert done.returncode == 0, done.stderr
    world.run_log = done.stdout + done.stderr
    # Something was noted at all: the address that every call has.
    assert world.imds in (world.path / "readable").read_text()
    assert readable(world) == []


@pytest.mark.parametrize(
    "change",
    [
        ("--config - \\\n", '--config - --header "x-amz-security-token: $session" \\\n'),
        ("local answer role credentials key secret session", "local role; export credentials key secret session"),
        ("  # curl signs every", '  printf %s "$secret" >"$TMPDIR/leak"\n  # curl signs every'),
    ],
    ids=["argument", "environment", "file"],
)
def test_credentials_that_somebody_can_read_are_caught(world, change):
    assert change[0] in SCRIPT
    done = world.run(SCRIPT.replace(*change))
    world.run_log = done.stdout + done.stderr
    assert readable(world) != []


def untouched(world):
    """Nothing was installed, nothing configured, nothing started."""
    return world.calls() == [] and not world.config.exists()


def test_a_package_with_another_checksum_is_not_installed(world):
    done = world.run(PACKAGE_SHA256="0" * 64)
    assert done.returncode == 1 and untouched(world)
    (line,) = world.said()
    assert line.endswith(f"is not the one with the SHA-256 {'0' * 64}")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"METADATA": "http://127.0.0.1:1"}, "the instance metadata service gives no token at http://127.0.0.1:1"),
        ({"PACKAGE_URL": "http://127.0.0.1:1/b/k"}, "the package cannot be fetched from http://127.0.0.1:1/b/k: "),
        # A true signature, for another region: the double checks it.
        ({"PACKAGE_REGION": "us-east-1"}, "the package cannot be fetched from "),
    ],
    ids=["no-metadata", "no-bucket", "wrong-region"],
)
def test_each_trouble_is_one_sentence(world, values, sentence):
    done = world.run(**values)
    assert done.returncode == 1 and untouched(world)
    (line,) = world.said()
    assert line.startswith(f"weaviate-provisioner user data: {sentence}")


@pytest.mark.parametrize("key", ["prod/packages/none.deb", "others/weaviate-provisioner.deb"], ids=["absent", "denied"])
def test_a_package_that_is_absent_or_denied_is_one_sentence(world, key):
    done = world.run(PACKAGE_URL=f"{world.s3}/{BUCKET}/{key}")
    assert done.returncode == 1 and untouched(world)
    (line,) = world.said()
    assert "cannot be fetched" in line and ("returned error: 404" in done.stderr) == (key == "prod/packages/none.deb")


@pytest.mark.parametrize("behind", [86400, -86400])
def test_a_clock_that_is_wrong_is_set_before_anything_is_signed(world, behind):
    world.clock(behind)
    done = world.run()
    assert done.returncode == 0, done.stderr
    setting, *others = world.calls()
    name, option, moment = setting.split()
    assert (name, option, len(others)) == ("date", "--set", 3)
    assert abs(float(moment.removeprefix("@")) - time.time()) < 60
    assert any(" 864" in line and "s off" in line for line in world.said())


@pytest.mark.parametrize("behind", [0, 200, -200])
def test_a_clock_that_is_right_enough_stays(world, behind):
    world.clock(behind)
    assert world.run().returncode == 0
    assert len(world.calls()) == 3


def test_a_clock_of_which_nobody_says_anything_stays(world):
    world.clock(86400)
    world.run(SCRIPT.replace("s/^date: //Ip", "s/^none: //Ip"))
    assert not any(call.startswith("date") for call in world.calls())


def test_a_token_that_is_not_signed_is_refused(world):
    """The double does check: what curl signs is all that it sends."""
    done = world.run(SCRIPT.replace("x-amz-security-token: $session", "x-amz-security-token: x$session"))
    assert done.returncode == 1
    assert "error: 403" in done.stderr or "error: 400" in done.stderr


def fault(effect):
    return f'[[fault]]\ncall = "s3:GetObject"\ntimes = 1\neffect = {effect}\n'


@pytest.mark.parametrize("kind", ['"throttled"', '"denied"', '"reset"', '"truncated", bytes = 20'])
def test_a_store_that_fails_at_first_is_asked_again(start, kind):
    """Denied as well: the policy of a role that is seconds old is not everywhere yet."""
    world = start(CASE + fault(f"{{ kind = {kind} }}"))
    done = world.run(retry=3)
    assert done.returncode == 0, done.stderr
    assert len(world.calls()) == 3


def test_a_flipped_bit_is_not_installed(start):
    world = start(CASE + fault('{ kind = "flipped", byte = 100 }'))
    done = world.run(retry=3)
    assert done.returncode == 1 and untouched(world)
    assert "is not the one with the SHA-256" in world.said()[-1]


def test_an_installation_that_fails_leaves_no_configuration(world):
    world.program("apt-get", NOTED.format(name="apt-get") + "exit 100\n")
    done = world.run()
    assert done.returncode == 1 and not world.config.exists()
    assert set(call.split()[0] for call in world.calls()) == {"apt-get"}
    assert world.said()[-1].endswith("apt-get update failed: are the distribution's mirrors reachable?")
    # With a bound.
    assert len(world.calls()) == 6


def test_a_wrong_configuration_is_left_to_the_agent(world):
    """Which says on the console what is wrong with it, and answers the hook; nobody else does."""
    world.program("weaviate-provisioner", NOTED.format(name="weaviate-provisioner") + "exit 78\n")
    done = world.run()
    assert done.returncode == 0, done.stderr
    assert world.config.exists() and any(call.startswith("systemctl") for call in world.calls())


def test_an_image_with_the_package_fetches_nothing(world):
    done = world.run(PACKAGE_URL="", METADATA="http://127.0.0.1:1")
    assert done.returncode == 0, done.stderr
    assert [call.split()[0] for call in world.calls()] == ["systemctl"]


def test_a_second_run_ends_as_the_first(world):
    assert world.run().returncode == 0
    first = world.config.read_text()
    assert world.run().returncode == 0
    assert world.config.read_text() == first


def test_nothing_is_left_behind(world):
    world.run(PACKAGE_SHA256="0" * 64)
    world.run()
    assert [path for path in world.path.iterdir() if path.name.startswith("weaviate-provisioner.")] == []


def test_every_transfer_has_a_bound():
    for line in SCRIPT.replace("\\\n", "").splitlines():
        if 'curl "${BOUNDS' in line:
            assert "--max-time" in line, line
    assert SCRIPT.count('curl "${BOUNDS[@]}" --max-time') == 3
    (bounds,) = [line for line in SCRIPT.splitlines() if line.startswith("BOUNDS=")]
    assert all(option in bounds for option in ("--connect-timeout", "--retry ", "--retry-max-time"))
    assert sum(line.strip().startswith("curl ") or "$(curl " in line for line in SCRIPT.splitlines()) == 3


# ---- With the real agent --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {
            "ImageFile": "/opt/weaviate/image.tar",
            "BackupMode": "direct",
            "RestoreMode": "direct",
            "Unverified": "allow",
            "AllowEmpty": "true",
            "Grpc": "false",
        },
    ],
    ids=["usual", "other"],
)
def test_the_agent_takes_the_configurations_without_a_word(parameters, tmp_path):
    for toml in (shown(SCRIPT), shown(embedded(filled(parameters)))):
        (tmp_path / "config.toml").write_text(toml)
        assert validate(tmp_path) == {"valid": True, "problems": [], "warnings": []}


def test_the_agent_takes_another_environment_as_its_source(tmp_path):
    source = {
        "SourceBucket": "acme-production",
        "SourcePrefix": "live",
        "SourceDeployment": "acme-production",
        "SourceRegion": "eu-west-1",
    }
    (tmp_path / "config.toml").write_text(shown(embedded(filled(source))))
    said = validate(tmp_path)
    assert (said["valid"], said["warnings"]) == (True, [])
    assert said["from"] == "s3://acme-production/live (deployment acme-production, node weaviate-0)"


def filled(parameters):
    """With what CloudFormation fills in itself."""
    made = Stack(**parameters).user_data()
    for word, value in {
        "<Address.PrimaryPrivateIpAddress>": "10.0.2.15",
        "<Bucket>": BUCKET,
        "<BackupRole.Arn>": "arn:aws:iam::1:role/b",
    }.items():
        made = made.replace(word, value)
    return made


def test_the_agent_refuses_a_configuration_that_is_wrong(tmp_path):
    (tmp_path / "config.toml").write_text(shown(SCRIPT).replace("prefix", "prefixx"))
    assert validate(tmp_path)["valid"] is False


def validate(directory):
    command = [os.environ["AGENT"], "--json", "--config", directory / "config.toml", "validate"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=30).stdout)
