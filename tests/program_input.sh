#!/bin/bash
# SPDX-License-Identifier: MIT
# Inputs that are broken or strange: a clear error or a right result, never a crash.
. "$(dirname "$0")/program_functions.sh"
model=$3

seconds_are() { # SECONDS: the end event says so
    awk -v wanted="$1" -F'"seconds": ' '/"event": "end"/ { d = $2 - wanted; found = d < 0.001 && d > -0.001 }
        END { exit !found }' out || fail "the end is not at $1 s: $(tail -1 out)"
}

"$make_audio" talk good.wav 16000 1 6

run 1 track missing.wav
said 'missing\.wav'
run 1 track .
said '\.'
: >empty.wav
run 1 track empty.wav
said 'empty\.wav'
echo 'this is no recording' >text.wav
run 1 track text.wav
said 'text\.wav'
head -c 30 good.wav >header.wav
run 1 track header.wav
said 'header\.wav'

# a good recording beside a bad one is tracked
run 1 track --json missing.wav good.wav
told '"event": "end", "file": "good.wav"'

# whose turns these are is told with --quiet too
cp good.wav again.wav
run 0 track --quiet good.wav again.wav
told '^good\.wav:$'
told '^again\.wav:$'

# cut off in the middle: what is there is tracked, or refused by name
head -c 100000 good.wav >cut.wav
code=0
"$rill" track --json cut.wav >out 2>err || code=$?
if [ $code = 0 ]; then seconds_are 1.562; else said 'cut\.wav'; fi
sane $code $code "track cut.wav"

# FLAC under the name of WAV is what its bytes say
"$make_audio" talk true.flac 16000 1 6
cp true.flac mislabelled.wav
run 0 track --json true.flac
cp out wanted
run 0 track --json mislabelled.wav
same out wanted "the name of a file changes what is heard"

"$make_audio" constant nan.wav 16000 nan 32000
run 0 track --json nan.wav
seconds_are 2
said '32000 samples'
! grep -q '"turn"' out || fail "turns in a file of NaN"
! grep -qi 'nan,' out || fail "NaN in JSON"
"$make_audio" constant inf.wav 16000 inf 32000
run 0 track --json inf.wav
seconds_are 2
"$make_audio" constant one.wav 16000 0.5 1
run 0 track --json one.wav
seconds_are 0
"$make_audio" constant none.wav 16000 0 0
run 0 track --json none.wav
seconds_are 0
"$make_audio" constant zero.wav 16000 0 48000
run 0 track --json zero.wav
seconds_are 3
! grep -q '"turn"' out || fail "turns in silence"

# a recording without speech has no voice
for file in one none nan; do
    run 1 embed $file.wav
    told '"error"'
    run 1 enroll Nobody $file.wav
    said "$file"
done

# any rate, any number of channels: the right length, and one channel by its number
"$make_audio" talk 8k.wav 8000 1 6
"$make_audio" talk 192k.wav 192000 1 6
"$make_audio" talk eight.wav 16000 8 6
for file in 8k 192k eight; do
    run 0 track --json $file.wav
    seconds_are 6
done
run 0 track --json good.wav
cp out wanted
run 0 track --json eight.wav
same out wanted "eight equal channels are not heard as one"
run 0 track --json --channel 8 eight.wav
same out wanted "channel 8 of equal ones is not heard as one"
run 1 track --channel 9 eight.wav
said '9'

# a rate that cannot be followed is the recording's fault: the others are tracked
"$make_audio" constant slow.wav 10 0.1 1000
"$make_audio" constant fast.wav 2000000 0.1 1000
for file in slow fast; do
    run 1 track --json $file.wav good.wav
    said "^rill: $file\.wav: "
    told '"event": "end", "file": "good.wav"'
done
run 1 enroll Nobody fast.wav
said '^rill: fast\.wav: '

# standard input
"$rill" track --json - <good.wav >out 2>err || fail "standard input is not read"
same out wanted "standard input is heard otherwise"

# what must come whole is copied to TMPDIR, where nothing stays of it
"$make_audio" talk good.w64 16000 1 6
mkdir temporary
rm -f pipe
mkfifo pipe
TMPDIR=$PWD/temporary "$rill" track --json - <pipe >out 2>err &
tracker=$!
exec 9>pipe
head -c 20000 good.w64 >&9
for ((i = 0; i < 400; i++)); do
    ls -l /proc/$tracker/fd 2>/dev/null | grep -q "$PWD/temporary/" && break
    sleep 0.05
