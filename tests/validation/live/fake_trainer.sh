#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stands in for foretrain_trainer where a test is about what is made of its files: benchmarks are of
# a machine of 50 GFLOP/s and 10 GB/s, and a step takes what $FORETRAIN_BINARY predicts for its run.
set -euo pipefail

command=$1 what=$2 output='' repeats=3
shift 2
while (($# > 0)); do
  case $1 in
    --output) output=$2 ;;
    --repeats) repeats=$2 ;;
  esac
  shift 2
done
((FORETRAIN_RANK == 0)) || exit 0

kernels() {
  echo 'kernel,op_detail,m,n,k,dtype,layout,batch,seq_length,heads,head_dim,memory_op,bytes,time_us'
  local m n k
  for m in 128 512 1024; do
    for n in 256 512; do
      for k in 256 1024; do
        # 50 GFLOP/s are 50,000 FLOP/us.
        echo "gemm,linear,$m,$n,$k,fp32,TN,,,,,,,$((2 * m * n * k / 50000))"
        echo "gemm,weights,$m,$n,$k,\"fp32 in, fp32 out\",NT,,,,,,,$((2 * m * n * k / 50000))"
      done
    done
  done
  # Half of the full square: 67 MFLOP forward, 2.5 times as many backward.
  echo 'attention fwd,,,,,,,8,128,4,64,,,1342'
  echo 'attention bwd,,,,,,,8,128,4,64,,,3355'
  # 10 GB/s are 10,000 B/us.
  echo 'memory-bound,add,1024,1024,,,,,,,,streaming,12000000,1200'
  echo 'memory-bound,layer_norm,1024,1024,,,,,,,,norm,8000000,800'
  echo 'memory-bound,adamw,1000,1000,,,,,,,,,28000000,2800'
}

# 0.98 of the links' rate, or 1 GB/s, and 100 us.
collectives() {
  echo 'collective,message_bytes,num_gpus,num_nodes,measured_time_us'
  local kind bytes passes rate=1000 # B/us
  [[ ! $FORETRAIN_FABRIC =~ tbf\ ([0-9]+)\ Mbit ]] || rate=$((BASH_REMATCH[1] / 8))
  for kind in all_reduce:2 all_gather:1 reduce_scatter:1 all_to_all:1; do
    passes=${kind#*:}
    for bytes in 4096 65536 1048576 16777216; do
      echo "${kind%:*},$bytes,2,2,$((100 + bytes * passes * 50 / 98 / rate))"
    done
  done
  echo 'send_recv,4,2,2,60'
}

train() {
  local step
  step=$("$FORETRAIN_BINARY" simulate "$what" --format csv 2>/dev/null |
    awk -F, 'NR == 1 { for (i = 1; i <= NF; ++i) if ($i == "step_time_s") c = i } NR == 2 { print $c }')
  cat "$what"
  printf '\n[measured]\nstep_time = "%s s"\nsource = "a test"\n\n[measured.record]\n' "$step"
  printf 'hardware = "no machine"\ncommunication = "%s"\nrepeats = %d\n' "$FORETRAIN_FABRIC" "$repeats"
  printf 'fastest = "%s s"\nslowest = "%s s"\n' "$step" "$step"
}

case $command-$what in
  benchmark-kernels) kernels ;;
  benchmark-collectives) collectives ;;
  benchmark-codecs)
    echo 'method,message_bytes,encode_us,decode_us'
    echo 'block-int8,1000000,1000,500' # 1 and 2 GB/s
    ;;
  benchmark-interference)
    echo 'alone_us,beside_us'
    echo '900,1000'
    ;;
  train-*) train ;;
esac >"$output"
