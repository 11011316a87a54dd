#!/bin/sh
# A campaign of libFuzzer over the targets of tests/fuzz, one after another, on the stable toolchain.
# usage: campaign.sh SECONDS [TARGET...]     and JOBS=N to run N targets at a time
#
# Each target starts from tests/fuzz/corpus/TARGET and keeps what it learns in target/fuzz/corpus.
# At the end: a line for each target, the same as a table in target/fuzz/campaign.md, and exit code
# 1 if there is a finding. Findings stay in target/fuzz/artifacts, each with the command that
# replays it.
#   campaign.sh minimise [TARGET...]     what was learnt, as few and as short inputs as cover it,
#                                        into tests/fuzz/corpus
#   campaign.sh table                    the last campaign of every target, into
#                                        docs/fuzzing-campaign.md
set -eu

what="${1:?seconds for each target, or: minimise, table}"
shift
repository=$(cd "$(dirname "$0")/../.." && pwd)
cd "$repository"
folder="$repository/${CARGO_TARGET_DIR:-target}/fuzz"
case "${CARGO_TARGET_DIR:-}" in /*) folder="$CARGO_TARGET_DIR/fuzz" ;; esac
host=$(rustc --print host-tuple)

build() {
    CARGO_TARGET_DIR="$folder/build" RUSTC_WRAPPER="$repository/tests/fuzz/rustc.sh" \
        "${CARGO:-cargo}" build --quiet \
        --profile fuzz --target "$host" --package sealsum-fuzz --features libfuzzer
}

program="$folder/build/$host/fuzz/sealsum-fuzz"
committed="$repository/tests/fuzz/corpus"
options='-rss_limit_mb=2048 -timeout=20 -max_len=16384 -print_final_stats=1'

# The last value that libFuzzer printed of a statistic.
last() {
    sed -n "s/.*$2 *\([0-9][0-9]*\).*/\1/p" "$1" | tail -n1
}

fuzz() {
    target=$1 log="$folder/logs/$1.log"
    mkdir -p "$folder/corpus/$target" "$folder/artifacts/$target" "$folder/logs"
    echo "fuzzing $target for $what s" >&2
    status=0
    # shellcheck disable=SC2086
    SEALSUM_FUZZ_TARGET="$target" "$program" $options -max_total_time="$what" \
        -artifact_prefix="$folder/artifacts/$target/" \
        "$folder/corpus/$target" "$committed/$target" >"$log" 2>&1 || status=$?
    executions=$(last "$log" 'stat::number_of_executed_units:')
    edges=$(last "$log" ' cov:')
    files=$(find "$folder/corpus/$target" "$committed/$target" -type f | wc -l)
    verdict='none'
    [ "$status" = 0 ] || verdict='**found**'
    echo "| $target | $what | ${executions:-0} | ${edges:-0} | $files | $verdict |" >"$folder/logs/$target.row"
    [ "$status" = 0 ] || finding "$target" "$log"
}

finding() {
    input=$(sed -n 's/.*Test unit written to //p' "$2" | tail -n1)
    {
        echo "FINDING in $1: $(grep -m1 -E 'panicked at|ERROR: libFuzzer|ERROR: Address' "$2" || echo "see $2")"
        grep -m1 -A1 'panicked at' "$2" | tail -n1
        echo "replay: SEALSUM_FUZZ_TARGET=$1 $program $input"
    } >&2
}

hash='????????????????????????????????????????'

minimise() {
    target=$1 small="$folder/small/$1"
    rm -rf "$small"
    mkdir -p "$small" "$folder/corpus/$target"
    SEALSUM_FUZZ_TARGET="$target" "$program" -set_cover_merge=1 -rss_limit_mb=2048 "$small" \
        "$folder/corpus/$target" "$committed/$target" >/dev/null 2>&1
    # Inputs that have a name stay; of those that libFuzzer named by their hash the shortest do, up
    # to 40 files and 100 KB.
    mkdir -p "$committed/$target"
    find "$committed/$target" -type f -name "$hash" -delete
    kept=$(find "$committed/$target" -type f | wc -l)
    bytes=$(cat "$committed/$target"/* 2>/dev/null | wc -c)
    find "$small" -type f -printf '%s %p\n' | sort -n |
        awk -v files="$kept" -v sum="$bytes" '(sum += $1) <= 100000 && ++files <= 40' |
        while read -r _ input; do
            cp "$input" "$committed/$target/"
        done
}

rows() {
    echo '| target | seconds | executions | edges | corpus | findings |'
    echo '|---|---|---|---|---|---|'
    for target in $targets; do cat "$folder/logs/$target.row"; done
}

build
targets="$*"
# Without a target the program names them all.
[ -n "$targets" ] || targets=$("$program" -runs=0 2>&1 | sed -n 's/^SEALSUM_FUZZ_TARGET: one of //p')
case "$what" in
minimise)
    for target in $targets; do minimise "$target"; done
    exit
    ;;
table)
    {
        printf '# The last fuzzing campaign\n\nMade by `make fuzz-table`; see [fuzzing.md](fuzzing.md).\n\n'
        rows
    } >docs/fuzzing-campaign.md
    exit
    ;;
esac

running=0
for target in $targets; do
    fuzz "$target" &
    running=$((running + 1))
    if [ "$running" -ge "${JOBS:-1}" ]; then
        wait
        running=0
    fi
done
wait

table="$folder/campaign.md"
rows >"$table"
cat "$table"
! grep -q found "$table"
