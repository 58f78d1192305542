//! What secondaries mean for steering: they answer steered names with the zone's own records, the same for everybody.

use std::net::IpAddr;

use crate::config::Outward;
use crate::feed::inputs::Inputs;
use crate::geo::Prefix;
use crate::name::{LookupName, MAX_LABELS, Name, Printed, is_at_or_below};
use crate::wire::RecordType;
use crate::zone::Zone;

/// For each zone with services that goes out to others: how many of its nameservers do not steer, and so which share of
/// resolvers is answered without; a line each.
pub(super) fn unsteered(inputs: &Inputs) -> String {
    let mut text = String::new();
    for written in &inputs.config.zones.outward {
        let outward = &written.value;
        let Some(zone) = inputs.zones.get(&outward.zone) else { continue };
        let is_of_zone = |name: &Name| {
            let holder = inputs.zones.find(&LookupName::from_wire(&name.lower_wire()), MAX_LABELS);
            holder.is_some_and(|holder| std::ptr::eq(&**holder, &**zone))
        };
        if !inputs.fleet.services.iter().any(|service| is_of_zone(&service.service.name)) {
            continue;
        }
        // The apex is the first of the owners.
        let ns = zone.rrsets().find(|(_, rrset)| rrset.rtype == RecordType::NS).map(|(_, rrset)| rrset);
        let all: Vec<&[u8]> = ns.map(|rrset| rrset.targets().collect()).unwrap_or_default();
        let others: Vec<String> = all
            .iter()
            .filter(|host| is_secondary(inputs, zone, outward, host))
            .map(|host| Printed(host).to_string())
            .collect();
        if others.is_empty() {
            continue;
        }
        text.push_str(&format!(
            "unsteered {} of {} nameservers of {} are secondaries ({}): they answer its services with the records of the zone \
             file, to about {} % of resolvers\n",
            others.len(),
            all.len(),
            zone.apex(),
            others.join(", "),
            others.len() * 100 / all.len(),
        ));
    }
    text
}

/// Whether a nameserver is one that gets the zone, or one whose address nobody here knows.
fn is_secondary(inputs: &Inputs, zone: &Zone, outward: &Outward, host: &[u8]) -> bool {
    let lower = host.to_ascii_lowercase();
    let (v4, v6) = zone.addresses(&lower);
    let addresses: Vec<IpAddr> = [v4, v6]
        .into_iter()
        .flatten()
        .flat_map(|rrset| rrset.rdata().filter_map(address).collect::<Vec<_>>())
        .collect();
    if addresses.is_empty() {
        return !is_at_or_below(&lower, zone.lower_apex());
    }
    let config = &inputs.config;
    let ours = config.server.dns.iter().map(|listen| listen.value.ip());
    let peers = config.cluster.iter().flat_map(|cluster| cluster.peers.iter().map(|peer| peer.value.ip()));
    let ours: Vec<IpAddr> = ours.chain(peers).filter(|address| !address.is_unspecified()).collect();
    let gets = |address: &IpAddr| {
        let is_told = outward.notify.iter().any(|notified| notified.value.address.ip() == *address);
        let mut hosts = outward.allow.iter().filter_map(|allow| allow.value.from);
        is_told || hosts.any(|from| from.address() == *address && from == Prefix::of(*address, from.length()))
    };
    addresses.iter().any(|address| gets(address) && !ours.contains(address))
}

fn address(rdata: &[u8]) -> Option<IpAddr> {
    match rdata.len() {
        4 => <[u8; 4]>::try_from(rdata).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(rdata).ok().map(IpAddr::from),
        _ => None,
    }
}
