#!/usr/bin/env bash
# A newcomer's first hour, timed: fresh clone, demo, page, one changed parameter, MLflow, one's own image, one's own data.
#
#   bench/newcomer.sh [--cells "CELL ..."] [--clone FOLDER] [--set KEY=VALUE]
#
# --cells: only these instead of the whole demo, which takes minutes instead of the README's time; the first is the one changed.
# --clone: where the clone goes, which must not be there yet (default: a temporary folder, which is deleted).
# --set: the parameter that is changed (default: plain.decoder_blocks=5 for a plain cell, diffusion.steps=4 for a diffusion cell).
# The interpreter is PYTHON (default: python3). VENV names an environment to use instead of making .venv in the clone.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cells=() clone="" setting=""
while (($#)); do
    case "$1" in
        --cells) read -ra cells <<<"$2" ;;
        --clone) clone=$2 ;;
        --set) setting=$2 ;;
        *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
if [[ -z $clone ]]; then
    temporary=$(mktemp -d)
    trap 'rm -rf "$temporary"' EXIT
    clone=$temporary/dmtl
fi
[[ ! -e $clone ]] || { echo "$clone is there already: name a folder that is not" >&2; exit 2; }

changed=${cells[0]:-nyud-full-mtl_baseline}
case "$changed" in *diffusion*) setting=${setting:-diffusion.steps=4} ;; *) setting=${setting:-plain.decoder_blocks=5} ;; esac

step() { # TITLE COMMAND...: runs it, prints the seconds it took
    local title=$1 begin=$SECONDS status
    shift
    set +e # not `if` or `||`: in those a function goes on after a command of its that failed
    (set -e; "$@") >"$log" 2>&1
    status=$?
    set -e
    ((status == 0)) || { tail -n 20 "$log" >&2; echo "failed: $title" >&2; exit 1; }
    printf '%5d s  %s\n' $((SECONDS - begin)) "$title"
}

demo() {
    ((${#cells[@]})) || { dvc repro shards && python -m dmtl launch && dvc repro && python -m dmtl page; return; } # make repro
    dvc repro "${cells[@]/#/evaluate@}"
    dvc repro --single-item report
}

page() { # one file, with tables, without addresses that a browser would fetch; the cell's figures are in a table or in those of steps
    local benchmark method row
    IFS=- read -r benchmark row method _ <<<"$changed"
    row="$benchmark,$row,$method"
    test -s reports/demo/index.html
    grep -q '<table' reports/demo/index.html
    ! grep -qE '<(script|img|link)[^>]+(src|href)="https?:' reports/demo/index.html
    grep -qE "^[0-9],$row,[^,]*,[a-z_]+,[^,]*,[^,]*,[0-9]" reports/demo/table*.csv || grep -q "^$row," reports/demo/steps.csv
}

runs() { # MLflow has a finished run of the changed cell, and the scores that the report adds in the background
    python - "$changed" <<'PYTHON'
import sys
import time

import mlflow

mlflow.set_tracking_uri("sqlite:///mlflow.db")
for _ in range(60):
    found = mlflow.search_runs(search_all_experiments=True, filter_string="attributes.status = 'FINISHED'")
    named = found[found["tags.cell"] == sys.argv[1]]  # that of the demo, and that of the experiment
    if len(named) > 1 and named.get("tags.results.sha256") is not None and named["tags.results.sha256"].notna().any():
        sys.exit(0)
    time.sleep(1)
sys.exit(f"no finished run of {sys.argv[1]} with scores among {found['tags.mlflow.runName'].tolist()}")
PYTHON
}

image() { # an image of the test shard, as anybody's own
    python -c "import h5py, PIL.Image as I; I.fromarray(h5py.File('data/shards/demo/${changed%%-*}/val.h5')['image'][0]).save('own.png')"
    python -m dmtl predict own.png --model "models/demo/$changed" --out predictions
    test -s predictions/own/sheet.png
}

score() { # dvc exp show has the changed cell's scores, those of the experiment beside those of before
    dvc exp show --only-changed --csv | tee shown.csv
    grep -q newcomer shown.csv && grep -q "$changed" shown.csv
}

own_data() { # the page's walk, on its made-up folders
    local commands
    commands=$(sed -n '/^```bash$/,/^```$/p' docs/own-data.md | sed '1d;/^```$/,$d')
    mkdir own-data && cd own-data
    python ../bench/own_boxes.py .
    eval "$commands"
}

log=$(mktemp)
step "clone" git clone --quiet "$root" "$clone"
cd "$clone"
if [[ -n ${VENV:-} ]]; then PATH=$VENV/bin:$PATH; else step "make venv" make venv; PATH=$clone/.venv/bin:$PATH; fi
export PATH PYTHONPATH=$clone
step "the demo (${cells[*]:-every cell}) and its report" demo
step "read the page" page
step "dvc exp run -S $setting evaluate@$changed" dvc exp run -n newcomer -S "$setting" "evaluate@$changed"
step "its score in dvc exp show" score
step "search MLflow's runs" runs
step "predict an image" image
step "own data: init, repro, predict" own_data
rm -f "$log"
printf '%5d s  in all\n' $SECONDS
