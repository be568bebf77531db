#!/usr/bin/env bash
# On a bare machine, in a kit of bench/gpu_kit.sh: tests of the device, `dmtl hardware`, trainings of a few cells.
#
#   bash bench/gpu_run.sh [OUT]
#
# OUT (default: out beside bench/) gets small files alone: tests.txt, hardware.txt, the record as JSON, and each cell's scores and
# history. MINUTES (10) is the budget of `dmtl hardware`, HARDWARE its further arguments, CELLS the demo's cells that are trained,
# STUDY those of real images, where the kit has them. A part that fails is told at the end, and the others run all the same.
# The interpreter is PYTHON (default: python3). What is missing of the wheels goes into packages/ beside bench/, not into the image.
set -euo pipefail

kit=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
out=${1:-$kit/out}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$kit"
export DMTL_TRACKING=off PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$kit:$kit/packages" DMTL_TINY_SHARDS="$kit/tiny"
cells=${CELLS:-nyud-onelabel-diffusion_feature nyud-onelabel-xtc pascal-onelabel-invpt}
study=${STUDY:-nyud-onelabel-mtl_baseline-tf_efficientnet_lite0 nyud-onelabel-diffusion_feature-tf_efficientnet_lite0}
failed=()

missing=$("$python" - wheels/*.whl <<'P'
import importlib.metadata, pathlib, sys
for wheel in sys.argv[1:]:
    name = pathlib.Path(wheel).name.split("-")[0]
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        print(wheel)
P
)
if [[ -n $missing ]]; then # shellcheck disable=SC2086
    "$python" -m pip install --quiet --no-index --no-deps --target packages $missing
fi

part() { # NAME COMMAND...: its output into OUT/NAME.txt
    local name=$1
    shift
    echo "$name"
    "$@" >"$out/$name.txt" 2>&1 || { failed+=("$name"); tail -n 5 "$out/$name.txt"; }
}

train() { # PROJECT CELL
    local project=$1 cell=$2 stages="train evaluate" scale stage
    if [[ $cell == pascal-* ]] && ! "$python" -c "import numba" 2>/dev/null; then
        stages=train # boundaries are scored with numba, which is not in the kit
    fi
    scale=$(sed -n 's/^scale: \([a-z]*\).*/\1/p' "$project/params.yaml")
    for stage in $stages; do
        part "$project-$cell-$stage" "$python" "stages/$stage.py" "$cell" --project "$project"
    done
    cp "$project/models/$scale/$cell/history.json" "$out/$project-$cell-history.json" || return 0
    [[ $stages == train ]] || cp "$project/results/$scale/$cell.json" "$out/$project-$cell.json" || return 0
}

"$python" -c "import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available() and torch.cuda.get_device_name())" | tee "$out/machine.txt"
part tests "$python" -m pytest -q -p no:cacheprovider -o addopts= -m "not long" tests/gpu
# shellcheck disable=SC2086
part hardware "$python" -m dmtl hardware --minutes "${MINUTES:-10}" ${HARDWARE:-}
cp "${RECORDS:-.}"/reports/hardware/*.json "$out" || failed+=("no record")
for cell in $cells; do train demo "$cell"; done
if [[ -d study/data/shards ]]; then
    for cell in $study; do train study "$cell"; done
fi
if ((${#failed[@]})); then
    echo "failed: ${failed[*]}; see $out" >&2
    exit 1
fi
echo "all done: $out, $(du -sk "$out" | cut -f1) kB"
