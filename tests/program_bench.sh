#!/bin/bash
# SPDX-License-Identifier: MIT
# The figures of rill bench mean what they say.
. "$(dirname "$0")/program_functions.sh"

# figures CONDITION: awk over the rows of CSV in out, columns by their names: v("gflops")
figures() {
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        function v(name) { if (!(name in at)) { print "no column " name; exit }; return $at[name] }
        function near(a, b) { return a > 0.99 * b && a < 1.01 * b }
        NF != length(at) { print "not as many cells as columns: " $0; next }
        !('"$1"') { print }
        END { if (NR < 2) print "no rows" }' out >wrong
    [ ! -s wrong ] || { fail "not so: $1"; sed 's/^/    /' wrong >&2; }
}

for bench in stream kernels attention paper machine report; do
    run 0 bench $bench --help
    told "^Usage: rill bench $bench"
    told '--json'
done
run 0 help bench
told '^  kernels  '
run 2 bench
run 2 bench nothing
run 2 bench kernels --dim 0
run 2 bench kernels --dim 8,x
run 2 bench kernels --dim ,
run 2 bench kernels --decay never
run 2 bench kernels --json --csv
# a name that is not known is refused, never passed over, and those that are known are told
run 2 bench kernels --kernels none
said '"none" is none of reference, portable'
run 2 bench kernels --what prefill,postfill
said '"postfill" is none of prefill, delta_prefill'
run 2 bench kernels --rule linear,square
said '"square" is none of linear, gated'
run 2 bench kernels --rule gated --what step_folded
said 'no figure'
run 2 bench attention --what softmax
said '"softmax" is none of softmax_quadratic'
run 2 bench attention --what ''
said '"" is none of softmax_quadratic'
run 2 bench attention --kernels none
run 2 bench attention --kernels ''
run 2 bench attention --dim 8,16
run 2 bench attention --rule linear
run 2 bench kernels more

# the operations are those of the formulas, and the rates those of the operations
run 0 bench kernels --csv --dim 16 --length 64,512 --seconds 0.02
figures 'v("what") == "feature_map" || near(v("gflops") * v("ns_per_token_head"), v("flops_per_token_head"))'
figures 'v("what") != "prefill" && v("what") != "step_folded" || v("flops_per_token_head") == 4 * v("key_dim") * v("value_dim")'
figures 'v("what") != "delta_prefill" || v("flops_per_token_head") == 6 * v("key_dim") * v("value_dim")'
figures 'v("what") != "step" || v("flops_per_token_head") == (v("rule") == "linear" ? 4 : 6) * v("key_dim") * v("value_dim")'
figures 'near(v("fraction_of_limit") * v("ns_per_token_head") + 0.01, v("limit_ns_per_token_head") + 0.01) || v("fraction_of_limit") < 0.02'
figures 'v("best_ns_per_token_head") <= v("ns_per_token_head") && v("spread") >= 0'
# nothing beats what the machine can do by far: work was left out otherwise (sanitizers slow the limits down; a machine
# that others use moves the limits)
[ -n "${RILL_SANITIZE:-}" ] || figures 'v("fraction_of_limit") < 2'
# outputs are the definition's
figures 'v("error") < 1e-4'
# the least that a token and head need is what multiply-adds or memory allow
figures 'v("limit") != "fma" || v("what") ~ /encoder/ || near(v("limit_ns_per_token_head") * v("threads"), v("flops_per_token_head") / v("fma_gflops"))'
figures 'v("limit") != "read_write" || v("what") == "feature_map" || near(v("limit_ns_per_token_head"), v("read_write_ns"))'
figures 'v("limit") != "stream" || near(v("limit_ns_per_token_head") * v("threads"), 16 * v("key_dim") / v("stream_gb_s"))'
figures 'v("what") !~ /encoder/ || v("weights") ~ /^(float32|bfloat16|int8)$/ && v("streams") >= 1'
for what in prefill delta_prefill step step_folded feature_map encoder_step encoder_batch; do
    told "^kernels,$what,"
