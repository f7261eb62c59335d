#!/bin/sh
# SPDX-License-Identifier: MIT
# install_packages.sh SOURCE: what scripts/install-packages says when it cannot install, with a machine made of fakes.
set -eu
script=$1/scripts/install-packages
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# fake NAME: a program of what comes on standard input
fake() { { echo '#!/bin/sh'; cat; } >"$work/$1" && chmod +x "$work/$1"; }
fake dpkg-query </dev/null # nothing is installed
fake id <<END
echo 1000
END
fake apt-get <<END
echo "E: no network" >&2
exit 100
END

refused() { # refused PATTERN WITHOUT_PATTERN
    code=0
    PATH=$work:$PATH "$script" build >"$work/out" 2>&1 || code=$?
    cat "$work/out"
    [ $code -eq 1 ] || { echo "FAILED: exit code $code, not 1"; exit 1; }
    grep -qE "$1" "$work/out" || { echo "FAILED: not said: $1"; exit 1; }
    ! grep -qE "$2" "$work/out" || { echo "FAILED: said: $2"; exit 1; }
}

# sudo tells with 1 that it does not let this user, or that nobody is there to type a password
fake sudo <<END
echo "sudo: a terminal is required to read the password" >&2
exit 1
END
refused 'sudo refused .*as root: apt-get update; apt-get install .*gcc' 'apt-get update failed|could not install'
# and otherwise what the command tells
fake sudo <<END
exec "\$@"
END
refused 'could not install:.* gcc' 'sudo refused'
# scripts that call it find it, wherever CDPATH would lead
cd "$1"
mkdir "$work/scripts"
for CDPATH in ".:$work" "$work"; do
    export CDPATH
    for script in scripts/run scripts/test; do refused 'could not install:.* gcc' 'not found'; done
done
echo "install-packages: every law held"
