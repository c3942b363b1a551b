#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that a machine with a GPU should tell, in one go and within ten minutes, in the order of
# worth: what is cut off at the end is the least. Each part writes a file of its own when it is done;
# a part that fails or runs out of time leaves its log and costs the others nothing.
#
# It needs bash, coreutils, the driver, and a program that was built anywhere with the same CUDA major
# version. To bring one from another machine, build the target foretrain_trainer_bundle: the folder
# build/.../foretrain_trainer_bundle then holds foretrain_trainer, foretrain_cuda_tests, the libraries
# that a bare machine lacks (found by $ORIGIN), launch.sh, this script and the stacks; CUDA's own
# libraries are looked for in LD_LIBRARY_PATH, in CUDA_HOME/lib64, and in /usr/local/cuda/lib64. Then
#
#   foretrain_trainer_bundle/measure_gpu.sh --out measured
#
# What the multi-rank runs show: that the NCCL path is right, and what sockets carry. All ranks share
# one GPU and loopback, so their times are no prediction of several GPUs.
set -uo pipefail

usage() {
  cat <<'END_OF_USAGE'
usage: measure_gpu.sh [--out DIR] [--budget SECONDS] [--program PATH] [--tests PATH] [--data DIR]

  --out DIR         where results go ($OUT, else ./measured)
  --budget SECONDS  for all of it (600)
  --program PATH    foretrain_trainer (beside this script, else build/release/)
  --tests PATH      foretrain_cuda_tests (beside the program)
  --data DIR        folder with models, platforms and strategies/stacks (beside this script, else the
                    repository)
END_OF_USAGE
}

say() { printf 'measure_gpu: %4d s: %s\n' "$SECONDS" "$*" >&2; }

stop() {
  printf 'measure_gpu: %s\n' "$*" >&2
  usage >&2
  exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${OUT:-measured} budget=600 program='' tests='' data=''
while (($# > 0)); do
  case $1 in
    --out | --budget | --program | --tests | --data) (($# > 1)) || stop "$1 needs a value" ;;&
    --out) out=$2 && shift 2 ;;
    --budget) budget=$2 && shift 2 ;;
    --program) program=$2 && shift 2 ;;
    --tests) tests=$2 && shift 2 ;;
    --data) data=$2 && shift 2 ;;
    --help | -h) usage && exit 0 ;;
    *) stop "unknown option '$1'" ;;
  esac
done
[[ $budget =~ ^[1-9][0-9]{0,5}$ ]] || stop "--budget is a number of seconds"

first_of() { # the first of these paths that exists, else the last
  local path
  for path in "$@"; do
    [[ -e $path ]] && break
  done
  printf '%s' "$path"
}
repository=$(cd "$here/../.." 2>/dev/null && pwd)
program=${program:-$(first_of "$here/foretrain_trainer" "$repository/build/release/foretrain_trainer")}
tests=${tests:-$(dirname "$program")/foretrain_cuda_tests}
data=${data:-$(first_of "$here/data" "$repository")}
[[ -x $program ]] || stop "no program $program: build it, or say --program"
mkdir -p "$out" || stop "cannot make $out"
export FORETRAIN_DATA=$data
export LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}:${CUDA_HOME:-/usr/local/cuda}/lib64:/usr/local/cuda/lib64
# The machine may have the driver's library outside of the loader's path.
for folder in /usr/local/nvidia/lib64 /usr/lib/x86_64-linux-gnu; do
  [[ -e $folder/libcuda.so.1 ]] && LD_LIBRARY_PATH+=:$folder
done

# part NAME SECONDS COMMAND...: within what is left of the budget; stdout and stderr go to the log,
# and how it ended to parts.csv.
echo 'part,started_s,took_s,exit_code' >"$out/parts.csv"
part() {
  local name=$1 seconds=$2 start=$SECONDS code=0
  shift 2
  local left=$((budget - SECONDS - 3))
  ((seconds < left)) || seconds=$left
  if ((seconds < 4)); then
    say "$name: no time left"
    echo "$name,$start,0,skipped" >>"$out/parts.csv"
    return 1
  fi
  timeout --kill-after=3 "$seconds" "$@" >"$out/$name.log" 2>&1 || code=$?
  echo "$name,$start,$((SECONDS - start)),$code" >>"$out/parts.csv"
  if ((code == 0)); then
    say "$name: done"
  else
    say "$name: exit code $code, $(tail -n 1 "$out/$name.log")"
  fi
  return "$code"
}

about_machine() {
  date -u +%Y-%m-%dT%H:%M:%SZ
  uname -a
  grep -m 1 'model name' /proc/cpuinfo
  nproc
  grep -m 1 MemTotal /proc/meminfo
  nvidia-smi -q 2>/dev/null || echo 'no nvidia-smi'
  nvidia-smi topo -m 2>/dev/null || true
  ldd "$1"
  sha256sum "$1"
}
export -f about_machine

