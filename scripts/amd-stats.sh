#!/usr/bin/env bash
# What AMD's shader compiler makes of wgrad's kernels, on a machine without a GPU: registers, spills, workgroup memory (LDS), waves a SIMD,
# latency and inverse throughput in cycles of one wave (amd-stats.c). Mesa's RADV compiles for a chip that need not be there.
#
#   scripts/amd-stats.sh KERNEL CASE [ARGUMENTS OF wgrad kernels show]
#
#   scripts/amd-stats.sh matmul 4096x4096x4096 --workgroup-memory 49152
#   scripts/amd-stats.sh matmul 4096x4096x4096 --workgroup-memory 49152 --variant 64x64x16-8x8-double
#   CHIP=navi21 …                    another chip than gfx1100 (RDNA3)
#   RADV_DEBUG=shaders MESA_SHADER_CACHE_DISABLE=true …     its instructions too
#
# Needs a C compiler and Debian's mesa-vulkan-drivers and libvulkan-dev.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2; }
kernel=$1 case=$2
shift 2
cd "$here/.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet
mkdir -p "$target/amd-stats"
tool=$target/amd-stats/amd-stats
[ "$tool" -nt scripts/amd-stats.c ] || cc -O1 -o "$tool" scripts/amd-stats.c -lvulkan
name="$kernel-$(printf '%s' "$case $*" | tr -c 'A-Za-z0-9.\n' '-')"
"$target/debug/wgrad" kernels show "$kernel" --case "$case" --device cpu --target spirv --output "$target/amd-stats/$name.spv" "$@"
VK_DRIVER_FILES=$(ls /usr/share/vulkan/icd.d/radeon_icd*.json | head -n 1) RADV_FORCE_FAMILY=${CHIP:-gfx1100} \
  "$tool" "$target/amd-stats/$name.spv"
