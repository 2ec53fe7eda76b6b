# Sourced by every script: installs, idempotently, what the scripts use, and says where things lie.
# A machine that has everything is left as it is.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/weaviate-provisioner
TOOLS=$CACHE/tools
# Outside the checkout, so that a fresh clone does not start cold.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
# The lints are those of one compiler; another one knows other lints.
LINT_TOOLCHAIN=1.95.0
RUST_FLOOR=1.94.1

say() { printf '%s\n' "$*" >&2; }
die() { say "$0: $*"; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "needs root: it makes network namespaces, mounts and disks"; }

# need_packages NAME...: Debian packages, installed in one go where any is missing.
need_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] && return 0
  need_root
  say "installing ${missing[*]}"
  apt_install "${missing[@]}" >"$CACHE/apt.log" 2>&1 || { cat "$CACHE/apt.log" >&2; die "apt-get could not install ${missing[*]}"; }
}

# Installing docker.io must not start an engine outside the tests' namespaces: a policy forbids it, and goes again
# whatever ends this. By its mark a later run knows one that a kill has left.
apt_install() (
  flock 9
  policy=/usr/sbin/policy-rc.d mark='# of weaviate-provisioner, while it installs'
  if [ ! -e "$policy" ] || grep -qF "$mark" "$policy"; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    { printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy" && chmod 755 "$policy"; } || exit
  fi
  # Somebody else may be installing right now, at a first boot above all.
  apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@"
) 9>"$CACHE/apt.lock"

# Where this machine's own packages come from; fails where that is no Debian mirror.
debian_mirror() {
  # Of the two forms a machine has one or both.
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
    sed -nE 's/^URIs: //p; s/^deb (\[[^]]*\] )?([^ ]+) .*/\2/p' | grep '/debian/*$' | sort -u | head -n 1 | grep .
}

# at_least HAVE WANT: compares dotted versions.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# A Rust toolchain: the one in PATH where it is new enough, else Debian's second one.
need_rust() {
  need_packages build-essential ca-certificates
  local have=0
  if command -v cargo >/dev/null; then
    # The rustc of a rustup without a default toolchain fails.
    have=$(rustc --version 2>/dev/null | awk '{print $2}') || have=0
  fi
  if ! at_least "${have:-0}" "$RUST_FLOOR"; then
    need_packages rustc-web cargo-web rustfmt-web rust-web-clippy
    # Before the older one.
    export PATH=/usr/bin:$PATH
    hash -r
    have=$(rustc --version | awk '{print $2}')
    at_least "$have" "$RUST_FLOOR" || die "needs Rust $RUST_FLOOR or newer, found $have"
  fi
}

# What a world is made of.
need_world() {
  need_root
  need_packages docker.io iptables nftables iproute2 xfsprogs e2fsprogs util-linux mount procps curl
}

mkdir -p "$CACHE" "$TOOLS" "$CARGO_TARGET_DIR"

# The build output is shared between checkouts, and cargo goes by the age of the sources: what another, perhaps
# deleted, checkout has built would count as ours, with that one's paths inside. So our own crates are built anew.
if [ "$(cat "$CARGO_TARGET_DIR/.checkout" 2>/dev/null)" != "$ROOT" ]; then
  find "$ROOT/src" "$ROOT/tests" -name '*.rs' -exec touch {} +
  printf '%s' "$ROOT" >"$CARGO_TARGET_DIR/.checkout"
fi
