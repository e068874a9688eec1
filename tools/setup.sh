#!/usr/bin/env bash
# Set up what one make target needs, and nothing that is there already.
#
#   tools/setup.sh demo|test|check|bench
#
# Steps: system packages, Rust, virtual environment, Python packages, engine. One line per step that had work to do; all output goes
# to build/setup.log. Every step is skipped when its stamp (a hash of what it was made from) still holds, so that the second run takes a second.
# Leaves build/env, which the Makefile reads: PATH and, where needed, RUSTUP_HOME and CARGO_HOME.
set -euo pipefail
trap 'echo "set-up: stopped at line $LINENO of tools/setup.sh; the log is build/setup.log" >&2' ERR

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
target=${1:-}
case $target in
    demo | bench | test | check) ;;
    *)
        echo "usage: tools/setup.sh demo|test|check|bench" >&2
        exit 2
        ;;
esac
mkdir -p build
log=build/setup.log
env_file=build/env
venv=$root/.venv
# Two runs at once (make demo beside make test) would build into the same directories.
exec 9>build/setup.lock
if ! flock --nonblock 9; then
    echo "set-up: waiting for another set-up in this directory"
    flock --wait 1800 9 || { echo "set-up: the other set-up has held build/setup.lock for half an hour; end it and try again" >&2; exit 1; }
fi
printf '\n== %s: set-up for %s\n' "$(date -u +%FT%TZ)" "$target" >>"$log"

# ------------------------------------------------------------------------------------------------------------ reporting

fail() { # fail MESSAGE...: one clear paragraph, then stop
    printf 'set-up: %s\n' "$*" >&2
    exit 1
}

step() { # step TITLE COMMAND...: run it quietly, one line with its time; on failure the end of its output
    local title=$1 began=$SECONDS from
    shift
    printf 'set-up: %s ... ' "$title"
    printf '\n-- %s: %s\n' "$title" "$*" >>"$log"
    from=$(wc -l <"$log")
    if "$@" >>"$log" 2>&1 </dev/null; then
        printf 'done (%d s)\n' $((SECONDS - began))
    else
        printf 'failed (%d s)\n' $((SECONDS - began))
        tail -n +"$((from + 1))" "$log" | tail -n 25 >&2
        fail "\"$title\" failed. The lines above are the end of its output; the whole is in $log."
    fi
}

hash_of() { sha256sum | cut -c1-32; }
stamped() { [[ -f $1 && $(<"$1") == "$2" ]]; } # stamped FILE HASH
stamp() { printf '%s\n' "$2" >"$1"; }

# ------------------------------------------------------------------------------------------------------ system packages

# Each need is package=test; the test is a command, a file (begins with /), a shared library (lib:NAME) or a Python module (py:NAME).
# What passes its test needs no package, so that other distributions and private installations do.
build_needs=(
    gcc=cc g++=c++ make=make pkg-config=pkg-config
    cmake=cmake clang=clang git=git                    # BoringSSL is compiled, patched by its crate
    libclang-dev=lib:libclang                          # and its binding is generated
    python3-venv=py:ensurepip
    ca-certificates=/etc/ssl/certs/ca-certificates.crt
)
demo_needs=(
    baresip-core=baresip iproute2=ip libopus0=lib:libopus
    asterisk-core-sounds-en-wav=/usr/share/asterisk/sounds/en_US_f_Allison # recorded speech, CC BY-SA 3.0
)
test_needs=(linphone-cli=linphonec openssl=openssl sip-tester=sipp twinkle-console=twinkle-console sox=sox nftables=nft wireguard-tools=wg wireguard-go=wireguard-go
    openssh-client=sftp openssh-server=sshd openssh-sftp-server=/usr/lib/openssh/sftp-server iperf3=iperf3 chromium=chromium)

present() { # present TEST
    case $1 in
        /*) [[ -e $1 ]] ;;
        lib:*) # NAME.so.1 or NAME-14.so.1, but not NAME-cpp.so
            local folder
            for folder in "/usr/lib/*" "/usr/lib/llvm*/lib" /usr/lib64; do
                if compgen -G "$folder/${1#lib:}.so*" >/dev/null || compgen -G "$folder/${1#lib:}-[0-9]*.so*" >/dev/null; then return 0; fi
            done
            return 1
            ;;
        py:*) "$python" -c "import ${1#py:}" 2>/dev/null ;;
        *) command -v "$1" >/dev/null || [[ -x /usr/sbin/$1 || -x /sbin/$1 ]] ;;
    esac
}

find_python() { # the first Python of at least 3.11
    local candidate
    for candidate in python3 python3.11 python3.12 python3.13 /usr/bin/python3; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
}

run_as_root() {
    if ((EUID == 0)); then "$@"; else sudo -n -- "$@"; fi
}

