#!/bin/sh
# Install what `make test-real` needs and what is missing, on a Debian-like machine as root; elsewhere say what is missing.
set -eu
missing=""
want() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
want prometheus prometheus
want node nodejs
want npm npm
command -v go >/dev/null 2>&1 || echo "Go 1.26 or newer is missing: get it from https://go.dev/dl (Debian's is older)." >&2
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086  # one word a package
    apt-get install -y -qq --no-install-recommends $missing
else
    echo "missing for make test-real:$missing" >&2
    exit 1
fi
