#!/bin/sh
# Asks the metadata service of this machine more often than it likes, and says on the console what it answered.
# It is the UserData of the probe's instance; a test runs it against the embedded cloud.
BASE=${1:-http://169.254.169.254} OUT=${2:-/dev/console} MANY=${3:-4000}
[ $# -gt 0 ] || shutdown -P +45
token=$(curl -s -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$BASE/latest/api/token")
# A versioned path is not allowed: the denied request.
denied=$(curl -s -m 5 -o /dev/null -w '%{http_code}' -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
    "$BASE/2021-03-23/api/token")
# shellcheck disable=SC2016 # the inner shell expands it
counts=$(seq "$MANY" | xargs -P 32 -n 100 sh -c '
  token=$1 base=$2
  shift 2
  # Each number becomes one address.
  for number; do set -- "$@" "$base/latest/meta-data/instance-id?$number"; shift; done
  curl -s -m 60 --connect-timeout 2 -H "X-aws-ec2-metadata-token: $token" -w "\n%{http_code}\n" "$@"
' asks "$token" "$BASE" | grep -xE '[0-9]{3}' | sort | uniq -c | awk '{printf " %s=%s", $2, $1}')
# The console keeps the end of what is said, and cuts lines of others into ours.
for _ in 1 2 3; do
    echo "weaviate-conformance-imds$counts denied=$denied end" >"$OUT"
    [ $# -gt 0 ] && break
    sleep 5
done
