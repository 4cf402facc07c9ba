#!/bin/sh
# Makes .venv with everything Scaup needs, or finds it made already and says nothing.
#
# The stamp is written last and names what the environment was made from, so an install that was interrupted, a
# changed pyproject.toml, another Python, or a directory that was moved or copied are all noticed and put right.
set -u
cd "$(dirname "$0")/.." || exit 1

root=$(pwd -P)
venv=.venv
stamp=$venv/.scaup-stamp
extras=dev
is_311='import sys; sys.exit(sys.version_info < (3, 11))'

fail() {
    echo "setup: $1" >&2
    exit 1
}

wanted() { # what the stamp has to say
    echo "path $root/$venv"
    echo "python $("$venv/bin/python" -c 'import sys; print(sys.version)' 2>/dev/null)"
    echo "pyproject $(cksum <pyproject.toml) $extras"
}

# The usual case first: nothing to do.
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(wanted)" ]; then
    exit 0
fi

# A Python that really runs: a pyenv shim is in PATH whether or not there is a Python behind it.
python=
for name in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3 python; do
    if command -v "$name" >/dev/null 2>&1 && "$name" -c "$is_311" >/dev/null 2>&1; then
        python=$name
        break
    fi
done
if [ -z "$python" ]; then
    case $(uname -s) in
        Darwin) how="brew install python@3.13" ;;
        Linux) how="your system's package manager, such as: apt install python3 python3-venv (or dnf install python3)" ;;
        *) how="your system's package manager" ;;
    esac
    fail "Scaup needs Python 3.11 or newer, and none of python3.13, python3.12, python3.11, python3 runs as one.
Install it with $how; or name one: PYTHON=/path/to/python make up"
fi

log=$(mktemp "${TMPDIR:-/tmp}/scaup-setup.XXXXXX") || exit 1
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM HUP
quietly() { "$@" >>"$log" 2>&1 </dev/null; }

uv=
if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then
    uv=uv
fi

# An environment that works and was made in this place is kept; scripts in one from another place would run that one.
usable() {
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -c "$is_311" >/dev/null 2>&1 &&
        grep -qF "$root/$venv" "$venv/bin/activate" 2>/dev/null
}
installable() { [ -n "$uv" ] || quietly "$venv/bin/python" -m pip --version; }

echo "Setting up .venv with $("$python" -c 'import platform; print("Python", platform.python_version())'); this takes about a minute, once." >&2
rm -f "$stamp"
if ! usable || ! installable; then
    rm -rf "$venv"
    { [ -n "$uv" ] && quietly uv venv --no-project --python "$python" "$venv"; } ||
        { uv=; rm -rf "$venv"; quietly "$python" -m venv "$venv"; } ||
        { rm -rf "$venv"; quietly "$python" -m virtualenv "$venv"; } ||
        { rm -rf "$venv"; quietly virtualenv -p "$python" "$venv"; } ||
        { rm -rf "$venv"; cat "$log" >&2; fail "no environment could be made. On Debian and Ubuntu: apt install python3-venv"; }
fi

install() {
    if [ -n "$uv" ]; then
        quietly uv pip install --python "$venv/bin/python" -e ".[$extras]" && return 0
        quietly "$venv/bin/python" -m pip --version || quietly "$venv/bin/python" -m ensurepip || return 1
    fi
    quietly "$venv/bin/python" -m pip install --disable-pip-version-check -e ".[$extras]"
}
if ! install; then
    tail -n 25 "$log" >&2
    fail "the packages could not be installed (see above). Is there a way to the package index? Then run this again."
fi
wanted >"$stamp.new" && mv "$stamp.new" "$stamp"
