#!/usr/bin/env bash
# What a GPU is asked for: bash benchmarks/on_gpu.sh [STAGE ...], all of them by default. Rows go to RESULTS (default
# benchmarks/results).
#   laws   `nanoplug verify` of every attention, kernel and device runtime that is ready here
#   loss   our loss against named peers
#   tune   `nanoplug bench --tune` of attention and kernels at the usual shapes, and what auto then chooses
#   audit  a short audited run, with a canary, on each attention and each kernel
#   step   the training step, and what the registry costs
# WHEELS=DIR  install the wheels in DIR for this run only, for hosts without a package index
# SITE=DIR    keep what is installed there from call to call;  ONLY=NAME,NAME  laws and audit of these backends alone
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
results=${RESULTS:-benchmarks/results}
mkdir -p "$results"
if [ -n "${WHEELS:-}" ]; then
  site=${SITE:-$(mktemp -d)}
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" "$WHEELS"/*.whl || exit 1
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
nanoplug() { "$python" -m nanoplug "$@"; }
failed=()
run() {
  echo "== $*"
  "$@" || failed+=("$*")
}
# kind and name of each backend of the given kinds that is ready, the reference device apart.
ready() {
  nanoplug plugins list --json | "$python" -c '
import json, sys
only = [name for name in sys.argv[1].split(",") if name]
for row in json.load(sys.stdin):
    if row["status"] == "ready" and row["kind"] in sys.argv[2:] and (not only or row["name"] in only) and row["name"] != "cpu":
        print(row["kind"], row["name"])' "${ONLY:-}" "$@"
}
stage() {
  case $1 in
    laws)
      # Nothing is timed here, so several run at once.
      seen=$(mktemp -d)
      ready attention kernel device | xargs -P 5 -L 1 bash -c \
        'timeout 300 "$0" -m nanoplug verify "$2" "$3" --json >"$1/$2-$3.json" 2>"$1/$2-$3.log" || echo "$2 $3: exit $?" >>"$1/broken"' \
        "$python" "$seen"
      for file in "$seen"/*.json; do run "$python" benchmarks/verify_row.py "$file" --results "$results"; done
      [ -f "$seen/broken" ] && failed+=("verify: $(paste -sd, "$seen/broken")") && tail -n 3 "$seen"/*.log ;;
    loss)
      run "$python" benchmarks/linear_cross_entropy.py --rounds 8 --results "$results" ;;
    tune)
      run nanoplug bench attention --rounds 8 --tune --plot "$results/attention.png" --out "$results"
      run nanoplug bench kernel --rounds 6 --tune --plot "$results/kernel.png" --out "$results"
      again=$(mktemp -d)
      run nanoplug bench attention --rounds 8 --out "$again"
      run nanoplug bench kernel --rounds 6 --out "$again"
      run "$python" benchmarks/auto_choice.py --bench "$again" --results "$results" ;;
    audit)
      made=$(mktemp -d)
      run nanoplug data build --out "$made/data"
      run nanoplug tokenizer train --data "$made/data" --vocab-size 8192 --out "$made/tokenizer"
      common=(--data "$made/data" --tokenizer-dir "$made/tokenizer" --device cuda --depth 4 --steps 3 --sequence-len 1024
        --device-batch-size 4 --total-batch-size 4096 --eval-every -1 --sample-every -1 --audit --canary 2)
      while read -r kind name; do
        site=$kind
        [ "$kind" = attention ] && site=attention.train
        echo "== audit $kind $name"
        nanoplug train "${common[@]}" "--$site" "$name" --out "$made/$kind-$name" >"$made/log" 2>&1 || failed+=("audit $kind $name")
        grep -E "audit|canary|rror|launch" "$made/log" | tail -12
      done < <(ready attention kernel) ;;
    step)
      run "$python" benchmarks/train_step.py --depth 12 --results "$results"
      run "$python" benchmarks/registry_cost.py --depth 12 --sequence-len 2048 --device-batch-size 16 --vocab-size 65536 --compile on --results "$results" ;;
    *) echo "there is no stage $1" >&2; exit 2 ;;
  esac
}
run nanoplug plugins list
[ $# -gt 0 ] || set -- laws loss tune audit step
for one in "$@"; do stage "$one"; done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
echo "all passed"
