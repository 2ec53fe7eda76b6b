#!/bin/bash
# The script that a user would write from the how-tos: AWS CLI, docker, curl; one thing after the other, polls of
# one second, no fixed sleeps. It is what `scripts/bench boot` compares with. Its steps stay as they are.
#
# It checks no checksum, counts nothing, steals nothing (it waits until the attach call succeeds), and is open to
# clients while it restores.
set -euo pipefail

ADDRESS=10.0.2.15 SUBNET=10.0.2.0/24 GATEWAY=10.0.2.1
BUCKET=acme-weaviate PREFIX=prod
S3_ENDPOINT=10.0.8.9
IMAGE=10.0.8.10:5000/weaviate:1.39.0
MOUNT=/workspace/weaviate
GROUP=weaviate-0 HOOK=weaviate-ready
IMDS=http://169.254.169.254/latest

# Who am I?
TOKEN=$(curl -sf -X PUT "$IMDS/api/token" -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600')
metadata() { curl -sf -H "X-aws-ec2-metadata-token: $TOKEN" "$IMDS/meta-data/$1"; }
INSTANCE=$(metadata instance-id)
export AWS_DEFAULT_REGION
AWS_DEFAULT_REGION=$(metadata placement/region)

# The fixed address.
read -r ENI MAC < <(aws ec2 describe-network-interfaces --filters "Name=private-ip-address,Values=$ADDRESS" \
  --query 'NetworkInterfaces[0].[NetworkInterfaceId,MacAddress]' --output text)
until aws ec2 attach-network-interface --network-interface-id "$ENI" --instance-id "$INSTANCE" --device-index 1 >/dev/null 2>&1; do
  sleep 1
done
link() { ip -o link | awk -v mac="$MAC" '$0 ~ mac { sub(":", "", $2); sub("@.*", "", $2); print $2 }'; }
until [ -n "$(link)" ]; do sleep 1; done
LINK=$(link)
ip link set "$LINK" up
ip addr add "$ADDRESS/24" dev "$LINK" noprefixroute
ip route add "$SUBNET" dev "$LINK" table 101
ip route add default via "$GATEWAY" dev "$LINK" table 101
ip route add 172.17.0.0/16 dev docker0 table 101
ip rule add from "$ADDRESS" lookup 101 priority 80
ip rule add iif docker0 lookup 101 priority 81

# The local disk.
mkfs.xfs -q -K /dev/nvme1n1
mkdir -p "$MOUNT"
mount -o noatime /dev/nvme1n1 "$MOUNT"
mkdir -p "$MOUNT/data"
chown 1000:1000 "$MOUNT/data"

# The keys.
ADMIN=$(aws secretsmanager get-secret-value --secret-id weaviate/admin-key --query SecretString --output text)
WRITER=$(aws secretsmanager get-secret-value --secret-id weaviate/writer-key --query SecretString --output text)
READER=$(aws ssm get-parameter --name /weaviate/reader-key --with-decryption --query Parameter.Value --output text)

# The server, with the instance's own credentials for S3.
ROLE=$(metadata iam/security-credentials/)
credential() { metadata "iam/security-credentials/$ROLE" | python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }
docker run -d --name weaviate --user 1000:1000 \
  -p "$ADDRESS:8080:8080" -p "$ADDRESS:50051:50051" -v "$MOUNT/data:/var/lib/weaviate" \
  -e PERSISTENCE_DATA_PATH=/var/lib/weaviate -e CLUSTER_HOSTNAME=weaviate-0 -e DEFAULT_VECTORIZER_MODULE=none \
  -e AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=false -e AUTHENTICATION_APIKEY_ENABLED=true \
  -e AUTHENTICATION_APIKEY_ALLOWED_KEYS="$ADMIN,$WRITER,$READER" -e AUTHENTICATION_APIKEY_USERS=admin,writer,reader \
  -e AUTHORIZATION_ADMINLIST_ENABLED=true -e AUTHORIZATION_ADMINLIST_USERS=admin,writer \
  -e AUTHORIZATION_ADMINLIST_READONLY_USERS=reader \
  -e ENABLE_MODULES=backup-s3 -e BACKUP_S3_BUCKET="$BUCKET" -e BACKUP_S3_PATH="$PREFIX" \
  -e BACKUP_S3_ENDPOINT="$S3_ENDPOINT" -e BACKUP_S3_USE_SSL=false -e AWS_REGION="$AWS_DEFAULT_REGION" \
  -e AWS_ACCESS_KEY_ID="$(credential AccessKeyId)" -e AWS_SECRET_ACCESS_KEY="$(credential SecretAccessKey)" \
  -e AWS_SESSION_TOKEN="$(credential Token)" "$IMAGE" >/dev/null

server() { curl -sf -H "Authorization: Bearer $ADMIN" "http://$ADDRESS:8080/v1/$1" "${@:2}"; }
until curl -sf "http://$ADDRESS:8080/v1/.well-known/ready" >/dev/null; do sleep 1; done

# The latest backup.
BACKUP=$(aws s3 cp "s3://$BUCKET/$PREFIX/latest_weaviate_backup.manifest.json" - |
  python3 -c 'import json,sys; print(json.load(sys.stdin)["backup_id"])')
server "backups/s3/$BACKUP/restore" -X POST -H 'Content-Type: application/json' -d '{}' >/dev/null
until server "backups/s3/$BACKUP/restore" | grep -q '"SUCCESS"'; do sleep 1; done
server meta >/dev/null

aws autoscaling complete-lifecycle-action --lifecycle-hook-name "$HOOK" --auto-scaling-group-name "$GROUP" \
  --instance-id "$INSTANCE" --lifecycle-action-result CONTINUE