install_packages() { # install_packages PACKAGE...; --no-remove: never trade the user's packages for ours
    run_as_root apt-get update -q || echo "the package lists could not be renewed; trying with those at hand"
    run_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends --no-remove \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"
}

may_install() { command -v apt-get >/dev/null && { ((EUID == 0)) || sudo -n true 2>/dev/null; }; }

need_packages() { # need_packages PACKAGE=TEST...
    local need missing=()
    for need in "$@"; do
        present "${need#*=}" || missing+=("${need%%=*}")
    done
    ((${#missing[@]})) || return 0
    may_install || fail "these packages are missing and this user may not install them: ${missing[*]}." \
        "Ask an administrator to run: apt-get install ${missing[*]}   (on another distribution: the packages of the same content). Then try again."
    step "system packages: ${missing[*]}" install_packages "${missing[@]}"
    hash -r
}

# ----------------------------------------------------------------------------------------------------------------- Rust

rust_needed=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' relay/Cargo.toml 2>/dev/null | head -n 1 || true)
rust_needed=${rust_needed:-1.85}
rustup_version=1.28.2 # its two digests are those the Rust project publishes

new_enough() { # new_enough BIN_DIRECTORY: cargo and rustc run there, and rustc is at least $rust_needed
    local version
    [[ -x $1/cargo && -x $1/rustc ]] || return 1
    PATH=$1:$PATH "$1/cargo" --version >/dev/null 2>&1 || return 1
    version=$(PATH=$1:$PATH "$1/rustc" --version 2>/dev/null | cut -d' ' -f2) || return 1
    [[ -n $version && $(printf '%s\n%s\n' "$rust_needed" "${version%%-*}" | sort -V | head -n 1) == "$rust_needed" ]]
}

find_rust() { # sets rust_bin, and RUSTUP_HOME where a rustup shim needs it; fails where nothing fits
    local directory
    local -a candidates=()
    directory=$(command -v cargo || true)
    [[ -n $directory ]] && candidates+=("$(dirname "$directory")")
    candidates+=("${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin" /usr/bin /usr/local/bin "$root/build/rust/cargo/bin")
    for directory in "${RUSTUP_HOME:-${HOME:-/nonexistent}/.rustup}"/toolchains/stable*/bin; do candidates+=("$directory"); done
    for directory in "${candidates[@]}"; do
        if new_enough "$directory"; then
            rust_bin=$directory
            return 0
        fi
        # A rustup shim started with another HOME does not find its toolchains; they are usually beside it.
        if [[ -z ${RUSTUP_HOME:-} && -d $directory/../../.rustup/toolchains ]]; then
            RUSTUP_HOME=$(cd "$directory/../../.rustup" && pwd)
            export RUSTUP_HOME
            if new_enough "$directory"; then
                rust_bin=$directory
                return 0
            fi
            unset RUSTUP_HOME
        fi
    done
    if new_private_rust; then return 0; fi
    return 1
}

new_private_rust() {
    [[ -x build/rust/cargo/bin/cargo ]] || return 1
    export RUSTUP_HOME=$root/build/rust/rustup CARGO_HOME=$root/build/rust/cargo
    rust_bin=$CARGO_HOME/bin
    new_enough "$rust_bin"
}

install_rustup() { # a private toolchain under build/rust; touches nothing outside this directory
    local arch digest
    case $(uname -m) in
        x86_64) arch=x86_64 digest=20a06e644b0d9bd2fbdbfd52d42540bdde820ea7df86e92e533c073da0cdd43c ;;
        aarch64) arch=aarch64 digest=e3853c5a252fca15252d07cb23a1bdd9377a8c6f3efa01531109281ae47f841c ;;
        *)
            echo "no Rust installer is known for this processor; install Rust $rust_needed or newer and try again"
            return 1
            ;;
    esac
    mkdir -p build/rust
    "$python" - "https://static.rust-lang.org/rustup/archive/$rustup_version/$arch-unknown-linux-gnu/rustup-init" "$digest" build/rust/rustup-init <<'PYTHON' || return 1
import hashlib, pathlib, sys, urllib.request
url, digest, path = sys.argv[1:]
with urllib.request.urlopen(url, timeout=60) as answer:
    content = answer.read(64 << 20)
if hashlib.sha256(content).hexdigest() != digest:
    sys.exit("the Rust installer has another digest than expected; nothing was run")
pathlib.Path(path).write_bytes(content)
PYTHON
    chmod +x build/rust/rustup-init
    RUSTUP_HOME=$root/build/rust/rustup CARGO_HOME=$root/build/rust/cargo build/rust/rustup-init -y -q --no-modify-path \
        --profile minimal -c clippy -c rustfmt --default-toolchain stable
}