# run_file NAME LAYERS HIDDEN HEADS: writes it into runs/ and prints its path.
mkdir -p "$out/runs"
run_file() {
  cat >"$out/runs/$1.toml" <<END_OF_RUN
platform = "unused"
stack = "generic"

[model]
name = "$1"
source = "a GPT of the sizes of Radford et al. 2019 or Brown et al. 2020, with a head of its own"
layers = $2
hidden = $3
heads = $4
vocabulary = 50304
mlp = "plain"
norm = "layer_norm"
position = "learned"
max_positions = 1024
bias = true

[training]
sequence_length = 1024
global_batch = 8
micro_batch = 4
precision = "bf16"
END_OF_RUN
  printf '%s' "$out/runs/$1.toml"
}

# step MODEL MICRO_BATCH RECOMPUTE SECONDS: two micro-batches on one rank.
step() {
  local name=step-$1-$2-$3
  part "$name" "$4" "$program" train "$out/runs/$1.toml" --device cuda --warm-up 3 --repeats 10 \
    --set "training.micro_batch=$2" --set "training.global_batch=$((2 * $2))" \
    --set "training.recompute=\"$3\"" --output "$out/$name.toml" --losses "$out/$name.csv"
}

# ranks NAME RANKS MODEL SETTING...: so many ranks share the GPU.
ranks() {
  local name=ranks-$1-$2 count=$2 model=$3 setting
  shift 3
  local sets=()
  for setting in "$@"; do
    sets+=(--set "$setting")
  done
  part "$name" 60 "$here/launch.sh" --ranks "$count" -- "$program" train "$out/runs/$model.toml" \
    --device cuda --warm-up 2 --repeats 3 "${sets[@]}" --output "$out/$name.toml" \
    --losses "$out/$name.csv"
}

# bench NAME SECONDS RANKS WHAT
bench() {
  if (($3 == 1)); then
    part "$1" "$2" "$program" benchmark "$4" --device cuda --output "$out/$1.csv"
  else
    part "$1" "$2" "$here/launch.sh" --ranks "$3" -- "$program" benchmark "$4" --device cuda \
      --output "$out/$1.csv"
  fi
}

say "results go to $out"
part environment 20 bash -c "about_machine '$program'"
if [[ -x $tests ]]; then
  part tests 60 "$tests" --durations yes
else
  say "no tests at $tests"
fi

# NAME LAYERS HIDDEN HEADS. Parameters, with both tables: 163 M, 407 M, 1.42 G, 2.78 G, 3.0 G.
while read -r name layers hidden heads; do
  run_file "$name" "$layers" "$hidden" "$heads" >/dev/null
done <<'END_OF_MODELS'
gpt-124m 12 768 12
gpt-350m 24 1024 16
gpt-1.3b 24 2048 16
gpt-2.7b 32 2560 20
gpt-small 4 512 8
END_OF_MODELS

# The first settings of each size come first; then what varies them.
step gpt-124m 8 none 40
bench kernels 130 1 kernels
step gpt-350m 8 none 40
step gpt-1.3b 4 none 60
step gpt-2.7b 4 none 80
step gpt-124m 32 none 30
step gpt-124m 8 full 30
step gpt-1.3b 4 full 50

# Do all layouts train alike? The losses of ranks-one-1.csv are those that the others should have.
ranks one 1 gpt-small
ranks ddp 2 gpt-small
ranks zero1 2 gpt-small parallel.zero=1
ranks zero2 2 gpt-small parallel.zero=2
ranks zero3 2 gpt-small parallel.zero=3
ranks tensor 2 gpt-small parallel.tensor=2
ranks pipeline 2 gpt-small parallel.pipeline=2
ranks all 4 gpt-small parallel.tensor=2 parallel.pipeline=2 training.micro_batch=2
ranks gpipe 2 gpt-small parallel.pipeline=2 'parallel.schedule="gpipe"'
ranks int8 2 gpt-small 'compression.gradients.method="block-int8"'
ranks fp16 2 gpt-small 'compression.gradients.method="cast"' 'compression.gradients.to="fp16"'
ranks top-k 2 gpt-small 'compression.gradients.method="top-k"'
ranks power-sgd 2 gpt-small 'compression.gradients.method="power-sgd"'
bench collectives 40 2 collectives
bench codecs 40 2 codecs

# What is left goes to more sizes.
step gpt-350m 32 none 40
step gpt-124m 2 none 30
step gpt-2.7b 4 full 80
step gpt-1.3b 16 none 60
step gpt-350m 8 full 40
bench interference 30 2 interference
say "finished; $(grep -c ',0$' "$out/parts.csv") of $(($(wc -l <"$out/parts.csv") - 1)) parts are whole"
