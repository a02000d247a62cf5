#!/usr/bin/env bash
# Everything to be known of wgrad on a GPU, in under six minutes: is it right, how fast are its kernels and its training, beside
# PyTorch if that is installed.
#
#   scripts/on-gpu.sh [FOLDER]       results go to FOLDER (default: on-gpu-results); WGRAD: the binary (default: the release build)
#   DEVICE=gpu:vulkan …              the device, as `wgrad --device` takes it (default: gpu)
#   QUICK=1 …                        small cases only: to try the script on a software driver
#
# Needs no Rust toolchain if WGRAD names a binary. Each step is limited in time; one that fails or runs out of it is named at the end, with exit
# code 1, and the others still run. FOLDER gets doctor.json, check.json and bench.json (with the adapter and driver), for each preset train-….json (its metrics)
# and steps-….json, pytorch.md, and summary.json: the date, what each step took and whether it passed.
set -uo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-on-gpu-results}
wgrad=${WGRAD:-$here/target/release/wgrad}
device=${DEVICE:-gpu}
quick=${QUICK:-}
[ -x "$wgrad" ] || { echo "no $wgrad: build it with cargo build --release, or set WGRAD" >&2; exit 2; }
mkdir -p "$out"
failed=() steps=()
start=$(date +%s)

# step NAME SECONDS COMMAND…: its output goes to NAME.log.
step() {
  local name=$1 limit=$2 begun code=0
  shift 2
  begun=${EPOCHREALTIME/./}
  printf '%s … ' "$name" >&2
  timeout "$limit" "$@" >"$out/$name.log" 2>&1 || code=$?
  local tenths=$(((${EPOCHREALTIME/./} - begun) / 100000))
  local took=$((tenths / 10)).$((tenths % 10))
  echo "$took s$([ $code = 0 ] || echo ", exit code $code")" >&2
  [ $code = 0 ] || failed+=("$name")
  steps+=("{\"step\": \"$name\", \"seconds\": $took, \"exit_code\": $code}")
}

if [ -n "$quick" ]; then
  check=(check --device "$device" elementwise matmul conv softmax)
  bench=(matmul/mlp conv1d/mnist1d softmax/100x10)
  epochs=2 samples=5
else
  check=(check --device "$device" --fuzz 60)
  bench=(matmul conv1d conv2d reduce softmax scatter_add elementwise random)
  epochs=50 samples=20
fi

"$wgrad" devices >"$out/devices.txt" 2>&1
step doctor 60 "$wgrad" doctor --device "$device" --json "$out/doctor.json"
step check 150 "$wgrad" "${check[@]}" --json "$out/check.json"
step bench 90 "$wgrad" bench "${bench[@]}" --device "$device" --no-tune --samples "$samples" --min-time 0.02 --json "$out/bench.json"
for preset in cnn mlp; do
  step "train-$preset" 30 "$wgrad" train "$preset" --device "$device" --epochs "$epochs" --out "$out/run-$preset"
  cp "$out/run-$preset/metrics.json" "$out/train-$preset.json" 2>/dev/null
  step "steps-$preset" 20 "$wgrad" bench train "$preset" --device "$device" --samples 5 --json
  cp "$out/steps-$preset.log" "$out/steps-$preset.json" 2>/dev/null
done
if python3 -c 'import torch' 2>/dev/null && [ -z "$quick" ]; then
  step pytorch 100 python3 "$here/scripts/beside-pytorch.py" --device "$device" --wgrad "$wgrad" --rounds 2
  cp "$out/pytorch.log" "$out/pytorch.md"
else
  echo "pytorch: not installed, left out" >&2
fi

joined=$(IFS=,; echo "${steps[*]}")
cat >"$out/summary.json" <<JSON
{"date": "$(date -u +%Y-%m-%dT%H:%M:%SZ)", "device": "$device", "version": "$("$wgrad" --version)", "seconds": $(($(date +%s) - start)), "steps": [$joined]}
JSON
echo "$out/summary.json: $(($(date +%s) - start)) s" >&2
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]} (see $out/NAME.log)" >&2
  exit 1
fi
