#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs one example in its own folder and compares what it prints on stdout with its expected.txt.
#   run_example.sh FORETRAIN EXAMPLE_FOLDER
# The command is `foretrain simulate run.toml`, unless a file named `command` holds another.
# UPDATE_GOLDEN=1 writes expected.txt instead.
set -euo pipefail

foretrain=$(realpath "$1")
cd "$2"

command="foretrain simulate run.toml"
if [[ -f command ]]; then
  command=$(<./command)
fi

actual=$(mktemp)
trap 'rm -f "$actual"' EXIT

# The examples name the program as a person does: the binary under test comes first in PATH.
status=0
PATH="${foretrain%/*}:$PATH" bash -euo pipefail -c "$command" >"$actual" || status=$?
if ((status != 0)); then
  cat "$actual"
  echo "'$command' in $2 ended with status $status" >&2
  exit 1
fi

if [[ ${UPDATE_GOLDEN:-} == 1 ]]; then
  cp "$actual" expected.txt
fi
diff -u expected.txt "$actual" || {
  echo "$2: stdout of '$command' differs; UPDATE_GOLDEN=1 ./dev test -R examples/ rewrites it" >&2
  exit 1
}
