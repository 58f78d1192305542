#!/bin/bash
# run.sh [REPS] [DUR] [OUT] : interleaved main table (S static, G geo by source, E geo by random ECS)
cd "$(dirname "$0")"; . ./srv.sh
# servers that do not ask for a receive buffer get 4 MiB for the run (1024 outstanding queries); restored at the end
OLDRMEM=$(sysctl -n net.core.rmem_default); sysctl -qw net.core.rmem_default=4194304; trap 'sysctl -qw net.core.rmem_default=$OLDRMEM' EXIT
REPS=${1:-3}; DUR=${2:-2.5}; OUT=${3:-res/main.jsonl}; WIN=${WIN:-1024}; SOCKS=${SOCKS:-16}
SERVERS=${SERVERS:-"limit_single limit_mmsg limit_mmsg64 limit_gso limit_uring mini_mmsg mini_gso nsd knot gdnsd thalweg bind bind_geo pdns_bind pdns_geoip pdns_luash"}
G="taskset -c 0 gen/target/release/gen"
sets() { case $1 in limit*|mini*|knot|gdnsd|thalweg) echo S G E;; nsd|bind|pdns_bind) echo S;; bind_geo) echo G;; pdns_geoip) echo G E;; pdns_lua*) echo G E;; esac; }
[ -n "$SETS" ] && sets() { echo $SETS; }
for r in $(seq 1 $REPS); do for s in $SERVERS; do
  for q in $(sets $s); do
    case $s in limit*) [ -n "$MAIN" ] && stop; if [ $q = S ]; then NREC=1; else NREC=${NREC_E:-3}; fi; export NREC; start $s || continue;; *) [ "$CUR" = "$s.$r" ] || { start $s || continue 2; CUR=$s.$r; };; esac
    case $q in S) A="q=${QS:-q/S.txt} ecs=0";; G) A="q=q/G.txt ecs=0 srcs=1";; E) A="q=q/G.txt ecs=1";; esac
    pids
    J=$($G addr=127.0.0.1:$PORT $A dur=$DUR warm=0.7 pid=$PIDS win=$WIN socks=$SOCKS $EXTRA)
    echo "{\"srv\":\"$s\",\"set\":\"$q\",\"rep\":$r,\"ready\":$READY,\"tag\":\"$TAG\",\"r\":$J}" >> $OUT
    case $s in limit*) stop; MAIN=;; esac
  done
  case $s in limit*) ;; *) stop; MAIN=; CUR=;; esac
done; done 2>&1 | grep -v Terminated
