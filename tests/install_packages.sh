#!/bin/sh
# SPDX-License-Identifier: MIT
# install_packages.sh SOURCE: what scripts/install-packages says when it cannot install, with a machine made of stubs.
set -eu
script=$1/scripts/install-packages
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# stub NAME: a program of what comes on standard input
stub() { { echo '#!/bin/sh'; cat; } >"$work/$1" && chmod +x "$work/$1"; }
stub dpkg-query </dev/null # nothing is installed
stub id <<END
echo 1000
END
stub apt-get <<END
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
stub sudo <<END
echo "sudo: a terminal is required to read the password" >&2
exit 1
END
refused 'sudo refused .*as root: apt-get update; apt-get install .*gcc' 'apt-get update failed|could not install'
# and otherwise what the command tells
stub sudo <<END
exec "\$@"
END
refused 'could not install:.* gcc' 'sudo refused'
echo "install-packages: every law held"
