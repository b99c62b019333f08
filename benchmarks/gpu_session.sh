#!/usr/bin/env bash
# A session on a machine with a GPU and no package index: ten minutes, one report.
#
#   benchmarks/gpu_session.sh                              # wheels/ if it is there, else python3
#   benchmarks/gpu_session.sh --wheels DIR                 # wheels that gpu_wheels.sh has collected
#   benchmarks/gpu_session.sh --python /opt/env/bin/python # has torch 2.11 or newer, and the rest
#   benchmarks/gpu_session.sh --device cpu --budget-s 240  # a smoke test without a GPU
#
# With wheels it makes a virtual environment beside the report, from them and from what PYTHON has:
# torch is taken from there if it is 2.11 or newer, else from the wheels. Nothing is asked for on the
# network, and nothing outside the environment and the report is written. What follows `--` goes to
# `python -m benchmarks.gpu`.
set -euo pipefail
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"; }
refuse() {
    echo "gpu_session: $*" >&2
    exit 2
}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
wheels="" python=python3 is_named=no out="$PWD/gpu-report.md" device=cuda:0 budget_s=600
rest=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage && exit ;;
        --) shift && rest=("$@") && break ;;
        --wheels | --python | --out | --device | --budget-s)
            [ $# -ge 2 ] || refuse "$1: a value is missing; see --help"
            case $1 in
                --wheels) wheels=$2 ;;
                --python) python=$2 is_named=yes ;;
                --out) out=$2 ;;
                --device) device=$2 ;;
                --budget-s) budget_s=$2 ;;
            esac
            shift 2
            ;;
        *) refuse "$1: no such option; see --help" ;;
    esac
done
[ -n "$wheels" ] || [ $is_named = yes ] || [ ! -d wheels ] || wheels=wheels
[ -z "$wheels" ] || [ -d "$wheels" ] || refuse "$wheels: no such folder; gpu_wheels.sh collects one"
command -v "$python" > /dev/null || refuse "$python: no such Python; name one with --python"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    refuse "$python: $("$python" --version 2>&1); it has to be 3.11 or newer: --python PYTHON"
mkdir -p "$(dirname "$out")"
out="$(cd "$(dirname "$out")" && pwd)/$(basename "$out")"

has_torch() {
    "$1" - << 'PYTHON' > /dev/null 2>&1
import re
import sys

import torch

sys.exit(tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) < (2, 11))
PYTHON
}

needs() { (cd "$here" && "$python" -m benchmarks.gpu.needs "$@"); }

if [ -n "$wheels" ]; then
    wheels=$(cd "$wheels" && pwd)
    environment="$(dirname "$out")/gpu-session-env"
    echo "gpu_session: an environment in $environment, from $wheels"
    rm -rf "$environment"
    options=()
    # Seen from the new environment, so that gigabytes need not be brought.
    ! has_torch "$python" || options=(--system-site-packages)
    "$python" -m venv "${options[@]}" "$environment"
    # Where PYTHON is an environment itself, the new one sees what that one was made from, and not it.
    if [ ${#options[@]} -gt 0 ] && ! has_torch "$environment/bin/python"; then
        "$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' \
            > "$("$environment/bin/python" -c \
                'import sysconfig; print(sysconfig.get_paths()["purelib"])')/theirs.pth"
    fi
    python="$environment/bin/python"
    pip=("$python" -m pip install --quiet --disable-pip-version-check --no-index)
    pip+=(--find-links "$wheels")
    mapfile -t needed < <(needs --missing)
    has_torch "$python" || needed+=("torch>=2.11")
    [ ${#needed[@]} -eq 0 ] || "${pip[@]}" "${needed[@]}" ||
        refuse "$wheels: lacks some of ${needed[*]}; gpu_wheels.sh collects them, torch with --torch"
fi
has_torch "$python" ||
    refuse "$python: no torch 2.11 or newer; name one that has it with --python, or bring its wheels"
missing=$(needs --missing --least | tr '\n' ' ')
[ -z "$missing" ] || refuse "$python lacks $missing: gpu_wheels.sh collects them for --wheels"

# From this folder, without being installed: nothing is built, and nothing is left behind in it. Only
# its name and version have to be found somewhere.
cd "$here"
path="$here"
if ! "$python" -c 'from importlib.metadata import version; version("stylebatch")' 2> /dev/null; then
    told=$(mktemp -d)
    trap 'rm -rf "$told"' EXIT
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
    mkdir "$told/stylebatch-$version.dist-info"
    printf 'Metadata-Version: 2.1\nName: stylebatch\nVersion: %s\n' "$version" \
        > "$told/stylebatch-$version.dist-info/METADATA"
    path="$here:$told"
fi
export PYTHONPATH="$path${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
"$python" -m benchmarks.gpu --device "$device" --budget-s "$budget_s" --out "$out" "${rest[@]}"
