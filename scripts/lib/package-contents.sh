# Sourced by packages-test: what is in the package.

# Every file and folder with its mode; what is not here must not be in it.
expected_contents() {
  local doc=usr/share/doc/weaviate-provisioner page
  cat <<END
-rw-r--r-- etc/weaviate-provisioner/conf.d/README
-rw-r--r-- usr/lib/systemd/system/weaviate-provisioner-backup.service
-rw-r--r-- usr/lib/systemd/system/weaviate-provisioner-backup.timer
-rw-r--r-- usr/lib/systemd/system/weaviate-provisioner-door.service
-rw-r--r-- usr/lib/systemd/system/weaviate-provisioner-drill.service
-rw-r--r-- usr/lib/systemd/system/weaviate-provisioner-drill.timer
-rw-r--r-- usr/lib/systemd/system/weaviate-provisioner.service
-rwxr-xr-x usr/bin/weaviate-provisioner
-rw-r--r-- usr/share/bash-completion/completions/weaviate-provisioner
-rw-r--r-- $doc/changelog.gz
-rw-r--r-- $doc/config.toml
-rw-r--r-- $doc/copyright
-rw-r--r-- $doc/examples/cloudformation.yaml
-rw-r--r-- $doc/examples/iam-backup.json
-rw-r--r-- $doc/examples/iam-instance.json
-rw-r--r-- $doc/examples/iam-read-only.json
-rw-r--r-- $doc/examples/iam-source.json
-rw-r--r-- $doc/examples/user-data.sh
-rw-r--r-- $doc/examples/user-data.yaml
-rw-r--r-- usr/share/fish/vendor_completions.d/weaviate-provisioner.fish
-rw-r--r-- usr/share/lintian/overrides/weaviate-provisioner
-rw-r--r-- usr/share/man/man5/weaviate-provisioner.toml.5.gz
-rw-r--r-- usr/share/man/man8/weaviate-provisioner.8.gz
-rw-r--r-- usr/share/zsh/vendor-completions/_weaviate-provisioner
END
  for page in adopt backup cancel close drill export import list metrics plan prune restore run status timeline validate verify; do
    printf -- '-rw-r--r-- usr/share/man/man8/weaviate-provisioner-%s.8.gz\n' "$page"
  done
}

contents() {
  local listed found
  say "what is in it"
  listed=$(dpkg-deb --contents "$1")
  # Folders are everybody's to read and root's to write, and so is all else.
  ! awk '$2 != "0/0" || substr($1, 6, 1) == "w" || substr($1, 9, 1) == "w" || $1 ~ /[sStT]/' <<<"$listed" |
    grep . || die "an owner or a mode that nothing here needs"
  ! awk '/^d/ && $1 != "drwxr-xr-x"' <<<"$listed" | grep . || die "a folder with another mode"
  found=$(awk '!/^d/ { sub(/^\.\//, "", $6); print $1, $6 }' <<<"$listed")
  diff <(expected_contents | LC_ALL=C sort -k 2) <(LC_ALL=C sort -k 2 <<<"$found") || die "other files than expected"
  mkdir "$scratch/tree"
  dpkg-deb --extract "$1" "$scratch/tree"
  cmp "$ROOT/packaging/config.toml" "$scratch/tree/usr/share/doc/weaviate-provisioner/config.toml"
  file_is_static "$scratch/tree/usr/bin/weaviate-provisioner"
  manual "$scratch/tree/usr/share/man"
  completions "$scratch/tree/usr/share"
}

file_is_static() {
  # An interpreter is asked for by what is linked dynamically.
  ! readelf --program-headers "$1" | grep -q INTERP || die "the program is not static, and the package has no libc"
}

manual() {
  local page said
  while IFS= read -r page; do
    said=$(LC_ALL=C.UTF-8 MANWIDTH=100 man --warnings --local-file --encoding UTF-8 "$page" 2>&1 >/dev/null)
    [ -z "$said" ] || die "man, of ${page##*/}: $said"
    # Its section is compared with the name of the file.
    gzip -dc "$page" >"$scratch/$(basename "$page" .gz)"
    mandoc -T lint -W warning "$scratch/$(basename "$page" .gz)" >&2 || die "mandoc finds fault with ${page##*/}"
  done < <(find "$1" -name '*.gz')
}

completions() {
  bash -n "$1/bash-completion/completions/weaviate-provisioner"
  # What bash offers, as a person would meet it.
  bash -c '. "$1"; COMP_WORDS=(weaviate-provisioner ti) COMP_CWORD=1
    _weaviate__provisioner weaviate-provisioner ti; [ "${COMPREPLY[*]}" = timeline ]' bash \
    "$1/bash-completion/completions/weaviate-provisioner" || die "bash does not complete"
}
