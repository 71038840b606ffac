#!/usr/bin/env bash
# Everything that one GPU is asked for in one go: the laws of each backend there, the training step, what the
# registry costs, and a short real training run. Rows go to RESULTS (default benchmarks/results).
#   WHEELS=DIR  install the wheels in DIR for this run only, for hosts without a package index
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
results=${RESULTS:-benchmarks/results}
mkdir -p "$results"
if [ -n "${WHEELS:-}" ]; then
  site=$(mktemp -d)
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$WHEELS"/*.whl || exit 1
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
nanoplug() { "$python" -m nanoplug "$@"; }
failed=()
run() {
  echo "== $*"
  "$@" || failed+=("$*")
}
run nanoplug plugins list
run "$python" benchmarks/train_step.py --depth 12 --results "$results"
run "$python" benchmarks/registry_cost.py --depth 12 --sequence-len 2048 --device-batch-size 16 --vocab-size 65536 --compile on --results "$results"
seen=$(mktemp)
for what in "attention sdpa" "kernel torch" "kernel chunked" "device cuda"; do
  # shellcheck disable=SC2086
  nanoplug verify $what --json >"$seen" || failed+=("verify $what")
  run "$python" benchmarks/verify_row.py "$seen" --results "$results"
done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
echo "all passed"