debian_rust() { # the names of Debian's newer Rust, where its version is enough and installing it would remove nothing
    local version
    version=$(LC_ALL=C apt-cache policy rustc-web 2>/dev/null | sed -n 's/^ *Candidate: \([0-9.]*\).*/\1/p')
    [[ -n $version && $(printf '%s\n%s\n' "$rust_needed" "$version" | sort -V | head -n 1) == "$rust_needed" ]] || return 1
    # Its programs are called cargo and rustc, in /usr/bin, so it cannot stand beside Debian's older ones.
    ! dpkg-query -W -f '${Status}' rustc rustup 2>/dev/null | grep -q 'install ok installed'
}

need_rust() {
    find_rust && return 0
    if may_install; then
        [[ -n $(LC_ALL=C apt-cache policy rustc-web 2>/dev/null) ]] || step "package lists" run_as_root apt-get update -q
        if debian_rust; then
            step "Rust: Debian's rustc-web and cargo-web" install_packages rustc-web cargo-web rust-web-clippy rustfmt-web
            hash -r
            find_rust && return 0
        fi
    fi
    step "Rust: a private toolchain in build/rust" install_rustup
    find_rust || fail "no Rust of at least $rust_needed was found, and none could be installed. Install one (rustup, or Debian's rustc-web and cargo-web) and try again."
}

write_env() { # what make needs to find the same tools again
    {
        printf 'export PATH=%q:%q:"$PATH"\n' "$venv/bin" "$rust_bin"
        [[ -z ${RUSTUP_HOME:-} ]] || printf 'export RUSTUP_HOME=%q\n' "$RUSTUP_HOME"
        [[ -z ${CARGO_HOME:-} ]] || printf 'export CARGO_HOME=%q\n' "$CARGO_HOME"
        printf 'export VIRTUAL_ENV=%q\n' "$venv"
    } >"$env_file"
}

# --------------------------------------------------------------------------------------------------------------- Python

need_venv() {
    "$venv/bin/python" -c 'import pip' 2>/dev/null && return 0
    step "virtual environment in .venv" "$python" -m venv --clear "$venv"
}

need_python_packages() { # need_python_packages LEVEL: demo or dev; dev contains demo
    local lock=requirements/$1.txt hash
    hash=$(cat "$lock" <("$venv/bin/python" -V) | hash_of)
    stamped "$venv/.packages-$1" "$hash" && return 0
    if [[ $1 == demo ]] && stamped "$venv/.packages-dev" "$(cat requirements/dev.txt <("$venv/bin/python" -V) | hash_of)"; then return 0; fi
    step "Python packages ($lock)" "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --require-hashes --only-binary :all: -r "$lock"
    stamp "$venv/.packages-$1" "$hash"
}

# --------------------------------------------------------------------------------------------------------------- engine

engine_hash() {
    {
        "$venv/bin/python" -V
        PATH=$rust_bin:$PATH rustc --version
        find pyproject.toml relay -type d \( -name target -o -name lab -o -name model -o -name tests -o -name fuzz \) -prune \
            -o -type f \( -name '*.rs' -o -name '*.toml' -o -name Cargo.lock \) -print0 | sort -z | xargs -0 sha256sum
    } | hash_of
}

need_engine() {
    local hash
    if [[ ! -f relay/py/Cargo.toml || ! -f relay/Cargo.lock ]]; then
        echo "set-up: relay/py/Cargo.toml or relay/Cargo.lock is not there yet, so there is no engine to build"
        return 0
    fi
    hash=$(engine_hash)
    if stamped build/engine.stamp "$hash" && compgen -G "voicebox/_relay*.so" >/dev/null && [[ -x $venv/bin/voicebox ]]; then return 0; fi
    # shellcheck disable=SC1090  # written by this script
    source "$env_file"
    step "engine (release build; the first one compiles BoringSSL, about 3 minutes)" maturin develop --release --locked
    stamp build/engine.stamp "$hash"
}

# ----------------------------------------------------------------------------------------------------------------- main

python=$(find_python)
if [[ -z $python ]]; then
    may_install || fail "Python 3.11 or newer is missing and this user may not install it. Ask an administrator to run: apt-get install python3 python3-venv"
    step "Python" install_packages python3 python3-venv
    python=$(find_python)
    [[ -n $python ]] || fail "this system's python3 is older than 3.11; install a newer one and try again."
fi

needs=("${build_needs[@]}")
case $target in
    demo | bench) needs+=("${demo_needs[@]}") ;;
    test) needs+=("${demo_needs[@]}" "${test_needs[@]}") ;;
esac
need_packages "${needs[@]}"
rust_bin=
need_rust
need_venv
write_env
case $target in
    demo | bench) need_python_packages demo ;;
    *) need_python_packages dev ;;
esac
need_engine
