#!/bin/sh
# SPDX-License-Identifier: MIT
# lecture_figures.sh 'NAME < BOUND'... -- PROGRAM [ARGUMENT...]: runs the program, which prints "NAME: NUMBER" lines, and
# compares: < or >, with a number or with another name.
set -eu
export LC_ALL=C.UTF-8 # numbers have points
output=$(mktemp)
checks=$(mktemp)
trap 'rm -f "$output" "$checks"' EXIT
while [ "$1" != -- ]; do
    echo "$1" >>"$checks"
    shift
done
shift
"$@" >"$output"
cat "$output"
awk -F ': ' '
    NR == FNR { if (NF == 2) figure[$1] = $2 + 0; next }
    {
        split($0, part, / [<>] /)
        bound = part[2] in figure ? figure[part[2]] : part[2] + 0
        held = part[1] in figure && ($0 ~ / < / ? figure[part[1]] < bound : figure[part[1]] > bound)
        printf "%s %s\n", held ? "held:" : "NOT HELD:", $0
        failed += !held
    }
    END { exit failed > 0 || FNR == 0 }' "$output" "$checks"