done
# as JSON
run 0 bench kernels --json --what prefill --rule linear --dim 64 --length 256 --seconds 0.02 --kernels portable
told '^\{"bench": "kernels", "what": "prefill", "rule": "linear", "kernels": "portable", "heads": 8, "key_dim": 64, "value_dim": 64, "length": 256, "threads": 1, "ns_per_token_head": [0-9.]+, "gflops": [0-9.]+, "limit": "[a-z_]+", "fraction_of_limit": [0-9.]+, '
# shapes too small for a limit of memory have none
run 0 bench kernels --csv --dim 1 --heads 1 --length 1 --seconds 0.01 --kernels portable --what prefill,delta_prefill,step,step_folded,feature_map
figures 'v("what") == "feature_map" ? v("limit") == "none" : v("limit") == "fma"'
figures 'v("worst_step_read_writes") == "" && v("read_write_ns") == "" && v("stream_gb_s") == "" && v("ns_per_token_head") > 0'
# attention: per token times are those of the whole; what keeps nothing pays all anew; memory is what it must be
run 0 bench attention --csv --heads 2 --dim 16 --length 32,64,128,256 --seconds 0.02
figures 'v("what") ~ /exponent|crossing/ || near(v("us_per_token") * v("length"), 1000 * v("total_ms"))'
figures 'v("what") !~ /quadratic|parallel/ || near(v("next_token_us"), 1000 * v("total_ms"))'
figures 'v("what") ~ /exponent|crossing/ || v("error") < 1e-4'
figures 'v("what") !~ /chunkwise|recurrent/ || v("memory_bytes") == 2 * 16 * 17 * 4'
figures 'v("what") != "softmax_quadratic" || v("memory_bytes") == v("length") * 3 * 2 * 16 * 4'
figures 'v("what") != "exponent" || v("measure") != "memory" || (v("of") ~ /parallel|quadratic|cached/ ? v("exponent") > 0.9 : v("exponent") == 0)'
told '^attention,crossing,'
# in whatever order lengths are given: the greatest is the greatest
run 0 bench attention --csv --what linear_recurrent,softmax_cached --heads 1 --dim 16 --length 64,16,64 --seconds 0.01
grep -oE '^attention,(softmax|linear)_.*' out | cut -d, -f2,7 >lengths
printf '%s\n' softmax_cached,16 linear_recurrent,16 softmax_cached,64 linear_recurrent,64 >wanted
same lengths wanted "lengths are not told ascending, each once"
[ -n "${RILL_SANITIZE:-}" ] || # not held back by noise: twice the exponent lies between
    figures 'v("what") != "exponent" || v("measure") != "total" || (v("of") ~ /quadratic/ ? v("exponent") > 1.4 : v("of") !~ /recurrent/ || v("exponent") < 1.4)'
run 0 bench attention --what linear_recurrent --dim 8 --length 20 --seconds 0.01
told '^linear_recurrent +20 '

# stream: the same columns as JSON, in CSV; a path with commas and quotes stays one cell
run 2 bench stream --json --csv
run 0 bench stream --csv --seconds 8
figures 'v("bench") == "stream" && near(v("audio_seconds"), 8) && v("real_time_factor") > 0 && v("bytes_a_stream") > 0'
figures 'v("push_ms_p50") <= v("push_ms_p99") && v("push_ms_p99") <= v("push_ms_p999") && v("push_ms_p999") <= v("push_ms_max")'
figures 'v("real_time_factor") < 0.001 || near(v("streams_a_core") * v("real_time_factor"), 1)'
head -1 out >columns
run 0 bench stream --json --seconds 8
grep -oE '"[a-z_0-9]+": ' out | tr -d '": ' | paste -sd, >members
same columns members "CSV and JSON of bench stream differ in what they tell"
"$make_audio" talk 'a, "b".wav' 16000 1 2
run 0 bench stream --csv 'a, "b".wav'
told '^stream,[a-z0-9]+,"a, ""b"".wav",2,'
run 0 bench stream --seconds 2
told '^real-time factor +0\.[0-9]+: an hour in [0-9]+ s, '

