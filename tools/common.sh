# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts beside it: where things are, and how missing packages get installed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Checkouts in different folders share the compiler cache.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1

# missing_packages USE...: those of third_party/packages.txt with one of these uses that are not installed.
missing_packages() {
    local package
    for package in $(awk -v uses=" $* " '!/^#/ && NF && index(uses, " " $1 " ") { print $2 }' "$root/third_party/packages.txt"); do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
    done
}

# install_packages USE...: the packages with one of these uses.
install_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -eq 0 ] && return
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "missing packages: ${missing[*]}; install them, or sudo, as root" >&2; exit 1; }
        sudo=(sudo)
    fi
    echo "installing ${missing[*]}" >&2
    "${sudo[@]}" apt-get update -qq >&2
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# has_targets PRESET TARGET...: it is configured, with all of these.
has_targets() {
    local file=$root/build/$1/build.ninja target
    [ -f "$file" ] || return 1
    for target in "${@:2}"; do
        grep -q "^build $target:" "$file" || return 1
    done
}

# build PRESET [TARGET...]: configures once, and again when a target was not there then; builds quietly, prints only what
# went wrong.
build() {
    local preset=$1 log
    shift
    log=$(mktemp)
    (
        cd "$root"
        has_targets "$preset" "$@" || cmake --preset "$preset"
        cmake --build --preset "$preset" ${1:+--target "$@"}
    ) >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; return 1; }
    rm -f "$log"
}
