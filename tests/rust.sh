#!/usr/bin/env bash
# Runs what `cargo test` runs, most of it side by side.
#
# Most of these programs wait, for a goodbye that nobody answers or a deadline that has to pass: one after the
# other they took near to seven minutes, of which they computed for one and a half. Those that judge what
# something costs their server, or how long it takes, still run one by one, before the others.
#
#   tests/rust.sh [FOLDER]    FOLDER: for the log of each program (default: one that is gone at the end)
#
# Ends with 1 if one of them failed; what that one said stands last.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."

# They judge a time by the second, count what the whole machine uses, or fill it by themselves.
alone=" backend clock drip flood heartbeat hoard mixed "
# Programs at a time, and tests at a time in each of them.
programs_max=4
threads=4
# Where rings are charged to the user, and that user may not lock much, fewer servers have room.
locked_kib=$(ulimit -l)
if [ "$(id -u)" -ne 0 ] && [ "$locked_kib" != unlimited ] && [ "$locked_kib" -lt 32768 ]; then
  programs_max=2
  threads=2
fi

logs=${1:-$(mktemp -d)}
[ -n "${1:-}" ] || trap 'rm -rf "$logs"' EXIT
mkdir -p "$logs"
rm -f "$logs"/*.log "$logs"/*.ok "$logs"/*.failed

# Lines of a program's path, for each that cargo test would run.
programs() {
  cargo test --locked --no-run --message-format=json |
    sed -n '/"profile":{[^}]*"test":true/s/.*"executable":"\([^"]*\)".*/\1/p'
}

# run NAME COMMAND...; leaves NAME.ok or NAME.failed.
run() {
  local log=$logs/$1 began=$SECONDS verdict=ok
  shift
  "$@" >"$log.log" 2>&1 || verdict=failed
  {
    echo "--- ${log##*/}: $verdict, $((SECONDS - began)) s"
    cat "$log.log"
  } >"$log.$verdict"
}

mapfile -t all < <(programs)
[ ${#all[@]} -gt 0 ] || { echo "nothing to run: cargo test --no-run says why" && exit 1; }
export CARGO_MANIFEST_DIR=$PWD

together=()
for program in "${all[@]}"; do
  # target/debug/deps/api-0123456789abcdef is api; the library and the program have one name.
  name=${program##*/}
  case $alone in
    *" ${name%-*} "*) run "${name%-*}" "$program" ;;
    *) together+=("$program") ;;
  esac
done

running=0
for program in "${together[@]}"; do
  if [ "$running" -ge "$programs_max" ]; then
    wait -n
    running=$((running - 1))
  fi
  RUST_TEST_THREADS=$threads run "${program##*/}" "$program" &
  running=$((running + 1))
done
wait
run documentation cargo test --locked --doc

cat "$logs"/*.ok
! cat "$logs"/*.failed 2>/dev/null
