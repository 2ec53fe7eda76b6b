# Sourced: cases on whole machines. Needs build.sh, and root for the VPC that the machines are in.

need_machines() {
  need_world
  # QEMU, disks that lose what was not flushed, DHCP and names.
  need_packages qemu-system-x86 nbdkit dnsmasq-base
}

# play_machines PROGRAM SUITE [--always | NAME...]: a package of the program, on a machine as users have it.
play_machines() {
  local program=$1 suite=$2 packages=$CACHE/vm/packages os deb upgrade
  shift 2
  need_machines
  build_all
  # Each on a line of its own: as an argument its failure would be lost.
  rm -rf "$packages"
  mkdir -p "$packages"
  # Of the tests' own program: debug information would be most of what the machine installs.
  strip -o "$packages/program" "$program"
  local make=("$ROOT/scripts/package" --unlinted --binary "$packages/program" --into "$packages" amd64)
  deb=$("${make[@]}")
  upgrade=$("${make[@]}" --version "$(upgraded)")
  os=$("$ROOT/tests/vm/image" "$suite")
  # Two machines at a time: one computes while the other waits.
  "$CARGO_TARGET_DIR/debug/world" vm --os "$os" --package "$deb" --upgrade "$upgrade" --server "$STAND_IN" \
    --repository "$ROOT" --jobs "${MACHINES_AT_A_TIME:-2}" --keep "$CACHE/machines/$suite" \
    --figures "$CACHE/machines/$suite.json" "$@"
}

# A version after ours, as a next release has.
upgraded() { sed -nE 's/^version = "([^"]+)"$/\1+upgrade/p' "$ROOT/Cargo.toml" | head -n 1; }
