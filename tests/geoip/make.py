"""Writes the small databases of the tests of the geography. Needs mmdb_writer and netaddr (PyPI)."""

from netaddr import IPSet
from mmdb_writer import MMDBWriter


def write(path, version, kind, records):
    writer = MMDBWriter(version, kind, ipv4_compatible=version == 6, languages=["en"], description="test", float_type="f64")
    for prefixes, record in records:
        writer.insert_network(IPSet(prefixes), record)
    writer.to_db_file(path)


def city(country, continent, subdivision=None, at=None, **more):
    record = {"continent": {"code": continent}, "country": {"iso_code": country, "names": {"en": country}}}
    if subdivision:
        record["subdivisions"] = [{"iso_code": subdivision, "names": {"en": subdivision}}]
    if at:
        record["location"] = {"latitude": at[0], "longitude": at[1]}
    return record | more


# MaxMind's layout, IPv4 below ::/96, with subdivisions and coordinates.
write("city.mmdb", 6, "Test-City", [
    (["192.0.2.0/25"], city("US", "NA", "CA", (34.0, -118.2))),
    (["192.0.2.128/25"], city("US", "NA", "NY", (40.7, -74.0))),
    (["198.51.100.0/24"], city("DE", "EU", "HE", (50.1, 8.7))),
    (["203.0.113.0/25"], {"registered_country": {"iso_code": "BR"}}),
    (["203.0.113.128/26"], {"continent": {"code": "AS"}}),
    (["2001:db8::/33"], city("US", "NA", "CA", (37.8, -122.4))),
    (["2001:db8:8000::/33"], city("AU", "OC", "WA", (-31.9, 115.9))),
])

# The flat layout, IPv4 only.
write("flat.mmdb", 4, "Test-Flat", [
    (["192.0.2.0/24"], {"country_code": "US"}),
    (["198.51.100.0/24"], {"country_code": "FR"}),
    (["203.0.113.0/24"], {"country_code": "BR"}),
])

# Autonomous systems: MaxMind's field, the flat number, the flat text.
write("asn.mmdb", 6, "Test-ASN", [
    (["198.51.100.0/25"], {"autonomous_system_number": 3320, "autonomous_system_organization": "Test"}),
    (["198.51.100.128/26"], {"asn": 64500}),
    (["198.51.100.192/26"], {"asn": "AS64501"}),
    (["2001:db8::/32"], {"autonomous_system_number": 3320}),
])

# Nothing that the server reads.
write("other.mmdb", 4, "Test-Other", [(["192.0.2.0/24"], {"is_anonymous": True})])
