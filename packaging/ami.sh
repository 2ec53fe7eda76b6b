#!/bin/bash
# Makes the system that it runs in into the image of a Weaviate node: package, Docker and the server's image on it, and
# nothing of the machine that built it. As root, on a builder instance or in a chroot of an image. It starts nothing,
# and may be run again.
#
#   ami.sh --package FILE.deb --image NAME:TAG@sha256:DIGEST    pulls the image (not in a chroot: an engine is needed)
#   ami.sh --package FILE.deb --image-archive FILE              takes an archive made by `docker save NAME:TAG`
#
# On a builder, make the image of it right afterwards; what is logged in meanwhile is written to its disk again.
set -Eeuo pipefail

# Where `weaviate.image_file` then points to.
ARCHIVE=/opt/weaviate/image.tar
# In the archive's manifest.json, before the name (docker/image/tarexport).
NAMED='"RepoTags"[[:space:]]*:[[:space:]]*\[[[:space:]]*"'

die() { printf 'ami.sh: %s\n' "$*" >&2; exit 1; }
say() { printf 'ami.sh: %s\n' "$*" >&2; }

package='' image='' archive=''
while [ $# -gt 0 ]; do
  [ $# -gt 1 ] || die "$1 needs a value"
  case $1 in
    --package) package=$2 ;;
    --image) image=$2 ;;
    --image-archive) archive=$2 ;;
    *) die "unknown option $1: --package, --image, --image-archive" ;;
  esac
  shift 2
done
[ "$(id -u)" = 0 ] || die "needs root"
[ -f "$package" ] || die "--package names no file: ${package:-it is missing}"
[ -n "$image" ] || [ -n "$archive" ] || die "one of --image and --image-archive is needed"
[ -z "$image" ] || [ -z "$archive" ] || die "--image and --image-archive exclude each other"
# The tag is what the archive and the configuration call it: an archive keeps no digest of a registry. The digest is
# what the registry is held to here.
[[ -z $image || $image =~ ^[^@]+:[^@/:]+@sha256:[0-9a-f]{64}$ ]] || die "$image is not NAME:TAG@sha256:DIGEST"
# Before anything is installed: an archive that the agent could not load.
[ -z "$archive" ] || tar -xOf "$archive" manifest.json 2>/dev/null | grep -qE "$NAMED" ||
  die "$archive is no archive of an image with a name, as \`docker save NAME:TAG\` makes it"

work=$(mktemp -d /var/tmp/weaviate-ami.XXXXXX)
engine='' policy=/usr/sbin/policy-rc.d ours=''
finish() {
  # Whatever of it fails, the rest is tried.
  [ -z "$engine" ] || { kill "$engine" && wait "$engine"; } 2>/dev/null || true
  [ -z "$ours" ] || rm -f "$policy"
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# What packages want to start is refused (invoke-rc.d(8)). One that somebody else has put there stays.
if [ ! -e "$policy" ]; then
  ours=yes
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

apt() {
  DEBIAN_FRONTEND=noninteractive timeout 1200 apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >&2
}
apt update || die "apt-get update failed: are the distribution's mirrors reachable?"
# apt takes a name with a slash for a file, and reads it as a user of its own.
chmod 755 "$work"
cp "$package" "$work/weaviate-provisioner.deb"
apt install --yes --allow-downgrades "$work/weaviate-provisioner.deb" || die "apt-get could not install $package"
if ! command -v dockerd >/dev/null; then
  apt install --yes --no-install-recommends docker.io || die "apt-get could not install docker.io"
fi

# An engine of its own, with its own directories: the builder's, if it runs, keeps no copy of the image, and none is
# started that would stay. It forwards nothing, so it needs no bridge and no rules.
start_engine() {
  local tries
  dockerd --data-root "$work/data" --exec-root "$work/run" --host "unix://$work/docker.sock" --pidfile "$work/pid" \
    --bridge none --iptables=false --ip6tables=false >"$work/dockerd.log" 2>&1 &
  engine=$!
  for tries in {1..60}; do
    docker --host "unix://$work/docker.sock" version >/dev/null 2>&1 && return
    kill -0 "$engine" 2>/dev/null || break
    sleep 1
  done
  tail -n 5 "$work/dockerd.log" >&2
  die "no Docker Engine comes up here (try $tries): use --image-archive"
}

if [ -n "$image" ]; then
  start_engine
  archive=$work/image.tar
  name=${image%@*}
  docker=(timeout 1200 docker --host "unix://$work/docker.sock")
  # A reference with both is fetched by its digest, and keeps no tag.
  "${docker[@]}" pull --quiet "${name%:*}@${image#*@}" >/dev/null || die "$image cannot be pulled"
  "${docker[@]}" tag "${name%:*}@${image#*@}" "$name"
  "${docker[@]}" save --output "$archive" "$name" || die "$name cannot be saved"
fi
if ! cmp -s "$archive" "$ARCHIVE"; then
  mkdir -p "${ARCHIVE%/*}"
  # Beside it first: half an archive must not look like one.
  cp "$archive" "$ARCHIVE.new"
  chmod 644 "$ARCHIVE.new"
  sync "$ARCHIVE.new"
  mv -T "$ARCHIVE.new" "$ARCHIVE"
fi

# What belongs to one machine, and must be made anew by each that comes of this image.
#   cloud-init: what it did, so that it does it again, and the network of this machine's addresses
rm -rf /var/lib/cloud /var/log/cloud-init.log /var/log/cloud-init-output.log
rm -f /etc/netplan/50-cloud-init.yaml /etc/network/interfaces.d/50-cloud-init
#   systemd: an empty file, not an absent one, gets an id and is no "first boot" that would reset which units are
#   enabled (machine-id(5))
: >/etc/machine-id
[ -L /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
#   SSH: cloud-init makes host keys, and lets in whom the new instance's key pair names
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
for home in /root /home/*; do rm -f "$home/.ssh/authorized_keys"; done
#   leases, logs of this machine, and the journal of an agent that ran here
rm -rf /var/lib/dhcp/* /var/log/journal/* /var/lib/weaviate-provisioner
apt clean
sync

say "done; in the configuration: weaviate.image = \"$(tar -xOf "$ARCHIVE" manifest.json |
  sed -E "s/.*$NAMED([^\"]*)\".*/\1/")\" and weaviate.image_file = \"$ARCHIVE\""
[ ! -e /etc/weaviate-provisioner/config.toml ] ||
  say "/etc/weaviate-provisioner/config.toml is in the image: its instances begin before their UserData is there"
