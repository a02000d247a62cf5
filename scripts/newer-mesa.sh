#!/usr/bin/env bash
# Mesa of a newer Debian, unpacked into a folder of its own. Nothing of the system is changed and root is not needed. Some 10 s and 300 MB.
#
#   scripts/newer-mesa.sh FOLDER [RELEASE]   RELEASE trixie-backports (if not given): Mesa 26's lavapipe, with cooperative matrices,
#                                            loops of any length, and infinities kept in divisions
#   FOLDER/run PROGRAM ARGS…                 the program on that lavapipe
#   CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=FOLDER/run cargo test      all tests on it
set -euo pipefail
root=$(realpath -m "${1:?folder}")
release=${2:-trixie-backports}
[ -x "$root/run" ] && exit 0
mkdir -p "$root"/apt/{etc,lists/partial,cache/archives/partial} "$root/fs"
# The machine's own mirror.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
suites=$release
[[ $release == *-backports ]] && suites="${release%-backports} $release"
cat > "$root/apt/etc/newer.sources" <<S
Types: deb
URIs: $mirror
Suites: $suites
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
S
: > "$root/apt/status"
apt=(apt-get -q -y -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$root/apt/etc" -o "Dir::State::lists=$root/apt/lists"
     -o "Dir::State::status=$root/apt/status" -o "Dir::Cache=$root/apt/cache" -o APT::Install-Recommends=false
     -o APT::Get::Download-Only=true -o Debug::NoLocking=true)
"${apt[@]}" update
"${apt[@]}" -t "$release" install mesa-vulkan-drivers libvulkan1 spirv-tools
for deb in "$root"/apt/cache/archives/*.deb; do dpkg -x "$deb" "$root/fs"; done
rm -rf "$root/apt"
loader=$(find "$root/fs" -name 'ld-linux-x86-64.so.2' | head -n 1)
cat > "$root/run" <<R
#!/bin/sh
export VK_DRIVER_FILES="\$(ls '$root'/fs/usr/share/vulkan/icd.d/\${ICD:-lvp}_icd*.json | head -n 1)"
exec '$loader' --library-path '$root/fs/usr/lib/x86_64-linux-gnu' "\$@"
R
chmod +x "$root/run"
