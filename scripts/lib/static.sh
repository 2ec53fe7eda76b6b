# Sourced: static binaries for machines of both kinds, from a machine of either.
#
#   need_zig ──▶ a C compiler and a linker for musl (ring has C and assembly in it)
#   need_musl ─▶ the standard library for it: rustup's where it can be had, else compiled from its source
#
# Why musl: a static glibc still loads libraries for names (getaddrinfo, NSS), and breaks where those are others.

# What was tried; a newer one may be as good.
ZIG=0.17.1 ZIGBUILD=0.24.1

static_target() {
  case $1 in
    x86_64 | aarch64) printf '%s-unknown-linux-musl\n' "$1" ;;
    *) die "unknown architecture $1: x86_64, aarch64" ;;
  esac
}

static_binary() { printf '%s\n' "$CARGO_TARGET_DIR/$(static_target "$1")/dist/weaviate-provisioner"; }

# zig and cargo-zigbuild, in an environment of their own, made once.
need_zig() {
  local wanted="ziglang==$ZIG cargo-zigbuild==$ZIGBUILD" stamp=$TOOLS/zig/.pins
  (
    flock 9
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
      python3 -c 'import ensurepip' 2>/dev/null || need_packages python3-venv
      say "installing $wanted"
      # shellcheck disable=SC2086 # the pins are words
      python3 -m venv "$TOOLS/zig" && "$TOOLS/zig/bin/pip" install --quiet --disable-pip-version-check $wanted &&
        printf '%s' "$wanted" >"$stamp"
    fi
  ) 9>"$TOOLS/zig.lock" >&2 || die "zig could not be installed"
  export PATH=$TOOLS/zig/bin:$PATH
}

# need_musl TARGET: sets BUILD_STD to what cargo must be told, which is nothing where the target's library is there.
need_musl() {
  local sysroot
  sysroot=$(rustc --print sysroot)
  BUILD_STD=()
  [ -d "$sysroot/lib/rustlib/$1/lib" ] && return 0
  # The ordinary way. Not every machine reaches its server.
  if command -v rustup >/dev/null && timeout 60 rustup target add "$1" >"$CACHE/rustup.log" 2>&1; then return 0; fi
  say "no library of $1 can be had: it is compiled from its source"
  need_library_source "$sysroot"
  # An unstable option of a stable compiler, for this build alone.
  export RUSTC_BOOTSTRAP=1
  BUILD_STD=(-Zbuild-std=std,panic_abort)
}

# The source of the standard library of exactly this compiler: rustup's component, else Debian's package.
need_library_source() {
  local there=$1/lib/rustlib/src/rust version
  [ -e "$there/library/Cargo.lock" ] && return 0
  if command -v rustup >/dev/null && timeout 60 rustup component add rust-src >"$CACHE/rustup.log" 2>&1; then return 0; fi
  version=$(rustc --version | awk '{print $2}')
  if [ ! -e "$TOOLS/rust-src-$version/library/Cargo.lock" ]; then
    debian_library_source "$version"
  fi
  mkdir -p "$(dirname "$there")"
  ln -sfn "$TOOLS/rust-src-$version" "$there"
}

# Unpacked beside everything else, not installed: it belongs to a newer Debian.
debian_library_source() (
  local version=$1 scratch mirror candidate
  scratch=$(mktemp -d "$TOOLS/.rust-src-XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  mirror=$(debian_mirror) || die "no Debian mirror in /etc/apt, and rustup could not fetch rust-src"
  mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie-backports main\n' "$mirror" >"$scratch/list"
  local apt=(-o "Dir::Etc::sourcelist=$scratch/list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o APT::Sandbox::User=root)
  timeout 300 apt-get "${apt[@]}" update -qq >&2
  candidate=$(apt-cache "${apt[@]}" madison rust-src | awk -v wanted="$version+" 'index($3, wanted) == 1 {print $3; exit}')
  [ -n "$candidate" ] || die "Debian has no source of Rust $version's library: use rustup, or another compiler"
  (cd "$scratch" && timeout 300 apt-get "${apt[@]}" download -qq "rust-src=$candidate" >&2 && dpkg-deb -x rust-src_*.deb unpacked)
  rm -rf "$TOOLS/rust-src-$version"
  mv "$scratch/unpacked/usr/src/rustc-$version" "$TOOLS/rust-src-$version"
)

build_static() {
  local target
  target=$(static_target "$1")
  need_zig
  need_musl "$target"
  say "building the agent for $target (a quarter of an hour when cold)"
  # zig brings musl's start-up files itself.
  RUSTFLAGS=-Clink-self-contained=no cargo zigbuild --quiet --locked --profile dist --package weaviate-provisioner \
    --target "$target" "${BUILD_STD[@]}" >&2
}
