#!/bin/bash
# zone-size scaling: load time, RSS, CPU/query
cd "$(dirname "$0")"; export READYN=900
for rep in ${REPS:-1 2 3}; do
for z in s1k s100k s1m; do ZONE=$z NOGEO=1 python3 mkconf.py; export ZONE=$z
 case $z in s1k) Q=q/S.txt;; s100k) Q=q/S100k.txt;; s1m) Q=q/S1m.txt;; esac
 QS=$Q TAG=$z SETS=S SERVERS="${SV:-limit_mmsg nsd knot gdnsd thalweg bind}" ./run.sh 1 2 res/scale.jsonl
done; done
unset ZONE; python3 mkconf.py
