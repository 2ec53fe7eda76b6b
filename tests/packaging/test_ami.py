"""packaging/ami.sh in a chroot: this machine's own system under an overlay in memory, so that apt and dpkg are real and
nothing of it stays. Needs root.

The engine's part (`--image`) has no registry here; it is run with programs that stand for it.
"""

import hashlib
import io
import json
import subprocess
import tarfile

import pytest
from template import PACKAGING

NAME = "cr.weaviate.io/semitechnologies/weaviate:1.39.0"
DIGEST = f"sha256:{'0' * 64}"
# In namespaces of their own: mounts and processes end with the first of them.
CHROOT = """
set -eu
mount -t tmpfs none "$1/layers"
mkdir "$1/layers/changes" "$1/layers/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/layers/changes,workdir=$1/layers/work" "$1/root"
mount --bind /dev "$1/root/dev"
mount -t proc proc "$1/root/proc"
# In a container it is a mount of its own, which the overlay does not show.
mount --bind /etc/resolv.conf "$1/root/etc/resolv.conf"
mkdir -p "$1/root/inputs"
mount --bind "$1/inputs" "$1/root/inputs"
# Builders of containers leave one there.
rm -f "$1/root/usr/sbin/policy-rc.d"
exec chroot "$1/root" /bin/bash -c "$2"
"""
# What a machine has that has been booted.
USED = """
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
mkdir -p /etc/ssh /etc/netplan /var/lib/cloud/instance /var/log/journal/0123 /var/lib/weaviate-provisioner
touch /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/sshd_config
touch /etc/netplan/50-cloud-init.yaml /var/log/cloud-init.log /var/lib/weaviate-provisioner/state.json
for home in /root /home/admin; do mkdir -p "$home/.ssh"; touch "$home/.ssh/authorized_keys"; done
"""
GONE = [
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_ed25519_key.pub",
    *(f"{home}/.ssh/authorized_keys" for home in ("/root", "/home/admin")),
    "/var/lib/cloud",
    "/var/log/cloud-init.log",
    "/var/log/journal/0123",
    "/etc/netplan/50-cloud-init.yaml",
    "/var/lib/weaviate-provisioner",
    "/usr/sbin/policy-rc.d",
]
# One line for each fact.
LOOK = f"""
for path in {" ".join(GONE)}; do [ ! -e "$path" ] || echo "left $path"; done
echo "machine-id $(stat -c %s /etc/machine-id)"
echo "sshd_config $(ls /etc/ssh/sshd_config)"
echo "archive $(sha256sum </opt/weaviate/image.tar) $(stat -c %a /opt/weaviate/image.tar)"
echo "package $(dpkg-query -W -f='${{Status}} ${{Version}}' weaviate-provisioner)"
echo "policy $(cat /started)"
ls -d /var/tmp/weaviate-ami.* /opt/weaviate/*.new 2>/dev/null || true

"""


# For runs that are about something else: the package lists need not come again from a mirror.
LISTS = """
printf '%s\\n' '#!/bin/bash' '[[ " $* " == *" update "* ]] || exec /usr/bin/apt-get "$@"' >/usr/local/bin/apt-get
chmod 755 /usr/local/bin/apt-get
"""


