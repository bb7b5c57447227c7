#!/usr/bin/env bash
# Runs the tests, tier by tier: `check` needs no lab, `all` is everything.
# With CI=true, leaving a tier out is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
begun=$SECONDS
declare -a parts=()

part() { # part NAME COMMAND…: runs it, and remembers how long it took
  local name=$1 start=$SECONDS
  shift
  echo "── $name"
  "$@"
  parts+=("$(printf '%5ds  %s' $((SECONDS - start)) "$name")")
}

without_lab() {
  part "lint" "$bin/ruff" check --quiet .
  part "format" "$bin/ruff" format --quiet --check .
  part "types" "$bin/mypy"
  part "layers" "$bin/lint-imports" --no-cache
  part "tests without the lab" "$bin/coverage" run -m pytest -q -m "not lab" -n 2 --timeout 120
}

lab_missing() { # why the lab cannot run here; nothing where it can
  [ "$(uname -s)" = Linux ] || { echo "this is $(uname -s), and the lab needs Linux"; return; }
  [ "$(id -u)" = 0 ] || echo "the lab needs root"
}

with_lab() {
  local why
  why=$(lab_missing)
  if [ -n "$why" ]; then
    echo "══ LEFT OUT: every test on the lab's three real clusters: $why ══" >&2
    [ "${CI:-}" != true ] || { echo "CI=true: leaving a tier out is a failure" >&2; exit 1; }
    return
  fi
  part "lab up" "$bin/python" -m lab up
  eval "$("$bin/python" -m lab env)"
  part "tests on the lab" "$bin/coverage" run -m pytest -q -m lab --timeout 420 --durations 10
  part "lab down" "$bin/python" -m lab down
}

rm -f .coverage .coverage.*
without_lab
[ "${1:-all}" = check ] || with_lab
"$bin/coverage" combine --quiet
"$bin/coverage" report --sort=cover | tail -n 15
echo "── time"
printf '%s\n' "${parts[@]}" "$(printf '%5ds  in all' $((SECONDS - begun)))"
