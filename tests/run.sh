#!/usr/bin/env bash
# Runs the tests: `check` is what is quick and needs no lab, `all` is everything, on the lab and beside it.
# With CI=true, leaving a tier out is a failure. With COVERAGE=1, `all` also measures branch coverage, which needs
# half as much CPU time again.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
export PYTHONDONTWRITEBYTECODE= # without bytecode, each program that is started compiles istio-mc again
begun=$SECONDS
declare -a examples=() measured=("$bin/python")
[ "${COVERAGE:-}" != 1 ] || measured=("$bin/coverage" run)
notes=$(mktemp -d) # parts: how long each took; again: the tests that ran twice
trap 'rm -rf "$notes"' EXIT

part() { # part NAME COMMAND…: runs it, and notes how long it took
  local name=$1 start=$SECONDS
  shift
  echo "── $name"
  local status=0
  "$@" || status=$?
  printf '%5ds  %s\n' $((SECONDS - start)) "$name" >>"$notes/parts"
  return "$status"
}

once_more() { # once_more COMMAND…: runs pytest; a few tests that fail run again, alone, and are named
  # Many tests wait for deadlines or for clusters: on a busy machine one may be too late. What fails twice is a fault.
  local status=0 failed cache
  cache=$(mktemp -d "$notes/cache-XXXX")
  "$@" -o cache_dir="$cache" || status=$?
  [ "$status" = 1 ] || return "$status"
  failed=$("$bin/python" -c 'import json; print(*json.load(open("'"$cache"'/v/cache/lastfailed")), sep="\n")')
  [ "$(wc -l <<<"$failed")" -le 2 ] || return "$status"
  echo "$failed" >>"$notes/again"
  echo "── once more, alone: $failed"
  "$@" -o cache_dir="$cache" -n 0 --last-failed --last-failed-no-failures none
}

well_formed() {
  part "lint" "$bin/ruff" check --quiet .
  part "format" "$bin/ruff" format --quiet --check .
}

without_lab() { # without_lab TESTS PYTHON…: which tests, as pytest's -m takes them, and what runs them
  local tests=$1 status=0 imports mypy
  shift
  # Many tests wait for deadlines: so layers and types are checked beside them, and four workers on two processors.
  "$bin/lint-imports" --no-cache >"$notes/layers" 2>&1 &
  imports=$!
  "$bin/mypy" >"$notes/types" 2>&1 &
  mypy=$!
  part "tests without the lab" once_more "$@" -m pytest -q -m "$tests" "${examples[@]}" -n 4 --dist worksteal --timeout 120 ||
    status=$?
  part "layers, beside the tests" wait "$imports" || status=$?
  part "types, beside the tests" wait "$mypy" || status=$?
  cat "$notes/layers" "$notes/types"
  return "$status"
}

with_lowest_versions() { # with the lowest versions that pyproject.toml declares, every verb starts and works
  part "lowest versions: packages" make --quiet .venv-lowest/ready || return
  part "lowest versions: tests" once_more .venv-lowest/bin/python -m pytest -q -m "not lab and not thorough" -n 3 \
    --dist worksteal --timeout 120 tests/cli tests/gateways tests/present tests/verbs/test_install.py
}

lab_missing() { # why the lab cannot run here; nothing where it can
  [ "$(uname -s)" = Linux ] || { echo "this is $(uname -s), and the lab needs Linux"; return; }
  [ "$(id -u)" = 0 ] || echo "the lab needs root"
}

with_lab() {
  part "lab up" "$bin/python" -m lab up || return
  eval "$("$bin/python" -m lab env)"
  # Each folder is a part with its own time; one that fails does not keep the others from being run. In this
  # order each begins with the mesh that the one before has left; the last two take it away, and the lab.
  local folder failed=0 rest=()
  for folder in tests/e2e_guide tests/e2e tests/faults tests/e2e_life tests/lab; do
    part "tests on the lab: ${folder#tests/}" on_lab "$folder" || failed=1
    rest+=(--ignore "$folder")
  done
  part "tests on the lab: elsewhere" on_lab tests "${rest[@]}" || failed=1
  part "lab down" "$bin/python" -m lab down || failed=1
  [ "$failed" = 0 ] || { echo "══ tests on the lab failed: see above ══" >&2; return 1; }
}

on_lab() { # the lab's tests of a folder; that there are none is no failure
  local status=0
  once_more "${measured[@]}" -m pytest -q -m lab --timeout 420 --durations 5 "$@" || status=$?
  [ "$status" = 5 ] || return "$status"
}

times() { # how long each part took
  [ ! -s "$notes/again" ] || sed 's/.*/══ failed at first and was run once more; find out why: & ══/' "$notes/again"
  echo "── time"
  cat "$notes/parts"
  printf '%5ds  in all\n' $((SECONDS - begun))
}

all_without_lab() {
  local status=0
  without_lab "not lab" "${measured[@]}" || status=$?
  part "documentation as a site" make --quiet site || status=$?
  with_lowest_versions || status=$?
  return "$status"
}

well_formed
if [ "${1:-all}" = check ]; then # without tests that start many programs or wait long
  status=0
  without_lab "not lab and not thorough" "$bin/python" || status=$?
  times
  exit "$status"
fi
rm -f .coverage .coverage.*
examples=(--hypothesis-profile many) # of what tests generate
status=0 why=$(lab_missing)
if [ -n "$why" ]; then
  all_without_lab || status=$?
  echo "══ LEFT OUT: every test on the lab's three real clusters: $why ══" >&2
  [ "${CI:-}" != true ] || { echo "CI=true: leaving a tier out is a failure" >&2; status=1; }
else
  # Tests on the lab wait for clusters most of the time: the others run beside them, with what they leave of the
  # processors. With `set -m` their signals are not ignored: tests send them.
  echo "── tests without the lab begin, beside those on the lab: their output comes last"
  set -m
  (trap - EXIT; renice -n 10 -p "$BASHPID" >/dev/null; all_without_lab) >"$notes/beside" 2>&1 &
  beside=$!
  set +m
  trap 'kill -- -"$beside" 2>/dev/null || true; rm -rf "$notes"' EXIT
  with_lab || status=$?
  wait "$beside" || status=$?
  cat "$notes/beside"
fi
if [ "${COVERAGE:-}" = 1 ]; then
  "$bin/coverage" combine --quiet
  "$bin/coverage" report --sort=cover | tail -n 15
fi
times
exit "$status"
