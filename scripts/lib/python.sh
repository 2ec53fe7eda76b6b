# Sourced by scripts that need Python packages: a virtual environment with pinned versions, made once.
#
#   . "$(dirname "$0")/lib/python.sh"
#   "$(python_venv)/bin/pytest" tests/clients

# Prints the environment's path. Installs what is missing; does nothing when the pins have not changed.
python_venv() {
    local venv="${XDG_CACHE_HOME:-$HOME/.cache}/weaviate-provisioner/venv"
    local pins="boto3==1.44.5 botocore==1.44.5 awscli==1.46.2 pytest==9.2.0"
    # REST alone: the line before gRPC. For tests/clients.
    pins+=" weaviate-client==3.26.7"
    # For tests/packaging; cfn-lint brings jsonschema.
    pins+=" cfn-lint==1.58.0 moto[cloudformation,ec2,s3,server]==5.2.5 PyYAML==6.0.4 jsonschema==4.26.0"
    local stamp="$venv/.pins"
    mkdir -p "$(dirname "$venv")"
    (
        flock 9
        if [ "$(cat "$stamp" 2>/dev/null)" != "$pins" ]; then
            python3 -c 'import ensurepip' 2>/dev/null || need_packages python3-venv >&2
            # `set -e` does not hold here, and a stamp on half an installation would stay.
            # shellcheck disable=SC2086 # the pins are words
            python3 -m venv "$venv" >&2 &&
                "$venv/bin/pip" install --quiet --disable-pip-version-check $pins >&2 &&
                printf '%s' "$pins" >"$stamp"
        fi
    ) 9>"$venv.lock" || return
    printf '%s\n' "$venv"
}
