# shellcheck shell=bash
# What the scripts share: sourced, not run.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

fail() {
    echo "error: $*" >&2
    exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

# Under sudo the compiler is the caller's, and so are the files it writes.
owner=""
if is_root && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ]; then
    owner=$SUDO_USER
    owner_home=$(getent passwd "$owner" | cut -d: -f6)
    export CARGO_HOME=${CARGO_HOME:-$owner_home/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$owner_home/.rustup}
    export PATH="$CARGO_HOME/bin:$PATH"
fi
command -v cargo >/dev/null || fail "cargo is not in PATH: install Rust from https://rustup.rs"
command -v cc >/dev/null || fail "cc is not in PATH: install gcc (apt-get install gcc libc6-dev)"

# Runs a command as the user who called sudo, or just runs it.
as_owner() {
    if [ -n "$owner" ]; then
        runuser --user "$owner" -- env HOME="$owner_home" "$@"
    else
        "$@"
    fi
}

# install_packages COMMAND:PACKAGE…: installs, as root, the packages whose command is missing.
install_packages() {
    local missing=()
    for pair in "$@"; do
        PATH="$PATH:/usr/sbin" command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "there is no apt-get to install: ${missing[*]}"
    echo "installing ${missing[*]}"
    apt-get update >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        "${missing[@]}" </dev/null >/dev/null
}

# What the tests of rule chains use: both variants of iptables, ipset and nft.
install_chain_tools() {
    install_packages iptables-nft:iptables ipset:ipset nft:nftables
}
