#!/usr/bin/env bash
# Runs the tests, tier by tier: `check` is what is quick and needs no lab, `all` is everything.
# With CI=true, leaving a tier out is a failure. With COVERAGE=1, `all` also measures branch coverage, which needs
# half as much CPU time again.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
export PYTHONDONTWRITEBYTECODE= # without bytecode, each program that is started compiles istio-mc again
begun=$SECONDS
declare -a parts=() again=() examples=() measured=("$bin/python")
[ "${COVERAGE:-}" != 1 ] || measured=("$bin/coverage" run)

part() { # part NAME COMMAND…: runs it, and remembers how long it took
  local name=$1 start=$SECONDS
  shift
  echo "── $name"
  local status=0
  "$@" || status=$?
  parts+=("$(printf '%5ds  %s' $((SECONDS - start)) "$name")")
  return "$status"
}

once_more() { # once_more COMMAND…: runs pytest; a few tests that fail run again, alone, and are named
  # Many tests wait for deadlines or for clusters: on a busy machine one may be too late. What fails twice is a fault.
  local status=0 failed cache=.pytest_cache/v/cache/lastfailed
  rm -f "$cache"
  "$@" || status=$?
  [ "$status" = 1 ] || return "$status"
  failed=$("$bin/python" -c 'import json; print(*json.load(open("'"$cache"'")), sep="\n")')
  [ "$(wc -l <<<"$failed")" -le 2 ] || return "$status"
  again+=("$failed")
  echo "── once more, alone: $failed"
  "$@" -n 0 --last-failed --last-failed-no-failures none
}

load_once() { # in a new clone, has one process compile every test module: each worker would do it again
  compgen -G "tests/*/__pycache__/test_*-pytest-*.pyc" >/dev/null ||
    "$bin/python" -m pytest -q --collect-only -p no:cacheprovider >/dev/null 2>&1 || true # what fails, fails below
}

without_lab() { # without_lab TESTS PYTHON…: which tests, as pytest's -m takes them, and what runs them
  local tests=$1 status=0 layers types imports mypy
  shift
  part "lint" "$bin/ruff" check --quiet .
  part "format" "$bin/ruff" format --quiet --check .
  # Many tests wait for deadlines: so layers and types are checked beside them, and four workers on two processors.
  layers=$(mktemp) types=$(mktemp)
  "$bin/lint-imports" --no-cache >"$layers" 2>&1 &
  imports=$!
  "$bin/mypy" >"$types" 2>&1 &
  mypy=$!
  load_once
  part "tests without the lab" once_more "$@" -m pytest -q -m "$tests" "${examples[@]}" -n 4 --dist worksteal --timeout 120 ||
    status=$?
  part "layers, beside the tests" wait "$imports" || status=$?
  part "types, beside the tests" wait "$mypy" || status=$?
  cat "$layers" "$types"
  rm "$layers" "$types"
  return "$status"
}

with_lowest_versions() { # with the lowest versions that pyproject.toml declares, every verb starts and works
  part "lowest versions: packages" make --quiet .venv-lowest/ready
  part "lowest versions: tests" once_more .venv-lowest/bin/python -m pytest -q -m "not lab and not thorough" -n 3 \
    --dist worksteal --timeout 120 tests/cli tests/gateways tests/present tests/verbs/test_install.py
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
  # Each folder is a part with its own time; one that fails does not keep the others from being run. In this
  # order each begins with the mesh that the one before has left; the last two take it away, and the lab.
  local folder failed=0 rest=()
  for folder in tests/e2e_guide tests/e2e tests/faults tests/e2e_life tests/lab; do
    part "tests on the lab: ${folder#tests/}" on_lab "$folder" || failed=1
    rest+=(--ignore "$folder")
  done
  part "tests on the lab: elsewhere" on_lab tests "${rest[@]}" || failed=1
  part "lab down" "$bin/python" -m lab down
  [ "$failed" = 0 ] || { echo "══ tests on the lab failed: see above ══" >&2; times; exit 1; }
}

on_lab() { # the lab's tests of a folder; that there are none is no failure
  local status=0
  once_more "${measured[@]}" -m pytest -q -m lab --timeout 420 --durations 5 "$@" || status=$?
  [ "$status" = 5 ] || return "$status"
}

times() { # how long each part took
  [ "${#again[@]}" = 0 ] || printf '══ failed at first and was run once more; find out why: %s ══\n' "${again[@]}"
  echo "── time"
  printf '%s\n' "${parts[@]}" "$(printf '%5ds  in all' $((SECONDS - begun)))"
}

if [ "${1:-all}" = check ]; then # without tests that start many programs or wait long
  without_lab "not lab and not thorough" "$bin/python"
  times
  exit
fi
rm -f .coverage .coverage.*
examples=(--hypothesis-profile many) # of what tests generate
without_lab "not lab" "${measured[@]}"
part "documentation as a site" make --quiet site
with_lowest_versions
with_lab
if [ "${COVERAGE:-}" = 1 ]; then
  "$bin/coverage" combine --quiet
  "$bin/coverage" report --sort=cover | tail -n 15
fi
times