def archive(names=(NAME,)):
    """As `docker save` writes it."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        manifest = json.dumps(
            [{"Config": "c.json", "RepoTags": list(names) or None, "Layers": []}], separators=(",", ":")
        )
        member = tarfile.TarInfo("manifest.json")
        member.size = len(manifest)
        tar.addfile(member, io.BytesIO(manifest.encode()))
    return written.getvalue()


@pytest.fixture
def machine(tmp_path):
    for name in ("layers", "root", "inputs"):
        (tmp_path / name).mkdir()
    inputs = tmp_path / "inputs"
    (inputs / "ami.sh").write_text((PACKAGING / "ami.sh").read_text())
    (inputs / "image.tar").write_bytes(archive())
    package = tmp_path / "package"
    (package / "DEBIAN").mkdir(parents=True)
    control = (
        "Package: weaviate-provisioner\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n"
    )
    (package / "DEBIAN/control").write_text(control)
    # It asks whether it may start, as the helpers of debhelper do, and notes the answer: 101 is "no" (invoke-rc.d(8)).
    # An answer of a machine without a policy is nothing at all.
    ask = "[ ! -e /usr/sbin/policy-rc.d ] || /usr/sbin/policy-rc.d weaviate-provisioner start || answer=$?\n"
    (package / "DEBIAN/postinst").write_text(f'#!/bin/sh\nanswer=none\n{ask}echo "$answer" >>/started\n')
    (package / "DEBIAN/postinst").chmod(0o755)
    subprocess.run(
        ["dpkg-deb", "--build", package, inputs / "package.deb"], check=True, capture_output=True, timeout=60
    )

    def run(commands):
        unshare = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "bash",
            "-c",
            CHROOT,
            "chroot",
            tmp_path,
            commands,
        ]
        return subprocess.run(unshare, capture_output=True, text=True, timeout=300)

    run.inputs = inputs
    return run


ARCHIVE = "/inputs/ami.sh --package /inputs/package.deb --image-archive /inputs/image.tar"


def facts(runs):
    package = "package install ok installed 1"
    digest = hashlib.sha256(archive()).hexdigest()
    answers = " ".join(["101"] * runs).split()
    return [
        "machine-id 0",
        "sshd_config /etc/ssh/sshd_config",
        f"archive {digest}  - 644",
        package,
        "policy " + "\n".join(answers),
    ]


def test_a_used_machine_becomes_an_image_and_so_does_an_image(machine):
    done = machine(f"set -e\n{USED}\nbash {ARCHIVE}\n{LOOK}\necho again\n{LISTS}\nbash {ARCHIVE}\n{LOOK}")
    assert done.returncode == 0, done.stderr
    first, again = done.stdout.split("again\n")
    # The second run finds the package installed and asks nothing.
    assert first.splitlines() == facts(1) and again.splitlines() == facts(1)
    assert f'weaviate.image = "{NAME}" and weaviate.image_file = "/opt/weaviate/image.tar"' in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "--package names no file: it is missing"),
        ("--package /inputs/none.deb", "--package names no file: /inputs/none.deb"),
        ("--package", "--package needs a value"),
        ("--colour red", "unknown option --colour"),
        ("--package /inputs/package.deb", "one of --image and --image-archive is needed"),
        (f"--package /inputs/package.deb --image {NAME}", f"{NAME} is not NAME:TAG@sha256:DIGEST"),
        (f"--package /inputs/package.deb --image weaviate@{DIGEST}", "is not NAME:TAG@sha256:DIGEST"),
        (
            f"--package /inputs/package.deb --image {NAME}@{DIGEST} --image-archive /inputs/image.tar",
            "exclude each other",
        ),
        ("--package /inputs/package.deb --image-archive /inputs/package.deb", "is no archive of an image with a name"),
        ("--package /inputs/package.deb --image-archive /inputs/nameless.tar", "is no archive of an image with a name"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_changes(machine, arguments, sentence):
    (machine.inputs / "nameless.tar").write_bytes(archive(names=()))
    done = machine(
        f"bash /inputs/ami.sh {arguments} && echo done; find /started /opt/weaviate /usr/sbin/policy-rc.d 2>/dev/null"
    )
    assert sentence in done.stderr and done.stdout == ""


# The engine and its client: they hold each other to the same socket, and the reference to its digest.
ENGINE = """
cat >/usr/local/bin/dockerd <<'END'
#!/bin/bash
printf '%s\\n' "$*" >/engine
exec sleep 600
END
cat >/usr/local/bin/docker <<'END'
#!/bin/bash
grep -qF -- "$2" /engine || { echo "no engine at $2" >&2; exit 1; }
printf '%s\\n' "${*:3}" >>/asked
[ "$3" != save ] || cp /inputs/image.tar "$5"
END
chmod 755 /usr/local/bin/dockerd /usr/local/bin/docker
"""


def test_an_image_is_pulled_by_its_digest_into_an_engine_that_goes_again(machine):
    command = f"bash /inputs/ami.sh --package /inputs/package.deb --image {NAME}@{DIGEST}"
    done = machine(f"set -e\n{USED}\n{LISTS}\n{ENGINE}\n{command}\n{LOOK}\npgrep -x sleep || true\ncat /asked")
    assert done.returncode == 0, done.stderr
    name = NAME.removesuffix(":1.39.0")
    *found, version, pull, tag, save = done.stdout.splitlines()
    assert found == facts(1)
    assert (version, pull) == ("version", f"pull --quiet {name}@{DIGEST}")
    assert tag == f"tag {name}@{DIGEST} {NAME}" and save.startswith("save --output ") and save.endswith(NAME)


def test_an_engine_that_does_not_come_up_is_said(machine):
    broken = ENGINE.replace("""printf '%s\\n' "$*" >/engine\nexec sleep 600""", "echo no namespaces here; exit 1")
    assert broken != ENGINE
    command = f"bash /inputs/ami.sh --package /inputs/package.deb --image {NAME}@{DIGEST}"
    done = machine(f"{LISTS}\n{broken}\n{command}; ls /opt/weaviate /usr/sbin/policy-rc.d")
    assert done.returncode != 0 and done.stdout == ""
    assert "no namespaces here" in done.stderr and "use --image-archive" in done.stderr


def test_a_policy_of_somebody_else_stays(machine):
    policy = "printf '#!/bin/sh\\nexit 101\\n# ours\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d"
    done = machine(f"{LISTS}\n{policy}\nbash {ARCHIVE}\ntail -n 1 /usr/sbin/policy-rc.d")
    assert (done.returncode, done.stdout) == (0, "# ours\n"), done.stderr
