# Sourced: builds the agent, the world and the static stand-in.
# One selection always, that of `cargo test`: with another one cargo would unify features differently and compile
# the biggest SDK crate a second time (four minutes).
STAND_IN_TARGET=$(uname -m)-unknown-linux-gnu
STAND_IN=$CARGO_TARGET_DIR/$STAND_IN_TARGET/release/weaviate-stand-in

build_all() {
  say "building (minutes when cold, seconds when warm)"
  (cd "$ROOT" && cargo build --workspace --all-targets --locked --quiet)
  # Static, because it runs FROM scratch.
  (cd "$ROOT" && RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --locked --quiet --release --package stand-in --target "$STAND_IN_TARGET")
}
