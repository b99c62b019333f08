#!/usr/bin/env bash
# Collects, on a machine with a package index, what gpu_session.sh needs on one without.
#
#   benchmarks/gpu_wheels.sh                     # into wheels/, all but torch
#   benchmarks/gpu_wheels.sh DIR --torch         # with torch and its CUDA libraries: 3 to 5 GB
#   PYTHON=python3.12 benchmarks/gpu_wheels.sh   # for another Python than python3
#
# For machines of this one's kind: the same Python, system and processor.
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0" && exit ;; esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=wheels options=()
for word in "$@"; do
    case $word in
        --torch) options=(--torch) ;;
        -*) echo "gpu_wheels: $word: no such option; see --help" >&2 && exit 2 ;;
        *) folder=$word ;;
    esac
done
python=${PYTHON:-python3}
mapfile -t needed < <(cd "$here" && "$python" -m benchmarks.gpu.needs "${options[@]}")
[ ${#needed[@]} -gt 0 ] || exit 1
mkdir -p "$folder"
"$python" -m pip download --quiet --disable-pip-version-check --only-binary :all: \
    --dest "$folder" "${needed[@]}"
du -sh "$folder"
