#!/bin/bash
# SPDX-License-Identifier: MIT
# Every command explains itself; what makes no sense ends with exit code 2 and a hint.
. "$(dirname "$0")/program_functions.sh"

run 0 --help
told 'rill listen'
run 0 --version
told '^rill [0-9]+\.[0-9]+\.[0-9]+'
# the kernels that every machine has, forced by name; a name that is none changes nothing
cp out as_chosen
for kernels in reference portable; do
    RILL_KERNELS=$kernels run 0 --version
    told "kernels: $kernels\)"
done
RILL_KERNELS=nonsense run 0 --version
same out as_chosen "a name of no kernels changes which run"
for command in listen track devices enroll identify speakers embed eval model; do
    "$rill" --help | grep -q "^  $command " || fail "rill --help lacks $command"
    run 0 help $command
    told "Usage: rill $command"
    told '--json'
    cp out told_by_help
    run 0 $command --help
    same out told_by_help "rill help $command and rill $command --help differ"
    run 0 $command -h
    run 0 $command --version
    run 2 $command --no-such-option
    said "rill $command --help"
done
run 0 help enroll # how many voices there may be
told '64'
run 0 help track
told '64'
run 0 --help
cp out told_by_help
run 0 help --help
same out told_by_help "rill help --help differs from rill --help"
run 2
run 2 no-such-command
said '"no-such-command"'
run 2 help no-such-command
run 2 track
run 1 track ""
said '^rill: "": No such file'
run 2 track --latency soon a.wav
said '"soon"'
run 2 track --latency nan a.wav
run 2 track --channel 0 a.wav
run 2 track --channel left a.wav
run 2 track --max-speakers 2.5 a.wav
run 2 track --max-speakers 1000 a.wav
run 2 track --save-state s a.wav b.wav
run 2 track --rttm r --rttm-corrected r a.wav
run 2 track --rttm r --rttm-corrected ./r a.wav
run 2 track --resume s --latency 1 a.wav
run 2 listen --record r --rttm r
run 2 listen --record - --device none
said 'record'
run 2 track --rttm - --rttm-corrected - a.wav
run 2 track --rttm - --json a.wav
run 2 track --rttm-corrected - --reference r a.wav
# what is read is not written over, whatever it is called; two recordings are not told under one id
for option in --rttm --rttm-corrected --save-state; do
    echo kept >a.wav
    ln -f a.wav b.wav
    run 2 track $option b.wav a.wav
    said '^rill track: b\.wav is read'
    for input in --reference --model --speakers; do run 2 track $input a.wav $option ./a.wav c.wav; done
    [ $option = --save-state ] || run 2 track --resume a.wav $option ./a.wav c.wav
    [ "$(cat a.wav)" = kept ] || fail "$option writes over what is read"
done
run 2 track --save-state s --rttm s a.wav
for option in --rttm --rttm-corrected --reference; do
    run 2 track $option r one/a.wav two/a.flac
    said '"a"'
done
rm a.wav b.wav
run 2 eval a.rttm
run 2 eval --collar -1 a.rttm b.rttm
run 2 enroll Anna
run 2 enroll "" a.wav
run 2 enroll "$(printf '%0100d' 0)" a.wav
run 2 enroll Anna --listen 5 a.wav
run 2 embed
run 2 embed --list l.tsv a.wav
run 2 embed --start -1 a.wav
run 2 speakers forget Anna
run 2 speakers rename Anna
run 2 listen a.wav
run 2 devices a.wav
run 2 model a b
finish
