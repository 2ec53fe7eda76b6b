# Sourced: what a Debian package is made of, besides the program.

need_cargo_deb() {
  local wanted=3.8.0
  "$TOOLS/bin/cargo-deb" --version 2>/dev/null | grep -qF "$wanted" && return 0
  say "installing cargo-deb $wanted (four minutes)"
  CARGO_TARGET_DIR=$TOOLS/target cargo install --quiet --locked --root "$TOOLS" --version "$wanted" cargo-deb
  rm -rf "$TOOLS/target"
}

# The time that everything in the package has: of the commit; of the newest dated entry of CHANGELOG.md
# (`## 1.2.3 (2026-11-27)`) in a tree without its history.
source_date() {
  local day
  if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
    printf '%s\n' "$SOURCE_DATE_EPOCH"
  elif ! git -C "$ROOT" log -1 --format=%ct 2>/dev/null; then
    day=$(sed -nE 's/^## .*\(([0-9]{4}-[0-9]{2}-[0-9]{2})\)$/\1/p' "$ROOT/CHANGELOG.md" | head -n 1)
    [ -n "$day" ] || die "neither a commit nor an entry of CHANGELOG.md has a date: set SOURCE_DATE_EPOCH"
    date -u -d "$day" +%s
  fi
}

package_version() { sed -nE 's/^version = "(.*)"$/\1/p' "$ROOT/Cargo.toml" | head -n 1; }

# debian_changelog VERSION EPOCH: CHANGELOG.md as Debian writes it. What is unreleased there is this version.
debian_changelog() {
  local by version heading
  by=$(sed -nE 's/^maintainer = "(.*)"$/\1/p' "$ROOT/Cargo.toml")
  while IFS= read -r heading; do
    case $heading in
      Unreleased) version=$1 day=@$2 ;;
      *' ('*')') version=${heading%% (*} day=${heading##*(} day=${day%)} ;;
      *) die "CHANGELOG.md: \"## $heading\" is neither \"Unreleased\" nor \"VERSION (DATE)\"" ;;
    esac
    printf 'weaviate-provisioner (%s) stable; urgency=medium\n\n' "$version"
    awk -v heading="## $heading" '/^## / { on = $0 == heading; next } on' "$ROOT/CHANGELOG.md" |
      sed -n 's/^- //p' | while IFS= read -r entry; do
        printf '%s\n' "$entry" | fold -s -w 74 | sed '1s/^/  * /; 1!s/^/    /; s/ *$//'
      done
    printf '\n -- %s  %s\n\n' "$by" "$(LC_ALL=C date -u -R -d "$day")"
  done < <(sed -n 's/^## //p' "$ROOT/CHANGELOG.md")
}
