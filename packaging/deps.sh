#!/bin/sh
# What a build and its tests need from Debian, and a Rust new enough for rust-toolchain.toml.
# Installs what is missing as root or through `sudo -n`; otherwise prints the one line to run (exit 4).
# `deps.sh test` also finds what the tests run beside cargo, `deps.sh fuzz` what libFuzzer is built
# with, `deps.sh bench` what sealsum is measured against, with the packages of
# tests/bench/requirements.txt, `deps.sh python` Python and the packages of tests/requirements.txt, each
# in a virtual environment below the build directory, and `deps.sh all` all peers that `make test-all`
# runs against.
set -eu

# command or pkg-config module : Debian package
needs='cc:gcc pkg-config:pkg-config swtpm:swtpm swtpm_setup:swtpm-tools openssl:openssl tss2-esys.pc:libtss2-dev systemd-analyze:systemd'
[ "${1:-}" != fuzz ] || needs="$needs c++:g++"
[ "${1:-}" != bench ] || needs="$needs libssl.pc:libssl-dev"
case "${1:-}" in test | all) needs="$needs cryptography.py:python3-cryptography strace:strace valgrind:valgrind" ;; esac
case "${1:-}" in python | all | bench) needs="$needs python3:python3 ensurepip.py:python3-venv" ;; esac
[ "${1:-}" != all ] || needs="$needs curl:curl tpm2_createprimary:tpm2-tools"

present() {
    case "$1" in
    *.py) python3 -c "import ${1%.py}" 2>/dev/null ;;
    *.pc) pkg-config --exists "${1%.pc}" 2>/dev/null ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

missing() {
    for need in $needs; do
        present "${need%%:*}" || printf '%s ' "${need#*:}"
    done
}

packages=$(missing)
if [ -n "$packages" ]; then
    install="apt-get install --yes --no-install-recommends $packages"
    if [ "$(id -u)" = 0 ]; then as=''; elif sudo -n true 2>/dev/null; then as='sudo -n'; else
        echo "error: Debian packages are missing: $packages. Try: sudo $install" >&2
        exit 4
    fi
    echo "installing: $packages" >&2
    $as apt-get update -qq >&2 || true
    # shellcheck disable=SC2086
    $as env DEBIAN_FRONTEND=noninteractive $install >&2
    packages=$(missing)
    if [ -n "$packages" ]; then
        echo "error: still missing after the installation: $packages. Try: sudo $install" >&2
        exit 4
    fi
fi

wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
if ! found=$(rustc --version 2>/dev/null | cut -d' ' -f2) ||
    [ "$(printf '%s\n%s\n' "$wanted" "${found:-0}" | sort -V | head -n1)" != "$wanted" ]; then
    echo "error: Rust $wanted is needed, found ${found:-none}. Try: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
    exit 4
fi

# environment FOLDER LIST: a virtual environment below the build directory with the packages of a list.
environment() {
    venv="${CARGO_TARGET_DIR:-target}/$1"
    ! cmp -s "$2" "$venv/requirements.txt" || return 0
    echo "installing: $2 into $venv" >&2
    if ! { python3 -m venv --clear "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
            --require-hashes --requirement "$2" &&
        cp "$2" "$venv/requirements.txt"; } >&2; then
        echo "error: the Python packages of $2 could not be installed. Try: the same again with network access" >&2
        exit 4
    fi
}

case "${1:-}" in
python | all) environment venv tests/requirements.txt ;;
bench) environment bench/venv tests/bench/requirements.txt ;;
esac
