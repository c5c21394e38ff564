# shellcheck shell=bash
# Debian packages, each with its reason, and how `run` and `check` get the missing ones. Sourced.

# To build and to run.
build_packages=(
    "gcc|the compiler"
    "libc6-dev|headers of the C library"
    "meson|the build description"
    "ninja-build|carries the build out"
    "ccache|makes later builds quick"
    "pkg-config|finds the libraries below"
    "libuv1-dev|event loops"
    "libjansson-dev|JSON"
    "libsqlite3-dev|the index of the store"
    "libssl-dev|hashes, signatures, passwords, encrypted secrets"
    "libwebsockets-dev|connections and TLS"
    "libwebsockets-evlib-uv|the same on our event loops"
    "libyaml-dev|the configuration file"
    "libcurl4-openssl-dev|requests to other servers, and to a running one"
    "libsystemd-dev|tells systemd how it is"
    "libavformat-dev|containers of files to replay and to export"
    "libavcodec-dev|their codecs' parameters and parsers"
    "libavutil-dev|what these two stand on"
)

# For ./check alone.
test_packages=(
    "libcmocka-dev|unit tests"
    "binutils|nm: which symbols a library exports"
    "clang|second compiler and the sanitizers"
    "libclang-rt-14-dev|sanitizer and fuzzer runtimes"
    "llvm-14|line numbers in sanitizer reports"
    "clang-format|the layout"
    "clang-tidy|static analysis"
    "shellcheck|errors in shell scripts"
    "python3|house tests, flow tests"
    "curl|a second opinion on signatures"
    "mandoc|checks the man pages' source"
    "wrk|load on the server, by somebody else's client"
    "slowhttptest|slow and hostile clients"
    "nginx-light|what our static bytes are compared with"
    "openssl|looks at TLS from outside"
    "python3-yaml|a second opinion on configuration files"
    "debootstrap|a bare system to install the package in"
    "dpkg-dev|builds the package"
    "debhelper|the same"
    "fakeroot|the same"
    "lintian|judges the package"
    "systemd|judges its unit"
    "python3-botocore|signs requests as Amazon's clients do"
    "python3-boto3|an AWS client that nobody here wrote"
    "awscli|another one"
    "ffmpeg|makes and plays test media"
    "mkvtoolnix|a second opinion on Matroska files"
    "mediaconch|judges Matroska files by the standard"
    "mpv|seeks in reels"
    "zbar-tools|reads the picture's number that a player shows"
    "vlc-bin|plays rewritten files"
    "vlc-plugin-base|its demuxer and its codecs"
    "chromium|opens the page at /"
)
# It comes with other builds of Node.js, and Debian's package cannot stand beside those.
command -v npm >/dev/null || test_packages+=("npm|fetches what drives the browser")

# need_packages "name|reason"...: installs what is missing, or ends the script saying what to do.
need_packages() {
    local line missing=() installed
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        [[ -n ${KINORA_SKIP_PACKAGES-} ]] && return
        echo "This is not a Debian system with apt. Install these (Debian's names) by hand," >&2
        echo "then run again with KINORA_SKIP_PACKAGES=1:" >&2
        printf '    %s\n' "${@/|/: }" >&2
        exit 1
    fi
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${@%%|*}" 2>/dev/null || true)
    for line in "$@"; do
        [[ $'\n'$installed$'\n' == *$'\n'"installed ${line%%|*}"$'\n'* ]] || missing+=("$line")
    done
    ((${#missing[@]})) || return 0

    echo "Missing packages:"
    printf '    %s\n' "${missing[@]/|/: }"
    local as_root=()
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            echo "Neither root nor sudo: ask someone to run" >&2
            echo "    apt-get install --no-install-recommends ${missing[*]%%|*}" >&2
            exit 1
        fi
        as_root=(sudo)
    fi
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    # Another apt may be at work on a machine that has just started.
    apt+=(-o DPkg::Lock::Timeout=300)
    "${apt[@]}" update
    "${apt[@]}" install -y --no-install-recommends "${missing[@]%%|*}"
}
