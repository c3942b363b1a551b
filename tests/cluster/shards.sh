#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sweeps in two shards, as `sweep --emit` distributes them, must find what one process finds: through
# GNU parallel and, where Slurm can be brought up on this machine (as root, with the packages
# slurm-wlm and munge), through a job array. Slurm gets its own folder, ports and key; nothing of it
# is left behind.
#   shards.sh FORETRAIN
set -euo pipefail

FORETRAIN=$(realpath "$1")
export FORETRAIN
work=$(mktemp -d)
chmod 711 "$work" # munge's socket must be reachable for all
daemons=()

finish() {
  local daemon
  for daemon in "${daemons[@]}"; do # by their ids, and these alone
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

cd "$work"
mkdir bin
ln -s "$FORETRAIN" bin/foretrain
PATH=$work/bin:$PATH

cat >run.toml <<'END'
model    = "gpt2"
platform = "dgx-a100-40gb"
nodes    = 1

[training]
sequence_length = 128
global_batch    = 8
END
# 5 x 4 x 2 points, of which those with tensor x pipeline > 8 or micro-batches that do not fit the
# batch are refused.
sweep=(run.toml --vary parallel.tensor=1..16 --vary parallel.pipeline=1,2,3,4
  --vary training.micro_batch=1,2)

# same JOURNAL: whether it has what one process found.
same() {
  foretrain sweep export "$1" --format csv 2>/dev/null | cmp - whole.csv
}

whole() {
  foretrain sweep "${sweep[@]}" --journal whole.sqlite --quiet 2>/dev/null
  foretrain sweep export whole.sqlite --format csv >whole.csv 2>/dev/null
  [[ $(wc -l <whole.csv) == 41 ]] && grep -q ,predicted, whole.csv && grep -q ,refused, whole.csv
}

with_parallel() {
  foretrain sweep "${sweep[@]}" --journal parallel.sqlite --emit parallel --shards 2 >parallel.sh
  bash parallel.sh 2>parallel.log || {
    cat parallel.log
    return 1
  }
  same parallel.sqlite
}

# start NAME COMMAND...: a daemon in the foreground of a process of its own.
start() {
  local name=$1
  shift
  "$@" >"$name.out" 2>&1 &
  daemons+=($!)
}

# within SECONDS COMMAND...: until it succeeds.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

slurm_conf() {
  cat <<END
ClusterName=foretrain
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES State=UP OverSubscribe=FORCE:4
END
}

# Why Slurm cannot be brought up here; nothing when it runs.
bring_up_slurm() {
  local program host
  host=$(hostname -s)
  for program in munged slurmctld slurmd sbatch squeue sinfo; do
    PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || {
      echo "there is no $program (packages slurm-wlm and munge)"
      return
    }
  done
  ((EUID == 0)) || {
    echo "only root can start slurmd"
    return
  }
  mkdir state spool
  (umask 077 && head -c 1024 /dev/urandom >munge.key)
  export SLURM_CONF=$work/slurm.conf
  slurm_conf >"$SLURM_CONF"
  start munged /usr/sbin/munged --foreground --force --key-file="$work/munge.key" \
    --socket="$work/munge.socket" --pid-file="$work/munged.pid" --seed-file="$work/munge.seed"
  within 10 munge --socket="$work/munge.socket" -n || {
    echo "munged does not answer: $(tail -n 1 munged.out)"
    return
  }
  start slurmctld /usr/sbin/slurmctld -D
  start slurmd /usr/sbin/slurmd -D -N "$host"
  within 30 idle_node || echo "no idle node after 30 s: $(tail -qn 1 slurmctld.log slurmd.log)"
}

idle_node() { [[ $(sinfo --noheader --format=%t) == idle ]]; }
all_over() { [[ -z $(squeue --noheader) ]]; }

with_slurm() {
  foretrain sweep "${sweep[@]}" --journal slurm.sqlite --emit slurm --shards 2 >sweep.sh
  bash sweep.sh >/dev/null || return 1
  within 60 all_over || {
    squeue
    tail -n 5 slurmctld.log slurmd.log
    return 1
  }
  same slurm.sqlite || {
    tail -n 5 foretrain-sweep-*.log
    return 1
  }
}

failed=0
outcome() { # outcome NAME COMMAND...
  local name=$1 started=$SECONDS
  shift
  if "$@"; then
    echo "two shards with $name: the same as in one process, $((SECONDS - started)) s"
  else
    echo "two shards with $name: FAILED"
    failed=1
  fi
}

whole
outcome "GNU parallel" with_parallel
bring_up_slurm >why_not # not in a subshell: it notes the daemons
if [[ -s why_not ]]; then
  echo "two shards with Slurm: SKIPPED: $(<why_not)"
else
  outcome Slurm with_slurm
fi
exit "$failed"
