# SPDX-License-Identifier: MIT
# What the tests of the program share; sourced with the program and make_audio as arguments.
set -euo pipefail
export rill=$1 # for the shells of script as well
make_audio=$2
here=$(dirname "$(realpath "$0")")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
export XDG_DATA_HOME=$directory/data HOME=$directory NO_COLOR=1 LC_ALL=C.UTF-8
failures=0

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

# run CODE ARGUMENT...: runs rill, keeps what it says in out and err, wants the exit code and no crash
run() {
    local wanted=$1 code=0
    shift
    "$rill" "$@" >out 2>err </dev/null || code=$?
    sane "$wanted" $code "$*"
}

sane() { # WANTED CODE WHAT
    [ "$2" = "$1" ] || { fail "rill $3: exit code $2, not $1"; sed 's/^/    /' err >&2; }
    if grep -qE 'Sanitizer|runtime error' err; then
        fail "rill $3: $(grep -E 'Sanitizer|runtime error' err | head -3)"
    fi
}

# said PATTERN / told PATTERN: standard error / standard output of the last run has it
said() { grep -qE -- "$1" err || { fail "standard error lacks \"$1\":"; sed 's/^/    /' err >&2; }; }
told() { grep -qE -- "$1" out || { fail "standard output lacks \"$1\":"; head -5 out | sed 's/^/    /' >&2; }; }

same() { cmp "$1" "$2" >&2 || fail "$3"; }

finish() {
    [ $failures = 0 ] || { echo "$failures failures" >&2; exit 1; }
    echo "$(basename "$0"): every law held"
}
