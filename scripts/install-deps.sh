# install-deps.sh - sourced: installs Debian packages that are missing, and says which
# shellcheck shell=sh

# Prints those of the given packages that are not installed.
missing_packages() {
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || printf '%s ' "$package"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Installs what is missing of the given packages; returns non-zero when that is not possible.
install_packages() {
    if ! command -v dpkg-query >/dev/null 2>&1; then
        echo "This is no Debian; these packages, or what they are called here, are needed: $*" >&2
        return 0
    fi
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    echo "Installing with apt-get: $missing"
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
        echo "Run this as root or install sudo, or install these packages by hand: $missing" >&2
        return 1
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || return 1
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# shellcheck disable=SC2034 # used by the scripts that source this
BUILD_PACKAGES="gcc libc6-dev make zlib1g-dev libdeflate-dev libzip-dev libpng-dev libjansson-dev"
