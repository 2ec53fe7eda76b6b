# Sourced by packages-test: installed, upgraded, removed and purged in a minimal Debian 12 whose systemd is a recorder.

agent=weaviate-provisioner.service
door=weaviate-provisioner-door.service
backups=weaviate-provisioner-backup.timer
drills=weaviate-provisioner-drill.timer

# A Debian with what the package depends on, made once for these inputs; what is there is as old as its cache.
debian() {
  local sources include=docker.io,ca-certificates,nftables,systemd,xfsprogs base
  # The archives that this machine itself installs from.
  [ -n "$(debian_archives)" ] || timeout 300 apt-get update -qq
  sources=$(debian_archives)
  [ -n "$sources" ] || die "apt has no Debian 12 archive"
  base=$CACHE/packages-debian-$(printf '%s' "$sources $include" | sha256sum | cut -c 1-16).tar.zst
  if [ ! -e "$base" ]; then
    say "making a Debian with what the package depends on (a minute)"
    # It starts nothing: it forbids that by a policy of its own while it works.
    timeout 1800 mmdebstrap --quiet --mode=root --variant=minbase --include="$include" \
      bookworm "$scratch/base.tar.zst" - <<<"$sources"
    mv "$scratch/base.tar.zst" "$base"
  fi
  mkdir "$1"
  tar -C "$1" -xf "$base"
}

debian_archives() {
  # shellcheck disable=SC2016 # apt's own variables
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' | grep -F bookworm | sort -u
}

inside() { chroot "$root" env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }

# What systemd was asked for since the last look, but for what only looks and `daemon-reload`.
asked() {
  grep -vE '^(--system daemon-reload|.*is-enabled.*|.*is-active.*|.* preset .*)$' "$root/run/asked" || true
  : >"$root/run/asked"
}

# expect WHAT WANTED FOUND
expect() { [ "$2" = "$3" ] || die "$1: expected \"$2\", found \"$3\""; }
there() { local one; for one in "$@"; do [ -e "$root$one" ] || [ -L "$root$one" ] || die "$step: $one is missing"; done; }
gone() { local one; for one in "$@"; do [ ! -e "$root$one" ] || die "$step: $one is left"; [ ! -L "$root$one" ] || die "$step: $one is left"; done; }

# systemd as the maintainer scripts see it: it says that the agent is in the state of /run/agent, and notes the rest.
record_systemd() {
  mkdir -p "$root/run/systemd/system"
  cat >"$root/usr/local/sbin/systemctl" <<'END'
#!/bin/sh
printf '%s\n' "$*" >>/run/asked
case " $* " in
  *' is-active '*) cat /run/agent; [ "$(cat /run/agent)" = active ] ;;
  *' is-enabled '*) echo enabled ;;
  # Links need no systemd.
  *' preset '* | *' enable '* | *' disable '*) SYSTEMD_OFFLINE=1 exec /usr/bin/systemctl "$@" ;;
esac
END
  chmod 755 "$root/usr/local/sbin/systemctl"
  echo inactive >"$root/run/agent"
  : >"$root/run/asked"
}

configuration=/etc/weaviate-provisioner/config.toml
links=("/etc/systemd/system/sysinit.target.wants/$door" "/etc/systemd/system/multi-user.target.wants/$agent"
  "/etc/systemd/system/$agent.wants/$backups"
  "/etc/systemd/system/$agent.wants/$drills")
# What the agent leaves on a machine.
state=(/var/lib/weaviate-provisioner/state.json /run/weaviate-provisioner/env
  /etc/systemd/network/05-weaviate-provisioner.network)
volume=/workspace/weaviate/data/objects

life() {
  root=$scratch/debian
  debian "$root"
  cp "$1" "$root/old.deb"
  cp "$2" "$root/new.deb"
  say "installed, upgraded, removed, purged"
  step=build-time
  # As when an image is made: no systemd runs.
  inside dpkg --install /new.deb >&2
  there "${links[@]}" /etc/weaviate-provisioner/conf.d
  gone "$configuration"
  expect "the program, without a configuration," 78 "$(inside weaviate-provisioner validate >/dev/null 2>&1; echo $?)"
  inside dpkg --purge weaviate-provisioner >&2
  gone "${links[@]}" /etc/weaviate-provisioner
  record_systemd
  installed
  upgraded
  removed
  purged
}

