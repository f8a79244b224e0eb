#!/usr/bin/env bash
# Makes the queries of the embedded registry anew: train on the training splits, measure on the test
# splits, put the figures into the manifests, build the index.
#
#   registry/train.sh DATA [OUT]
#
# DATA holds IDRiD/ and HVDROPDB-RIDGE/; OUT is the registry to write, this one if not given. The
# queries are made in a temporary folder and put in place when all of them are done.
set -euo pipefail

data=$1
out=${2:-$(dirname "$0")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
authors=(--author "The retq-hub authors")

disc=(--dataset idrid --data "$data/IDRiD" --target disc)
lesions=(--dataset idrid --data "$data/IDRiD" --target lesions)
ridge=(--dataset hvdropdb --data "$data/HVDROPDB-RIDGE" --target ridge)

make_query() { # NAME SUMMARY TRAINING-OPTIONS... -- DATA-OPTIONS...
    local name=$1 summary=$2 folder="$work/$1/1.0.0" options=()
    shift 2
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    retq train "$@" --name "$name" --summary "$summary" "${authors[@]}" "${options[@]}" -o "$folder"
    retq evaluate "$folder" "$@" --split test --record
}

make_query idrid-disc "Optic disc in colour fundus photographs of adults." \
    --max-layers 1 -- "${disc[@]}"
make_query idrid-lesions "Microaneurysms, haemorrhages, hard and soft exudates of diabetic retinopathy, as one target." \
    --max-layers 6 -- "${lesions[@]}"
make_query rop-ridge "Ridge of retinopathy of prematurity in wide-field photographs of neonates." \
    --max-layers 6 -- "${ridge[@]}"

for folder in "$work"/*/*; do
    place="$out/queries/${folder#"$work"/}"
    mkdir -p "$(dirname "$place")"
    rm -rf "$place"
    cp -r "$folder" "$place"
done
retq index build "$out"
