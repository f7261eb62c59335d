#!/bin/sh
# SPDX-License-Identifier: MIT
# package.sh SOURCE BUILD: installs BUILD into a fresh prefix and uses it as a stranger would: by find_package and by
# pkg-config, from C and C++, shared and static.
set -eu
source=$1
build=$2
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT

cmake --install "$build" --prefix "$prefix/usr" >/dev/null
[ ! -e "$prefix/usr/include/rill/kernels.h" ] || { echo "a private header was installed"; exit 1; }
[ -n "$(find "$prefix/usr/share/doc" -name LICENSE)" ] || { echo "the licence was not installed"; exit 1; }

CMAKE_PREFIX_PATH=$prefix/usr cmake -S "$source/tests/package" -B "$prefix/consumer" -G Ninja \
    >"$prefix/log" 2>&1 && LD_LIBRARY_PATH=$prefix/usr/lib cmake --build "$prefix/consumer" >>"$prefix/log" 2>&1 ||
    { cat "$prefix/log"; exit 1; }
grep '^rill 0' "$prefix/log" || { cat "$prefix/log"; echo "no consumer ran"; exit 1; }

# A version that is not installed is refused.
sed 's/find_package(rill 0.1/find_package(rill 9.9/' "$source/tests/package/CMakeLists.txt" >"$prefix/CMakeLists.txt"
if CMAKE_PREFIX_PATH=$prefix/usr cmake -S "$prefix" -B "$prefix/refused" -G Ninja >/dev/null 2>&1; then
    echo "find_package(rill 9.9) succeeded"
    exit 1
fi

export PKG_CONFIG_PATH="$prefix/usr/lib/pkgconfig"
compile() { # OUTPUT SOURCE PKG-CONFIG'S WORDS: a path may hold blanks, which pkg-config escapes for a shell
    output=$1
    input=$2
    words=$3
    shift 3
    eval "cc -std=c11 -Wall -Wextra -Wpedantic -Werror \"\$@\" \"\$input\" -o \"\$output\" $words"
}
# Our own libraries static: a folder that has no others comes first.
mkdir "$prefix/static"
cp "$prefix"/usr/lib/librill*.a "$prefix/static"
for package in rill rill_learning rill_encoder rill_stream; do
    [ -e "$PKG_CONFIG_PATH/$package.pc" ] || continue
    uses=$(echo "$package" | sed 's/^rill_/-DUSES_/; s/^rill$/-DUSES_nothing/')
    compile "$prefix/by_$package" "$source/tests/package/consumer.c" "$(pkg-config --cflags --libs "$package")" "$uses"
    LD_LIBRARY_PATH=$prefix/usr/lib "$prefix/by_$package" >/dev/null
    compile "$prefix/static_$package" "$source/tests/package/consumer.c" \
        "$(pkg-config --static --cflags --libs "$package")" "$uses" -L"$prefix/static"
    LD_LIBRARY_PATH="" "$prefix/static_$package" >/dev/null
done
# The example of README.md, made whole.
if [ -e "$PKG_CONFIG_PATH/rill_stream.pc" ]; then
    {
        printf '#include <stdio.h>\n#include <rill/stream/listener.h>\nint main(void) {\n'
        printf 'static float samples[16000]; size_t count = 16000;\n'
        sed -n '/^```c$/,/^```$/{/^```/d;p}' "$source/README.md"
        printf 'rill_listener_close(listener); rill_model_close(model); return 0; }\n'
    } >"$prefix/readme.c"
    grep -q rill_listener_push "$prefix/readme.c"
    compile "$prefix/readme" "$prefix/readme.c" "$(pkg-config --cflags --libs rill_stream)"
    (cd "$source" && LD_LIBRARY_PATH=$prefix/usr/lib "$prefix/readme")
fi
echo "installed, found and linked"
