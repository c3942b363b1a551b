#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Starts the ranks of a distributed program on this machine. With --rate every rank is a node of its
# own: a network namespace, joined to a bridge by a veth pair of which tc shapes both ends. That needs
# root; without it the ranks talk over loopback, and stderr says so.
#
# A rank finds in its environment FORETRAIN_RANK, FORETRAIN_WORLD_SIZE, FORETRAIN_RENDEZVOUS (a fresh
# folder that all ranks see), FORETRAIN_INTERFACE and FORETRAIN_FABRIC (what joins the ranks, in
# words); {rank} in its arguments becomes its number. Rank 0 has stdout and stderr. When a rank fails
# the others are stopped, and its stderr and exit code are returned.
set -euo pipefail

usage() {
  cat <<'END_OF_USAGE'
usage: launch.sh --ranks N [--rate RATE] [--pin] [--busy RANK] [--alone] -- PROGRAM [ARG...]

  --ranks N     processes to start
  --rate RATE   of each rank's link, each way, in tc's words: 400Mbit, 1Gbit
  --pin         rank r runs on the r-th of this machine's cores, round robin
  --busy RANK   another program takes half of that rank's core all the time; needs --pin
  --alone       each is rank 0 of a world of one, while the others run beside it
END_OF_USAGE
}

say() { printf 'launch.sh: %s\n' "$*" >&2; }

stop() {
  say "$*"
  usage >&2
  exit 2
}

ranks='' rate='' pin=false busy='' alone=false
while (($# > 0)); do
  case $1 in
    --ranks | --rate | --busy) (($# > 1)) || stop "$1 needs a value" ;;&
    --ranks) ranks=$2 && shift 2 ;;
    --rate) rate=$2 && shift 2 ;;
    --busy) busy=$2 && shift 2 ;;
    --pin) pin=true && shift ;;
    --alone) alone=true && shift ;;
    --help | -h) usage && exit 0 ;;
    --) shift && break ;;
    *) stop "unknown option '$1'" ;;
  esac
