#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Run every lint check and say how each went. Each prints its findings as file:line: what to do.
set -euo pipefail

: "${BUILD:=build}"
export BUILD PYTHONDONTWRITEBYTECODE=1
checks=("$@")
[[ ${#checks[@]} -gt 0 ]] || checks=(format layers sizes words headers scripts buf cppcheck tidy)
passed=0
failed=()

mkdir -p "$BUILD/lint" "$BUILD/log"
for check in "${checks[@]}"; do
    log=$BUILD/log/lint-$check.log
    start=$SECONDS
    case $check in
        layers | sizes | words) command=(/usr/bin/python3 "mk/lint/$check.py") ;;
        *) command=(/usr/bin/python3 mk/lint/compilers.py "$check") ;;
    esac
    if "${command[@]}" >"$log" 2>&1; then
        passed=$((passed + 1))
        printf '  %-9s ok  %d s\n' "$check" $((SECONDS - start))
    else
        failed+=("$check")
        cat "$log"
        printf '  %-9s FAILED  %d s\n' "$check" $((SECONDS - start))
    fi
done
echo "$passed ${#failed[@]}" >"$BUILD/log/lint.summary"
echo "lint: $passed checks passed, ${#failed[@]} failed${failed[*]:+: ${failed[*]}}"
[[ ${#failed[@]} -eq 0 ]]