done
[ $i -lt 400 ] || fail "no copy in TMPDIR"
[ -z "$(ls temporary)" ] || fail "the copy in TMPDIR has a name"
tail -c +20001 good.w64 >&9
exec 9>&-
code=0
wait $tracker || code=$?
sane 0 $code "track a W64 from a pipe"
seconds_are 6
code=0
TMPDIR=$PWD/none "$rill" track - <good.w64 >out 2>err || code=$?
sane 0 $code "track a W64 that is no pipe"
code=0
cat good.w64 | TMPDIR=$PWD/none "$rill" track - >out 2>err || code=$?
sane 1 $code "track a W64 from a pipe without a folder for it"
said "$PWD/none failed: No such file"

# a pipe that falls silent: asked to end, what came is told and written, at once
"$make_audio" talk long.wav 16000 1 60
for signal in TERM INT; do
    for size in 20 150000; do
        rm -f said.rttm pipe
        mkfifo pipe
        exec 9<>pipe # holds it open
        head -c $size long.wav >pipe 9>&- &
        writer=$!
        "$rill" track --json --rttm-corrected said.rttm - <pipe >out 2>err 9>&- &
        tracker=$!
        for ((i = 0; i < 400; i++)); do # the file of turns is made after signals are watched
            [ -e said.rttm ] && { [ $size = 20 ] || grep -q '"event": "start"' out; } && ! kill -0 $writer 2>/dev/null && break
            sleep 0.05
        done
        kill -$signal $tracker
        for ((i = 0; i < 100; i++)); do
            kill -0 $tracker 2>/dev/null || break
            sleep 0.05
        done
        kill -KILL $tracker 2>/dev/null && fail "a silent pipe keeps $signal waiting"
        code=0
        wait $tracker 2>/dev/null || code=$?
        sane 1 $code "track a silent pipe until $signal"
        said 'interrupted'
        [ $size = 20 ] && continue
        told '"event": "end"'
        [ -s said.rttm ] || fail "$signal: the corrected turns are lost"
    done
done
exec 9>&-

# under nohup a terminal that is closed ends nothing
rm -f pipe
mkfifo pipe
(trap '' HUP; exec "$rill" track --json - <pipe >out 2>err) &
tracker=$!
exec 9>pipe
head -c 150000 good.wav >&9
for ((i = 0; i < 400; i++)); do
    grep -q '"event": "start"' out && break
    sleep 0.05
done
kill -HUP $tracker
tail -c +150001 good.wav >&9
exec 9>&-
code=0
wait $tracker || code=$?
sane 0 $code "track under nohup"
seconds_are 6

# models
run 1 model missing.safetensors
said 'missing\.safetensors'
run 1 track --model good.wav good.wav
said 'good\.wav'
head -c 100000 "$model" >cut.safetensors
run 1 track --model cut.safetensors good.wav
said 'cut\.safetensors'
run 0 model "$model"
cp out wanted
run 0 model
same out wanted "the embedded model is not the shipped one"
run 0 model --json
told '"fingerprint": "[0-9a-f]{16}"'

# a setting that cannot be met
run 2 track --latency 0.001 good.wav
said '0\.00'

# RTTM
run 1 eval missing.rttm missing.rttm
said 'missing\.rttm'
printf 'SPEAKER a 1 x 1 <NA> <NA> S1 <NA> <NA>\n' >broken.rttm
run 1 eval broken.rttm broken.rttm
said 'broken\.rttm'
run 1 track --reference broken.rttm good.wav

# control characters of a file's name never reach the terminal
evil=$(printf 'evil\033[2J.wav')
clean() { ! grep -q "$(printf '\033')" out err || fail "a control character came through"; }
mkdir more
cp good.wav "$evil"
printf x >"more/$evil"
run 1 track "more/$evil"
clean
run 2 track --rttm turns.rttm "$evil" "more/$evil"
clean
run 2 track --rttm "$evil" "$evil"
clean
run 2 listen "$evil"
clean
run 0 bench stream --seconds 1 "$evil"
clean
finish
