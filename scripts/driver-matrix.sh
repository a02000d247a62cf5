#!/usr/bin/env bash
# `wgrad check` on each software driver there is, and one table of what it came to.
#
#   scripts/driver-matrix.sh [--strict] [--out DIR] [ARGUMENTS OF wgrad check]
#
#   --strict    a driver that is missing is a failure too
#   --newer DIR  where a newer Mesa is, or is to be unpacked (scripts/newer-mesa.sh; target/newer-mesa if not given)
#   --out DIR   keep the reports (DRIVER.json) and what the checks print (DRIVER.log) in DIR
#
# Whatever else is given goes to each `wgrad check`: `matmul --limits webgpu`, say. Exit code 0 if every driver found
# computes everything right, else 1.
set -uo pipefail
cd "$(dirname "$0")/.."

strict=false out="" newer=target/newer-mesa
while [ $# -gt 0 ]; do
  case $1 in
    --strict) strict=true; shift ;;
    --newer) newer=${2:?--newer needs a folder}; shift 2 ;;
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) break ;;
  esac
done
if [ -z "$out" ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out" || exit 1

cargo build --quiet || exit 1
wgrad=${CARGO_TARGET_DIR:-target}/debug/wgrad
reports=() missing=() failed=()

# check NAME ADAPTER DEVICE PACKAGES VARIABLE=VALUE... -- ARGUMENTS: one driver. ADAPTER is a part of the name its adapter
# has: without it another driver would be checked in this one's place. The program is started by $runner, if that is set.
runner=()
check() {
  local name=$1 adapter=$2 device=$3 packages=$4 variables=()
  shift 4
  while [ "$1" != -- ]; do variables+=("$1"); shift; done
  shift
  if ! env "${variables[@]}" "${runner[@]}" "$wgrad" devices 2>/dev/null | grep "^gpu:0 " | grep -qi "$adapter.*(${device#gpu:})"; then
    missing+=("$name (Debian: $packages)")
    return
  fi
  local report="$out/$name.json" started=$SECONDS code=0
  rm -f "$report"
  env "${variables[@]}" "${runner[@]}" "$wgrad" check --device "$device" --json "$report" "$@" >"$out/$name.log" 2>&1 || code=$?
  if [ "$code" -ne 0 ]; then
    failed+=("$name")
    grep -vE '^[0-9]+/[0-9]+  ' "$out/$name.log" | tail -n 40 >&2
  fi
  [ -e "$report" ] && reports+=("$report")
  echo "$name: exit code $code after $((SECONDS - started)) s" >&2
}

# The first file there is.
first() { for file in "$@"; do [ -e "$file" ] && echo "$file" && return; done; echo /nonexistent; }

lavapipe=$(first /usr/share/vulkan/icd.d/lvp_icd*.json /etc/vulkan/icd.d/lvp_icd*.json)
swiftshader=$(first "${SWIFTSHADER_ICD:-/nonexistent}" /usr/lib/chromium/vk_swiftshader_icd.json \
  /usr/lib/chromium-browser/vk_swiftshader_icd.json /opt/google/chrome/vk_swiftshader_icd.json)

check lavapipe llvmpipe gpu:vulkan mesa-vulkan-drivers WGPU_BACKEND=vulkan "VK_DRIVER_FILES=$lavapipe" -- "$@"
check swiftshader SwiftShader gpu:vulkan "chromium, or SWIFTSHADER_ICD=FILE" \
  WGPU_BACKEND=vulkan "VK_DRIVER_FILES=$swiftshader" -- "$@"
check llvmpipe-gl llvmpipe gpu:gl "libegl1 libegl-mesa0 libgl1-mesa-dri" \
  WGPU_BACKEND=gl LIBGL_ALWAYS_SOFTWARE=1 GALLIUM_DRIVER=llvmpipe -- "$@"

[ -x "$newer/run" ] || scripts/newer-mesa.sh "$newer" >"$out/newer-mesa.log" 2>&1 || true
if [ -x "$newer/run" ]; then
  runner=("$newer/run")
  check lavapipe-newer llvmpipe gpu:vulkan mesa-vulkan-drivers WGPU_BACKEND=vulkan -- "$@"
  runner=()
else
  missing+=("lavapipe-newer (scripts/newer-mesa.sh could not unpack it)")
fi

[ ${#reports[@]} -gt 0 ] && { "$wgrad" check --reports "${reports[@]}" 2>/dev/null || true; }
for name in ${missing[@]+"${missing[@]}"}; do echo "skipped: no $name"; done
for name in ${failed[@]+"${failed[@]}"}; do echo "FAILED: $name"; done
[ ${#failed[@]} -eq 0 ] || exit 1
if [ ${#reports[@]} -eq 0 ] || { $strict && [ ${#missing[@]} -gt 0 ]; }; then exit 1; fi
