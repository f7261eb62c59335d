#!/bin/bash
# SPDX-License-Identifier: MIT
# Outputs that cannot be written: said, exit code 5.
. "$(dirname "$0")/program_functions.sh"
"$make_audio" talk talk.wav 16000 1 12
printf 'SPEAKER talk 1 0 4 <NA> <NA> S1 <NA> <NA>\n' >talk.rttm

for command in "track talk.wav" "track --json talk.wav" "embed talk.wav" "eval talk.rttm talk.rttm" model --help; do
    for full in /dev/full closed pipe; do
        code=0
        case $full in
        /dev/full) "$rill" $command >/dev/full 2>err || code=$? ;;
        closed) "$rill" $command >&- 2>err || code=$? ;;
        pipe) # of which nobody reads: the program's own exit code, not the pipe's
            mkfifo nobody
            (exec 3<nobody; exec 3<&-; touch read_end_closed) &
            (
                exec >nobody
                while [ ! -e read_end_closed ]; do sleep 0.01; done
                "$rill" $command 2>err
            ) || code=$?
            wait
            rm -f nobody read_end_closed
            ;;
        esac
        sane 5 $code "$command to $full"
        said 'could not be written'
    done
done

# a limit of file sizes is a full disk as well: one kilobyte
code=0
(ulimit -f 1; exec "$rill" embed talk.wav >limited 2>err) || code=$?
sane 5 $code "embed within a limit of file sizes"
said 'could not be written'
code=0
(ulimit -f 1; exec "$rill" track --quiet --save-state state talk.wav >limited 2>err) || code=$?
sane 5 $code "save a state within a limit of file sizes"
said '^rill: state: '
[ ! -e state ] || fail "a part of a state is left behind"

# turns to standard output, with nothing else, for the next program
cp talk.wav again.wav
"$rill" track --quiet --rttm wanted.rttm --rttm-corrected corrected.rttm talk.wav again.wav >out 2>err
[ -s wanted.rttm ] || fail "no turns as RTTM"
run 0 track --rttm - talk.wav again.wav
same out wanted.rttm "--rttm - is not what --rttm FILE holds"
run 0 track --rttm /dev/stdout talk.wav again.wav
same out wanted.rttm "--rttm /dev/stdout is not what --rttm FILE holds"
run 0 track --rttm-corrected - talk.wav again.wav
same out corrected.rttm "--rttm-corrected - is not what --rttm-corrected FILE holds"
"$rill" track --rttm - - <talk.wav >out 2>err || fail "from standard input to standard output"
grep -q '^SPEAKER stdin ' out || fail "no turns of standard input"
[ ! -e ./- ] || fail "a file called - was made"
for option in --rttm --rttm-corrected; do
    code=0
    "$rill" track $option - talk.wav >/dev/full 2>err || code=$?
    sane 5 $code "track $option - to a full disk"
    said 'could not be written'
    [ "$(wc -l <err)" = 1 ] || fail "a full disk is told more than once"
done

run 5 track --rttm /dev/full talk.wav
said '/dev/full'
run 5 track --rttm-corrected /dev/full talk.wav
said '/dev/full'
run 5 track --rttm no/such/folder.rttm talk.wav
said 'no/such/folder\.rttm'
run 5 track --save-state no/such/folder talk.wav
said 'no/such/folder'
run 5 enroll Anna --force --speakers /dev/null/speakers.json talk.wav
finish
