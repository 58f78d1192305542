# source me: start NAME -> sets PIDS, PORT ; stop
P=${BENCH:-$PWD}; T="taskset -c ${SRVCPU:-1}"
LASTNAME=
start() { local n=$1; LOG=$P/run/$n.log; MAIN=; 
 case $n in
  limit_single) PORT=5301; $T $P/limit/target/release/limit single 127.0.0.1:$PORT 1 ${NREC:-1} >$LOG 2>&1 & ;;
  limit_mmsg) PORT=5302; $T $P/limit/target/release/limit mmsg 127.0.0.1:$PORT ${BATCH:-32} ${NREC:-1} >$LOG 2>&1 & ;;
  limit_mmsg64) PORT=5302; $T $P/limit/target/release/limit mmsg 127.0.0.1:$PORT 64 ${NREC:-1} >$LOG 2>&1 & ;;
  limit_df) PORT=5307; DF=1 $T $P/limit/target/release/limit mmsg 127.0.0.1:$PORT 32 ${NREC:-1} >$LOG 2>&1 & ;;
  limit_gso) PORT=5303; $T $P/limit/target/release/limit gso 127.0.0.1:$PORT 64 ${NREC:-1} >$LOG 2>&1 & ;;
  limit_uring) PORT=5304; $T $P/limit/target/release/limit uring 127.0.0.1:$PORT 64 ${NREC:-1} >$LOG 2>&1 & ;;
  mini_mmsg) PORT=5305; $T $P/mini/target/release/mini mmsg 127.0.0.1:$PORT $P/zones/${ZONE:-s1k}.zone $P/conf/test.mmdb >$LOG 2>&1 & ;;
  mini_gso) PORT=5306; $T $P/mini/target/release/mini gso 127.0.0.1:$PORT $P/zones/${ZONE:-s1k}.zone $P/conf/test.mmdb >$LOG 2>&1 & ;;
  nsd) PORT=5311; $T nsd -d -c $P/conf/nsd.conf >$LOG 2>&1 & ;;
  knot) PORT=5312; $T knotd -c $P/conf/knot.conf >$LOG 2>&1 & ;;
  pdns_geoip) PORT=5313; $T pdns_server --config-dir=$P/conf/pdns >$LOG 2>&1 & ;;
  pdns_lua) PORT=5314; $T pdns_server --config-dir=$P/conf/pdnslua >$LOG 2>&1 & ;;
  pdns_luash) PORT=5318; $T pdns_server --config-dir=$P/conf/pdnsluash >$LOG 2>&1 & ;;
  pdns_bind) PORT=5319; $T pdns_server --config-dir=$P/conf/pdnsbind >$LOG 2>&1 & ;;
  gdnsd) PORT=5315; $T gdnsd -c $P/conf/gdnsd start >$LOG 2>&1 & ;;
  bind) PORT=5316; $T named -f -n 1 -U 1 -c $P/conf/bind.conf >$LOG 2>&1 & ;;
  bind_geo) PORT=5317; $T named -f -n 1 -U 1 -c $P/conf/bindgeo.conf >$LOG 2>&1 & ;;
  thalweg) PORT=5331; $T ${THALWEG:-$P/../../target/release/thalweg} run --config $P/conf/thalweg.toml >$LOG 2>&1 & ;;
  *) echo unknown $n; return 1;;
 esac
 MAIN=$!; local i; T0=$(date +%s.%N)
 for i in $(seq 1 ${READYN:-300}); do dig +tries=1 +time=1 +short @127.0.0.1 -p $PORT h000005.stream.example A 2>/dev/null | grep -qE '^[0-9]' && break; kill -0 $MAIN 2>/dev/null || { echo "$n died"; tail -5 $LOG; return 1; }; [ $n = pdns_geoip ] && dig +tries=1 +time=1 +short @127.0.0.1 -p $PORT ns1.stream.example A | grep -q 192 && break; sleep 0.1; done
 READY=$(awk -v a=$T0 -v b=$(date +%s.%N) 'BEGIN{printf "%.2f",b-a}')
 pids
 repin
}
# knot pins its UDP worker itself (thread id % cpus), whatever taskset says: undo that
repin() { local p t; for p in ${PIDS//,/ }; do for t in /proc/$p/task/*; do taskset -pc ${SRVCPU:-1} ${t##*/} >/dev/null 2>&1; done; done; }
kids() { local c; for c in $(cat /proc/$1/task/*/children 2>/dev/null); do echo $c; kids $c; done; }
pids() { PIDS=$MAIN; local c; for c in $(kids $MAIN); do PIDS=$PIDS,$c; done; }
stop() { kill $MAIN 2>/dev/null; local i; for i in $(seq 1 60); do kill -0 $MAIN 2>/dev/null || break; sleep 0.1; done; kill -0 $MAIN 2>/dev/null && kill -9 ${PIDS//,/ }; wait $MAIN 2>/dev/null; true; }