# paper: what is summed up from five lengths is about what a whole image takes; no figure of the paper for a part
run 0 bench paper --csv --data mnist --steps 24
figures 'near(v("seconds_an_image") * v("images_a_second"), 1) && v("paper_cpu_seconds_an_image") == ""'
figures 'v("error") < 1e-3 && v("layers") == 8 && v("length") == 24'
summed=$(sed -n 2p out | cut -d, -f11)
run 0 bench paper --csv --data mnist --steps 24 --whole
figures 'v("estimated") == "false"'
made=$(sed -n 2p out | cut -d, -f11)
awk "BEGIN { exit !($summed > $made / 2 && $summed < $made * 2) }" || fail "$summed s summed up, $made s made"
run 2 bench paper --data imagenet
run 2 bench paper --steps 2
run 2 bench paper --steps 5.5

# the report: from rows alone, nothing is run; pictures where cairo was there to build with
run 0 bench machine --json
told '^\{"bench": "machine", "processor": '
cp out rows.jsonl
run 0 bench attention --json --heads 2 --dim 8 --length 16,32,64 --seconds 0.01
cat out >>rows.jsonl
run 0 bench kernels --json --dim 64 --length 1024 --what prefill,step --rule linear --seconds 0.01
cat out >>rows.jsonl
row='{"bench": "kernels", "what": "a <b>peer</b>", "peer": "<b>\"peer\"", "rule": "linear", "key_dim": 64, "length": 1024, "threads": 1, "ns_per_token_head": 1e3}'
echo "$row" >peers.jsonl
run 0 bench report page rows.jsonl --json
cmp -s out rows.jsonl || fail "--json does not print the rows that it was given"
run 0 bench report page rows.jsonl peers.jsonl
said '^page/index.html$'
grep -q '&lt;b&gt;peer' page/index.html || fail "the page lacks the peer"
grep -q '<b>' page/index.html && fail "rows reach the page unescaped"
grep -q 'linear_recurrent' page/index.html || fail "the page lacks its rows"
if grep -q 'without cairo' err; then
    [ -z "$(ls page/*.png page/*.svg 2>/dev/null)" ] || fail "pictures without cairo"
else
    for picture in attention-total attention-next-token attention-memory kernels peers; do
        [ "$(head -c 8 page/$picture.png | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail "$picture.png is none"
        grep -q '</svg>' page/$picture.svg || fail "$picture.svg is none"
        grep -q "src=\"$picture.svg\"" page/index.html || fail "the page does not show $picture"
    done
    [ ! -e page/paper.png ] || fail "a picture of nothing"
    mkdir -p taken/kernels.svg
    run 5 bench report taken rows.jsonl
    said '^rill: taken/kernels.svg could not be written: '
fi
# a curve is of one run, though others lie beside it
run 0 bench attention --json --heads 2 --dim 16 --length 32,64,128 --seconds 0.01
cat rows.jsonl out rows.jsonl >runs.jsonl
run 0 bench report runs runs.jsonl
for picture in attention-total attention-next-token attention-memory; do
    [ ! -e page/$picture.svg ] || cmp -s page/$picture.svg runs/$picture.svg || fail "$picture mixes runs"
done
# pictures of 8 heads are of 8 heads
sed 's/"heads": 8/"heads": 4/' rows.jsonl >four.jsonl
run 0 bench report four four.jsonl
[ ! -e four/kernels.png ] || fail "4 heads are shown as 8"
echo '[1]' >broken.jsonl
run 1 bench report page broken.jsonl
said 'broken.jsonl: row 1'
printf '{"bench": "kernels"' >broken.jsonl
run 1 bench report page broken.jsonl
echo '{"bench": 1, "what": [], "length": "x", "key_dim": {}}' >strange.jsonl
run 0 bench report page strange.jsonl
run 1 bench report page missing.jsonl
run 5 bench report no/such/folder rows.jsonl
run 2 bench report

# --quiet leaves the heading out
run 0 bench kernels --quiet --what step --rule linear --dim 8 --seconds 0.02
[ "$(head -c 5 out)" = 'step ' ] || fail "--quiet tells a heading"

finish