done
[[ $ranks =~ ^[1-9][0-9]{0,2}$ ]] && ((ranks <= 250)) || stop "--ranks is a number from 1 to 250"
[[ -z $rate || $rate =~ ^([1-9][0-9]{0,5})(Mbit|Gbit)$ ]] || stop "--rate is such as 400Mbit or 1Gbit"
[[ -z $busy || $busy =~ ^[0-9]{1,3}$ ]] && ((${busy:-0} < ranks)) || stop "--busy is a rank"
[[ -z $busy ]] || $pin || stop "--busy needs --pin"
(($# > 0)) || stop "no program to start"

# The cores that this process may use: Cpus_allowed_list is such as 0-3,8.
cores=()
while IFS=- read -r first last; do
  for ((core = first; core <= ${last:-$first}; ++core)); do
    cores+=("$core")
  done
done < <(awk '/^Cpus_allowed_list:/ { gsub(",", "\n", $2); print $2 }' /proc/self/status)

folder=$(mktemp -d "${TMPDIR:-/tmp}/foretrain-launch.XXXXXX")
spaces=() # network namespaces that were made
declare -A rank_of=() # of each process that runs

clean_up() {
  trap '' INT TERM HUP
  local child space tenths
  for child in $(jobs -rp); do
    kill -TERM "$child" 2>/dev/null || true
  done
  for ((tenths = 0; tenths < 20; ++tenths)); do
    [[ -n $(jobs -rp) ]] || break
    sleep 0.1
  done
  for child in $(jobs -rp); do
    kill -KILL "$child" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  for space in "${spaces[@]}"; do
    ip netns delete "$space" 2>/dev/null || true # and with it its ends of veth pairs
  done
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Bytes that may go out at once: what 0.25 ms carry, so that the rate holds for small messages too;
# at least one segment of 64 KiB as TCP hands it over, since cutting it up costs the processor more
# than sending it (of a core that sends 1 Gbit/s, 56 % instead of 19 %). The queue holds 50 ms, so that
# nothing is dropped while TCP learns the rate.
packet=9000
segment=72000
shape() { # shape NAMESPACE INTERFACE
  local bits=${rate%?bit} burst
  [[ $rate == *Mbit ]] && bits=$((bits * 1000000)) || bits=$((bits * 1000000000))
  burst=$((bits / 8 / 4000))
  ((burst >= segment)) || burst=$segment
  tc -n "$1" qdisc add dev "$2" root tbf rate "$rate" burst "$burst" latency 50ms
}

add_space() {
  ip netns add "$1" || return
  spaces+=("$1")
  ip -n "$1" link set lo up
}

# Links between steps are idle for longer than TCP remembers what they carry, and BBR, where it is the
# default, takes a flow that comes in bursts for one on a slow link.
tune_tcp() { # tune_tcp NAMESPACE
  ip netns exec "$1" sh -c 'cd /proc/sys/net/ipv4 && echo 0 >tcp_slow_start_after_idle &&
    echo reno >tcp_congestion_control' 2>/dev/null || true
}

# What tbf held back is sent by another core than what it let through: one core receives both, or they
# overtake one another, which TCP takes for a loss (all-reduce of 16 MiB at 2 Gbit/s: 98 instead of
# 68 ms, now and then).
receive_in_order() { # receive_in_order NAMESPACE INTERFACE RANK
  local mask
  printf -v mask '%x' $((1 << cores[$3 % ${#cores[@]}]))
  ip netns exec "$1" sh -c "echo $mask >/sys/class/net/$2/queues/rx-0/rps_cpus" 2>/dev/null || true
}

# A bridge in a namespace of its own, and for every rank a namespace with one link to it.
make_fabric() {
  local name=foretrain-$$ rank
  add_space "$name-hub" &&
    ip -n "$name-hub" link add fabric type bridge &&
    ip -n "$name-hub" link set fabric mtu $packet up || return
  for ((rank = 0; rank < ranks; ++rank)); do
    add_space "$name-$rank" &&
      ip -n "$name-hub" link add "port$rank" mtu $packet type veth \
        peer name fabric0 mtu $packet netns "$name-$rank" &&
      ip -n "$name-hub" link set "port$rank" master fabric up &&
      ip -n "$name-$rank" address add "10.0.0.$((rank + 1))/24" dev fabric0 &&
      ip -n "$name-$rank" link set fabric0 up &&
      { ((ranks == 2)) || shape "$name-hub" "port$rank"; } && # of two, what one gets the other sent
      shape "$name-$rank" fabric0 || return
    tune_tcp "$name-$rank"
    receive_in_order "$name-hub" "port$rank" $rank
    receive_in_order "$name-$rank" fabric0 $rank
  done
}

export FORETRAIN_WORLD_SIZE=$ranks FORETRAIN_RENDEZVOUS=$folder/rendezvous
export FORETRAIN_INTERFACE=lo FORETRAIN_FABRIC=loopback
mkdir "$FORETRAIN_RENDEZVOUS"
if [[ -n $rate ]]; then
  reason='' # why there are no namespaces
  ((EUID == 0)) || reason='needs root'
  command -v ip >/dev/null && command -v tc >/dev/null || reason='needs ip and tc (package iproute2)'
  if [[ -z $reason ]]; then
    make_fabric 2>"$folder/fabric" || reason=$(tail -n 1 "$folder/fabric")
  fi
  if [[ -z $reason ]]; then
    FORETRAIN_INTERFACE=fabric0
    FORETRAIN_FABRIC="veth pairs and a bridge, tc tbf ${rate%?bit} ${rate#"${rate%?bit}"}/s"
  else
    say "no links of $rate: ${reason:-refused}; the ranks talk over loopback"
  fi
fi

for ((rank = 0; rank < ranks; ++rank)); do
  core=${cores[rank % ${#cores[@]}]}
  command=("${@//'{rank}'/$rank}")
  if $pin; then
    command=(taskset -c "$core" "${command[@]}")
  fi
  if [[ $FORETRAIN_INTERFACE != lo ]]; then
    command=(ip netns exec "foretrain-$$-$rank" "${command[@]}")
  fi
  export FORETRAIN_RANK=$rank
  if $alone; then
    FORETRAIN_RANK=0 FORETRAIN_WORLD_SIZE=1 FORETRAIN_RENDEZVOUS=$folder/rendezvous-$rank
    mkdir "$FORETRAIN_RENDEZVOUS"
  fi
  if ((rank == 0)); then
    "${command[@]}" &
  else
    "${command[@]}" >/dev/null 2>"$folder/stderr-$rank" &
  fi
  rank_of[$!]=$rank
  if [[ $rank == "$busy" ]]; then
    taskset -c "$core" bash -c 'while :; do :; done' &
  fi
done

while ((${#rank_of[@]} > 0)); do
  code=0
  ended=
  wait -n -p ended "${!rank_of[@]}" || code=$?
  if [[ -z $ended ]]; then # one had ended before wait began to look
    ended=${!rank_of[*]}
    ended=${ended%% *}
    code=0
    wait "$ended" || code=$?
  fi
  rank=${rank_of[$ended]}
  if ((code != 0)); then
    [[ ! -s $folder/stderr-$rank ]] || cat "$folder/stderr-$rank" >&2
    say "rank $rank ended with exit code $code"
    exit "$code"
  fi
  unset "rank_of[$ended]"
done
