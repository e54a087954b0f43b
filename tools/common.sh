# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts beside it: where things are, and how missing packages get installed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Checkouts in different folders share the compiler cache.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1

# install_packages USE...: the packages of third_party/packages.txt with one of these uses.
install_packages() {
    local wanted missing=() package
    wanted=$(awk -v uses=" $* " '!/^#/ && NF && index(uses, " " $1 " ") { print $2 }' "$root/third_party/packages.txt")
    for package in $wanted; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
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

# build PRESET [TARGET...]: configures once, builds quietly, prints only what went wrong.
build() {
    local preset=$1 log
    shift
    log=$(mktemp)
    (
        cd "$root"
        [ -f "build/$preset/build.ninja" ] || cmake --preset "$preset"
        cmake --build --preset "$preset" ${1:+--target "$@"}
    ) >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; return 1; }
    rm -f "$log"
}
