# writes the configuration of every peer: mkconf.py ; PER = addresses per region
import os
P=os.environ.get('BENCH', os.getcwd()); PER=int(os.environ.get('PER','3')); Z=os.environ.get('ZONE','s1k')
def w(f,s):
    f=P+'/conf/'+f; os.makedirs(os.path.dirname(f),exist_ok=True); open(f,'w').write(s)
REG={1:['EU','AF'],2:['NA'],3:['SA'],4:['AS','OC']}
addr=lambda r:['192.0.%d.%d'%(2+r,i) for i in range(1,PER+1)]
run=P+'/run'; [os.makedirs(run+'/'+d,exist_ok=True) for d in ('','nsd','knot','pdns','pdnslua','gdnsd','gdnsdstate','bind')]
w('nsd.conf',f'''server:
  server-count: 1
  ip-address: 127.0.0.1@5311
  username: ""
  chroot: ""
  zonesdir: "{P}/zones"
  database: ""
  pidfile: "{run}/nsd/nsd.pid"
  xfrdfile: "{run}/nsd/xfrd.state"
  zonelistfile: "{run}/nsd/zone.list"
  xfrdir: "{run}/nsd"
  minimal-responses: yes
  rrl-ratelimit: 0
  round-robin: no
  hide-version: yes
  tls-service-key: "{P}/conf/key.pem"
  tls-service-pem: "{P}/conf/cert.pem"
  tls-port: 8531
  ip-address: 127.0.0.1@8531
remote-control:
  control-enable: no
zone:
  name: stream.example
  zonefile: {Z}.zone
''')
w('knot.conf',f'''server:
  rundir: {run}/knot
  listen: 127.0.0.1@5312
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  edns-client-subnet: on
  automatic-acl: off
log:
  - target: stderr
    any: warning
database:
  storage: {run}/knot
mod-geoip:
  - id: g
    config-file: {P}/conf/knot-geo.conf
    ttl: 30
    mode: geodb
    geodb-file: {P}/conf/test.mmdb
    geodb-key: continent/code
zone:
  - domain: stream.example
    storage: {P}/zones
    file: {Z}.zone
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
    module: {"mod-geoip/g" if not os.environ.get("NOGEO") else "[]"}
'''.replace('    module: []\n',''))
w('knot-geo.conf','live.stream.example:\n'+''.join('  - geo: "%s"\n    A: [%s]\n'%(c,', '.join(addr(r))) for r in REG for c in REG[r]))
soa='ns1.stream.example hostmaster.stream.example 1 3600 600 86400 60'
recs=''.join('    %s.pool.stream.example:\n'%c.lower()+''.join('      - a: %s\n'%x for x in addr(r)) for r in REG for c in REG[r])
w('pdns/geo.yaml',f'''domains:
- domain: stream.example
  ttl: 30
  records:
    stream.example:
      - soa: {soa}
      - ns: ns1.stream.example
      - ns: ns2.stream.example
    ns1.stream.example:
      - a: 192.0.2.53
    ns2.stream.example:
      - a: 198.51.100.53
    unknown.pool.stream.example:
      - a: 192.0.2.1
{recs}  services:
    live.stream.example: '%cn.pool.stream.example'
''')
common=f'''local-address=127.0.0.1
daemon=no
guardian=no
receiver-threads=1
distributor-threads=1
edns-subnet-processing=yes
disable-syslog=yes
loglevel=3
version-string=anonymous
api=no
webserver=no
geoip-database-files=mmdb:{P}/conf/test.mmdb
max-tcp-connections=100
'''
w('pdns/pdns.conf',common+f'''launch=geoip
geoip-zones-file={P}/conf/pdns/geo.yaml
local-port=5313
socket-dir={run}/pdns
''')
w('pdnslua/pdns.conf',common+f'''launch=bind,geoip
bind-config={P}/conf/pdnslua/named.conf
enable-lua-records=yes
local-port=5314
socket-dir={run}/pdnslua
lua-records-exec-limit=100000
''')
w('pdnsluash/pdns.conf',common+f'''launch=bind,geoip
bind-config={P}/conf/pdnslua/named.conf
enable-lua-records=shared
local-port=5318
socket-dir={run}/pdnslua
lua-records-exec-limit=100000
''')
w('pdnslua/named.conf',f'zone "stream.example" {{ type master; file "{P}/zones/lua.zone"; }};\n')
w('pdnsbind/named.conf',f'zone "stream.example" {{ type master; file "{P}/zones/{Z}.zone"; }};\n')
w('pdnsbind/pdns.conf',common.replace('geoip-database-files','#geoip-database-files')+f'''launch=bind
bind-config={P}/conf/pdnsbind/named.conf
local-port=5319
socket-dir={run}/pdnslua
''')
dcs={1:'eu',2:'na',3:'sa',4:'as'}
al=lambda r:'['+','.join(addr(r))+']'
w('gdnsd/config',f'''options => {{
  listen => {{ 127.0.0.1:5315 => {{ udp_threads => 1, tcp_threads => 1 }} }},
  run_dir => {run}/gdnsd, state_dir => {run}/gdnsdstate,
  zones_rfc1035_threads => 1,
}}
plugins => {{ geoip => {{
  maps => {{ m => {{ geoip2_db => {P}/conf/test.mmdb, datacenters => [eu,na,sa,as],
    map => {{ EU => [eu,na,sa,as], AF => [eu,na,sa,as], NA => [na,eu,sa,as], SA => [sa,na,eu,as], AS => [as,eu,na,sa], OC => [as,na,eu,sa], default => [na,eu,sa,as] }} }} }},
  resources => {{ live => {{ map => m, service_types => up, dcmap => {{ eu => {al(1)}, na => {al(2)}, sa => {al(3)}, as => {al(4)} }} }} }} }} }}
''')
os.makedirs(P+'/conf/gdnsd/zones',exist_ok=True)
zs={'s1k':'gdnsd'}.get(Z,Z)
try: os.unlink(P+'/conf/gdnsd/zones/stream.example')
except FileNotFoundError: pass
os.symlink(f'{P}/zones/{zs}.zone',P+'/conf/gdnsd/zones/stream.example')
views=''.join(f'''view "{dcs[r]}" {{ match-clients {{ {' '.join('geoip continent %s;'%c for c in REG[r])} }}; zone "stream.example" {{ type master; file "{P}/zones/bind-{dcs[r]}.zone"; }}; }};
''' for r in REG)
bt=f'''  listen-on port 5316 {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; directory "{run}/bind"; pid-file "{run}/bind/named%s.pid"; session-keyfile "{run}/bind/s%s.key";
  recursion no; minimal-responses yes; dnssec-validation no; allow-transfer {{ none; }}; notify no; max-cache-size 10m;
'''
tls=f'''tls t {{ cert-file "{P}/conf/cert.pem"; key-file "{P}/conf/key.pem"; }};
http h {{ endpoints {{ "/dns-query"; }}; }};
'''
w('bind.conf',tls+'options {\n'+bt%('','')+f'''  listen-on port 8536 tls t {{ 127.0.0.1; }};
  listen-on port 8546 tls t http h {{ 127.0.0.1; }};
}};
controls {{ }};
zone "stream.example" {{ type master; file "{P}/zones/{Z}.zone"; }};
''')
os.makedirs(P+'/conf/bindgeo',exist_ok=True)
w('bindgeo.conf','options {\n'+(bt%('g','g')).replace('5316','5317')+f'  geoip-directory "{P}/conf/bindgeo";\n}};\ncontrols {{ }};\n'+views+f'view "default" {{ zone "stream.example" {{ type master; file "{P}/zones/bind-na.zone"; }}; }};\n')
try: os.unlink(P+'/conf/bindgeo/GeoLite2-Country.mmdb')
except FileNotFoundError: pass
os.symlink(P+'/conf/test.mmdb',P+'/conf/bindgeo/GeoLite2-Country.mmdb')
base=open(P+'/zones/s1k.zone').read().split('\n'); base=[l for l in base if not l.startswith('live ')]
for r in REG: open(P+f'/zones/bind-{dcs[r]}.zone','w').write('\n'.join(base)+''.join('live 30 A %s\n'%x for x in addr(r)))
# thalweg: the same four groups and addresses as gdnsd's, by its own planner; no exporters, so nothing moves the weights
OUT=f'{P}/conf/thalweg-zones'; os.makedirs(OUT,exist_ok=True)
try: os.unlink(OUT+'/stream.example.zone')
except FileNotFoundError: pass
os.symlink(f'{P}/zones/{Z}.zone',OUT+'/stream.example.zone')
AT={1:'50.1, 8.7',2:'39.0, -77.5',3:'-23.5, -46.6',4:'35.7, 139.7'}
NEAR={1:'eu na sa as',2:'na eu sa as',3:'sa na eu as',4:'as na eu sa'}
ls=lambda xs:'['+', '.join('"%s"'%x for x in xs)+']'
w('thalweg.toml',f'''[server]
dns = ["127.0.0.1:5331"]
admin = "127.0.0.1:8331"
workers = 1

[zones]
directory = "{OUT}"

[geoip]
databases = ["{P}/conf/test.mmdb"]

[defaults.node]
capacity = {{ egress = "1Gbit/s" }}

[service."live.stream.example"]
answers = {PER}
ttl = {{ min = "30s", max = "30s" }}
'''+''.join(f'''
[place.{dcs[r]}]
at = [{AT[r]}]
[region.{dcs[r]}]
continents = {ls(REG[r])}
near = {ls(NEAR[r].split())}
'''+''.join(f'''[node.{dcs[r]}{i}]
addresses = ["{x}"]
place = "{dcs[r]}"
''' for i,x in enumerate(addr(r),1)) for r in REG))
