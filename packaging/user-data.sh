#!/bin/bash
# UserData of a Launch Template: installs weaviate-provisioner from a bucket, configures it and starts it.
# Values of your own stand above the line, everything below it stays as it is.

# The package, and what `sha256sum` says of it. Of a store that is not Amazon's, or of a VPC endpoint, the whole
# URL all the same: https://HOST/BUCKET/KEY. Empty: the image has the package (packaging/ami.sh).
PACKAGE_URL='https://acme-artifacts.s3.eu-central-1.amazonaws.com/weaviate-provisioner.deb'
PACKAGE_SHA256='0000000000000000000000000000000000000000000000000000000000000000'
# The region of that bucket: the request is signed for it.
PACKAGE_REGION='eu-central-1'

# Every key is in /usr/share/doc/weaviate-provisioner/config.toml.
configuration() {
  cat <<'END'
[node]
deployment = "acme-prod"
name = "weaviate-0"
[network]
eni = { private_ip = "10.0.2.15" }
clients = ["sg-0123456789abcdef0"]
[weaviate]
image = "cr.weaviate.io/semitechnologies/weaviate:1.39.0"
keys = { admin = "sm:weaviate/admin-key", writer = "sm:weaviate/writer-key", reader = "sm:weaviate/reader-key" }
[backup]
bucket = "acme-weaviate"
prefix = "prod"
[signal.asg]
launch_hook = "weaviate-ready"
END
}

METADATA='http://169.254.169.254'
CONSOLE='/dev/console'
CONFIG='/etc/weaviate-provisioner/config.toml'
# ------------------------------------------------------------------------------------------------------------------
set -Eeuo pipefail

say() {
  printf 'weaviate-provisioner user data: %s\n' "$*" >&2
  # What EC2's "get console output" shows; a machine without a console goes on.
  { printf 'weaviate-provisioner user data: %s\n' "$*" >"$CONSOLE"; } 2>/dev/null || true
}
# Nothing answers the lifecycle hook here: it runs out, and the group tries again after that pause and no faster.
die() { say "$*"; exit 1; }
trap 'say "line $LINENO failed, which nobody foresaw"' ERR

# What every transfer has: a service that is silent is asked again, and not for ever. A role that is seconds old is
# refused at first (403, 404), so every answer that is an error is tried again.
BOUNDS=(--silent --show-error --fail --connect-timeout 5 --retry 6 --retry-all-errors --retry-max-time 180)

# quoted NAME VALUE...: lines for `curl --config -`. A built-in's arguments are in no process list; what curl gets by
# its own arguments or its environment, everybody on the machine can read.
quoted() { printf '%s = "%s"\n' "$@"; }

metadata() {
  quoted header "X-aws-ec2-metadata-token: $TOKEN" |
    # A proxy would add X-Forwarded-For, for which the service gives nothing.
    curl "${BOUNDS[@]}" --max-time 10 --noproxy '*' --config - "$METADATA/latest/meta-data/$1"
}

# field NAME JSON: the value of a string; those of credentials hold no quotation marks.
field() { [[ $2 =~ \"$1\"[[:space:]]*:[[:space:]]*\"([^\"]+)\" ]] && printf '%s' "${BASH_REMATCH[1]}"; }

# right_clock DATE: what the metadata service calls now. Signatures and certificates have their time, and S3 takes none
# that is 15 minutes off ("RequestTimeTooSkewed"); a first boot can be over before anybody else has set the clock.
right_clock() {
  local now off
  # Of nothing, date(1) makes the last midnight.
  [ -n "$1" ] || return 0
  now=$(date --date "$1" +%s 2>/dev/null) || return 0
  off=$((now - $(date +%s)))
  [ "${off#-}" -gt 300 ] || return 0
  say "the clock is ${off#-} s off: it is set to $1"
  date --set "@$now" >/dev/null || say "the clock cannot be set, and S3 may refuse what is signed: set it in the image"
}

fetch() {
  local answer role credentials key secret session
  # The token outlives every try of the calls below.
  answer=$(curl "${BOUNDS[@]}" --max-time 10 --noproxy '*' --include --request PUT \
    --header 'X-aws-ec2-metadata-token-ttl-seconds: 900' "$METADATA/latest/api/token") ||
    die "the instance metadata service gives no token at $METADATA"
  TOKEN=${answer##*$'\n'}
  right_clock "$(sed -nE 's/\r$//; s/^date: //Ip' <<<"$answer" | tail -n 1)"
  role=$(metadata iam/security-credentials/) || die "this instance has no role: give it an instance profile"
  credentials=$(metadata "iam/security-credentials/$role") || die "the role $role has no credentials"
  if ! { key=$(field AccessKeyId "$credentials") && secret=$(field SecretAccessKey "$credentials") &&
    session=$(field Token "$credentials"); }; then
    die "the credentials of the role $role cannot be understood"
  fi
  # curl signs every x-amz- header that it is given. S3 wants two that it does not add by itself: the session token, and
  # the SHA-256 of the body, here of none (github.com/curl/curl/issues/8810; later versions keep what they are given).
  quoted user "$key:$secret" header "x-amz-security-token: $session" |
    curl "${BOUNDS[@]}" --max-time 120 --aws-sigv4 "aws:amz:$PACKAGE_REGION:s3" --config - \
      --header 'x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' \
      --output "$1" "$PACKAGE_URL" ||
    die "the package cannot be fetched from $PACKAGE_URL: see the line above, the role $role and the bucket's policy"
  printf '%s  %s\n' "$PACKAGE_SHA256" "$1" | sha256sum --check --status ||
    die "the package from $PACKAGE_URL is not the one with the SHA-256 $PACKAGE_SHA256"
}

# On a first boot other installations hold apt's locks, and mirrors are out of reach for seconds.
packages() {
  local tries
  for tries in 1 2 3 4 5 6; do
    DEBIAN_FRONTEND=noninteractive timeout 600 \
      apt-get -qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@" && return
    say "apt-get $1 failed (try $tries of 6)"
    sleep 10
  done
  return 1
}

if [ -n "$PACKAGE_URL" ]; then
  command -v apt-get >/dev/null || die "this image has no apt-get: Debian or Ubuntu is needed"
  work=$(mktemp -d -t weaviate-provisioner.XXXXXX)
  trap 'rm -rf "$work"' EXIT
  # apt reads packages as a user of its own.
  chmod 755 "$work"
  fetch "$work/weaviate-provisioner.deb"
  packages update || die "apt-get update failed: are the distribution's mirrors reachable?"
  # The checksum says which one is wanted, even where the image has a newer one.
  packages install --yes --allow-downgrades "$work/weaviate-provisioner.deb" ||
    die "apt-get could not install the package"
fi
command -v weaviate-provisioner >/dev/null || die "weaviate-provisioner is not installed, and PACKAGE_URL is empty"

# The configuration comes last. Without it the units do nothing, so an installation that breaks off half-way, or a
# package that starts what it installs, cannot begin a boot. It is not judged here: of a wrong one the program says on
# the console what is wrong, and tells the group at once, where it still names the hook, instead of letting it wait.
mkdir -p "${CONFIG%/*}"
configuration >"$CONFIG.new"
# Whole or not at all, whatever happens to the machine now.
sync "$CONFIG.new"
mv -T "$CONFIG.new" "$CONFIG"
sync "${CONFIG%/*}"
# Not waited for: a boot takes as long as its restore, and whatever waits for cloud-init would wait for that. Later
# boots start the unit by themselves: it is enabled.
systemctl start --no-block weaviate-provisioner.service || die "systemd does not start weaviate-provisioner.service"