installed() {
  step=install
  # A node that serves without the package: its door must stay as it is.
  mkdir -p "$root/etc/weaviate-provisioner"
  echo '# of a person' >"$root$configuration"
  inside dpkg --install /old.deb >&2
  there "${links[@]}"
  expect "$step asks systemd" "" "$(asked)"
  expect "the mode of conf.d" 755 "$(stat -c %a "$root/etc/weaviate-provisioner/conf.d")"
}

upgraded() {
  local one said
  for one in "${state[@]}" "$volume"; do mkdir -p "$root${one%/*}"; echo x >"$root$one"; done
  step="upgrade while a boot is under way"
  echo activating >"$root/run/agent"
  said=$(inside dpkg --install /new.deb)
  expect "$step asks systemd" "" "$(asked)"
  grep -q 'A boot is under way' <<<"$said" || die "$step says nothing"
  step="upgrade of a node that serves"
  echo active >"$root/run/agent"
  inside dpkg --install /old.deb >&2
  asked >/dev/null
  # As `systemctl disable` leaves it.
  rm "$root${links[1]}"
  inside dpkg --install /new.deb >&2
  expect "$step asks systemd" "try-restart --no-block $agent" "$(asked)"
  gone "${links[1]}"
  there "${links[0]}" "${state[@]}"
  expect "the configuration after it" '# of a person' "$(cat "$root$configuration")"
  # And as `systemctl enable` makes it.
  ln -s "/usr/lib/systemd/system/$agent" "$root${links[1]}"
}

removed() {
  local said
  step=remove
  said=$(inside dpkg --remove weaviate-provisioner)
  expect "$step asks systemd" "stop $backups $drills $agent" "$(asked)"
  grep -q 'The node serves on' <<<"$said" || die "$step says nothing of a node that serves"
  gone /usr/bin/weaviate-provisioner /usr/lib/systemd/system/$agent /usr/lib/systemd/system/$door /usr/lib/systemd/system/$backups
  there "$configuration" /etc/weaviate-provisioner/conf.d "${state[@]}" "$volume"
  step="installed again"
  echo inactive >"$root/run/agent"
  inside dpkg --install /new.deb >&2
  there "${links[@]}"
  expect "$step asks systemd" "" "$(asked)"
  inside dpkg --remove weaviate-provisioner >&2
  asked >/dev/null
}

purged() {
  local said
  step="purge with a disk mounted below /run and a fragment of a person"
  mkdir -p "$root/run/weaviate-provisioner/peek"
  mount -t tmpfs tmpfs "$root/run/weaviate-provisioner/peek"
  echo x >"$root/run/weaviate-provisioner/peek/objects"
  echo >"$root/etc/weaviate-provisioner/conf.d/10-mine.toml"
  said=$(inside dpkg --purge weaviate-provisioner 2>&1)
  there /run/weaviate-provisioner/peek/objects /etc/weaviate-provisioner/conf.d/10-mine.toml "$volume"
  grep -q 'Kept: /run/weaviate-provisioner' <<<"$said" || die "$step says nothing"
  gone "$configuration" "${links[@]}" "${state[@]}" /var/lib/weaviate-provisioner
  umount "$root/run/weaviate-provisioner/peek"
  rm -r "$root/run/weaviate-provisioner" "$root/etc/weaviate-provisioner"
  step=purge
  inside dpkg --install /new.deb >&2
  for one in "${state[@]}"; do mkdir -p "$root${one%/*}"; echo x >"$root$one"; done
  echo '# of a person' >"$root$configuration"
  asked >/dev/null
  inside dpkg --purge weaviate-provisioner >&2
  gone /etc/weaviate-provisioner /var/lib/weaviate-provisioner /run/weaviate-provisioner "${links[@]}" "${state[@]}"
  there "$volume"
  ! find "$root/etc" "$root/lib/systemd" "$root/var/lib/systemd" "$root/usr" -name '*weaviate*' | grep . ||
    die "$step left these"
}
