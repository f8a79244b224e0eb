#!/usr/bin/env bash
# Makes the newest queries of the embedded registry anew: train on the training splits, measure on the
# test splits, put the figures into the manifests, build the index.
#
#   registry/train.sh DATA OUT [NAME...]
#
# DATA holds IDRiD/, IDRiD_grading/ and HVDROPDB-RIDGE/; OUT is the registry to write; NAMEs, if given, are the only
# queries to make. A version that OUT has already is left as it is: published versions never change.
# Bases and weights were chosen by cross-validation on the training images (docs/results.md).
set -euo pipefail

data=$1
out=$(realpath -m "$2")
shift 2
only=("$@")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

idrid=(--dataset idrid --data "$data/IDRiD")
hvdropdb=(--dataset hvdropdb --data "$data/HVDROPDB-RIDGE")
fine=(--basis 3x3:3,5,7+2x2:3,7+1x1:7 --l2 1e-3 --positive-weight 3 --pixels --sharpen)

make() { # COMMAND NAME VERSION SUMMARY TRAINING-OPTIONS... -- DATA-OPTIONS...
    local command=$1 name=$2 version=$3 summary=$4 place="$out/queries/$2/$3" options=()
    shift 4
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    [ ${#only[@]} -eq 0 ] || [[ " ${only[*]} " = *" $name "* ]] || return 0
    if [ -e "$place" ]; then echo "$place is there already"; return 0; fi
    retq "$command" "$@" --name "$name" --version "$version" --summary "$summary" \
        --author "The retq-hub authors" "${options[@]}" -o "$work/$name"
    retq evaluate "$work/$name" "$@" --split test --record
    mkdir -p "$place"
    cp "$work/$name"/{retq.json,query.safetensors,golden.safetensors,README.md,overlay.jpg} "$place"
}

make_query() { make train "$@"; }
make_grades() { make train-labels "$@"; }

make_query idrid-disc 1.1.0 "Optic disc in colour fundus photographs of adults, one backbone pass." \
    --max-layers 1 --pixels --sharpen -- "${idrid[@]}" --target disc
make_query idrid-lesions 1.1.0 "Microaneurysms, haemorrhages, hard and soft exudates of diabetic retinopathy, as one target, one backbone pass." \
    --max-layers 6 --pixels --sharpen -- "${idrid[@]}" --target lesions
make_query rop-ridge 1.1.0 "Ridge of retinopathy of prematurity in wide-field photographs of neonates, one backbone pass." \
    --max-layers 6 --pixels --sharpen -- "${hvdropdb[@]}" --target ridge
make_query idrid-disc-fine 1.0.0 "Optic disc in colour fundus photographs of adults, tiles and context." \
    --basis 2x2:5,7+1x1:7 --basis 2x2:7+1x1:7 --flips --pixels --sharpen -- "${idrid[@]}" --target disc
make_query idrid-lesions-fine 1.0.0 "Microaneurysms, haemorrhages, hard and soft exudates of diabetic retinopathy, as one target, tiles and context." \
    "${fine[@]}" -- "${idrid[@]}" --target lesions
make_query rop-ridge-fine 1.0.0 "Ridge of retinopathy of prematurity in wide-field photographs of neonates, tiles, context and flips." \
    --basis 2x2:1,3,7+1x1:3,7 --l2 1e-3 --flips --pixels --sharpen -- "${hvdropdb[@]}" --target ridge
make_query idrid-ma 1.0.0 "Microaneurysms in colour fundus photographs of adults, tiles and context." \
    "${fine[@]}" -- "${idrid[@]}" --target ma
make_query idrid-he 1.0.0 "Retinal haemorrhages in colour fundus photographs of adults, tiles and context." \
    "${fine[@]}" -- "${idrid[@]}" --target he
make_query idrid-ex 1.0.0 "Hard exudates in colour fundus photographs of adults, tiles and context." \
    "${fine[@]}" -- "${idrid[@]}" --target ex
make_query idrid-se 1.0.0 "Soft exudates in colour fundus photographs of adults, tiles and context." \
    "${fine[@]}" -- "${idrid[@]}" --target se

grading=(--dataset idrid-grading --data "$data/IDRiD_grading")
make_grades idrid-dr-grade 1.0.0 "Grades of diabetic retinopathy, 0 to 4, in colour fundus photographs of adults; tokens weighted by the query for lesions." \
    --weigh-by idrid-lesions@1.0.0 --basis 5 -- "${grading[@]}" --column dr-grade
make_grades idrid-dme-risk 1.0.0 "Risk of diabetic macular oedema, 0 to 2, in colour fundus photographs of adults; tokens weighted by the query for lesions." \
    --weigh-by idrid-lesions@1.0.0 --basis 5 -- "${grading[@]}" --column dme-risk
retq index build "$out"
RETQ_REGISTRY="$out" retq card "$out"/queries/*/*/
