#!/bin/bash
# SPDX-License-Identifier: MIT
# embed --list: one line out for every line in, in order, each what the segment alone gives.
. "$(dirname "$0")/program_functions.sh"
"$make_audio" talk a.wav 16000 1 10
"$make_audio" voice b.wav 48000 1 8
{
    printf 'a.wav\t5\t2\n'
    printf 'b.wav\t0\t3\n'
    printf 'missing.wav\t0\t1\n'
    printf 'a.wav\t1\t2.5\n'
    printf 'a.wav\t1\tlong\n'
    printf '\n'
    printf 'a.wav\t100\t1\n'
    printf 'b.wav\t1.5\t3\n'
    printf 'a.wav\t5\t2\n'
    printf 'b.wav'
} >list.tsv
run 1 embed --list list.tsv
cp out listed
[ "$(wc -l <listed)" = 10 ] || fail "10 lines in, $(wc -l <listed) out"
wanted="a.wav b.wav missing.wav a.wav a.wav  a.wav b.wav a.wav b.wav"
[ "$(grep -o '^{"path": "[^"]*"' listed | cut -d'"' -f4 | paste -sd' ')" = "$wanted" ] || fail "the order"
[ "$(grep -n '"error"' listed | cut -d: -f1 | paste -sd' ')" = "3 5 6 7" ] || fail "other lines fail than should"
grep -vq '^{"path": "[^"]*", \("error": ".*"\|"start": [0-9.]*, "duration": [0-9.]*, "speech_seconds": [0-9.]*, "embedding": \[[-0-9.e, ]*\]\)}$' \
    listed && fail "other keys than pinned"
same <(sed -n 1p listed) <(sed -n 9p listed) "the same segment twice gives two embeddings"

run 0 embed --start 1 --duration 2.5 a.wav
same out <(sed -n 4p listed) "a segment alone and in a list differ"
run 0 embed b.wav
same out <(sed -n 10p listed) "a whole file alone and in a list differ"
run 0 embed a.wav b.wav
[ "$(wc -l <out)" = 2 ] || fail "two files, not two lines"

# a pipe cannot be sought, but be read up to the start
"$rill" embed --start 1 --duration 2.5 - <a.wav 2>err | sed 's/"path": "-"/"path": "a.wav"/' >out
same out <(sed -n 4p listed) "a segment of standard input differs"
# several of one pipe: on from the one before, and an error where that would be back
printf -- '-\t5\t2\n-\t1\t2.5\n-\t3\t1\n' >piped.tsv
cat a.wav | "$rill" embed --list piped.tsv 2>err | sed 's/"path": "-"/"path": "a.wav"/' >out || true
same <(sed -n 1,2p out) <(sed -n '1p;4p' listed) "the segments of a pipe differ"
sed -n 3p out | grep -q '"error": ".*beginning' || fail "a segment that overlaps another of a pipe is no error"
"$rill" embed --list - <list.tsv >out 2>err && fail "a failing list ends with 0"
same out listed "a list from standard input differs"
: >empty.tsv
{ printf '\357\273\277'; sed -n 1p list.tsv; } >marked.tsv
run 0 embed --list marked.tsv
same out <(sed -n 1p listed) "a list that begins with a byte order mark differs"
run 0 embed --list empty.tsv
[ ! -s out ] || fail "an empty list gives lines"
run 1 embed --list missing.tsv

# odd lines: the ending of a line from elsewhere, a path with a carriage return or quotes, a zero byte
odd=$(printf 'an odd\r "path".wav')
cp a.wav "$odd"
printf 'a.wav\t1\t2.5\r\n%s\t1\t2.5\na.wav\0\t1\t2.5\n' "$odd" >odd.tsv
run 1 embed --list odd.tsv
cp out listed_odd
same <(sed -n 1p listed_odd) <(sed -n 4p listed) "a line that ends in CR LF differs"
same <(sed -n 2p listed_odd | sed 's/.*"start"/"start"/') <(sed -n 4p listed | sed 's/.*"start"/"start"/') \
    "a path with a carriage return is not found"
sed -n 3p listed_odd | grep -q '"error": "line 3: has a zero byte"' || fail "a zero byte is passed over"

# every file is opened once, however the list jumps about
if command -v strace >/dev/null && strace -o trace true 2>/dev/null; then
    strace -f -e trace=openat,open -o trace "$rill" embed --list list.tsv >/dev/null 2>err || true
    [ "$(grep -c '"b.wav"' trace)" = 1 ] || fail "b.wav is opened $(grep -c '"b.wav"' trace) times"
fi
finish
