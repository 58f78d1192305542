//! Elsewhere: the ready records that send viewers to where a full pool's overflow is.

use std::net::IpAddr;

use crate::pool::{Family, PoolId};
use crate::steer::Fleet;
use crate::wire::{CLASS_IN, RecordType, ready_record};

/// Records of every pool's overflow.
#[derive(Debug, Default)]
pub struct Elsewhere {
    /// By `PoolId`.
    pools: Vec<Option<Overflow>>,
}

#[derive(Debug)]
struct Overflow {
    cname: Vec<u8>,
    v4: (u16, Vec<u8>),
    v6: (u16, Vec<u8>),
}

impl Elsewhere {
    /// Those of the fleet's pools.
    pub fn of(fleet: &Fleet) -> Self {
        let records = |overflow: &crate::pool::Overflow| {
            let addresses = |family| {
                let of_family = overflow.addresses.iter().filter_map(move |address| match (family, address) {
                    (Family::V4, IpAddr::V4(v4)) => Some(ready_record(RecordType::A, CLASS_IN, 0, &v4.octets())),
                    (Family::V6, IpAddr::V6(v6)) => Some(ready_record(RecordType::AAAA, CLASS_IN, 0, &v6.octets())),
                    _ => None,
                });
                let records: Vec<Vec<u8>> = of_family.collect();
                (records.len() as u16, records.concat())
            };
            Overflow {
                cname: ready_record(RecordType::CNAME, CLASS_IN, 0, overflow.cname.wire()),
                v4: addresses(Family::V4),
                v6: addresses(Family::V6),
            }
        };
        Self { pools: fleet.pools.iter().map(|pool| pool.overflow().map(records)).collect() }
    }

    /// How many records there are for a pool's viewers, and these, one behind the other: addresses of the family at a zone's
    /// apex, where no CNAME can be (RFC 1034 §3.6.2), a CNAME anywhere else; none if there is nothing of the kind.
    pub fn records(&self, pool: PoolId, family: Family, is_apex: bool) -> Option<(u16, &[u8])> {
        let overflow = self.pools.get(usize::from(pool.0))?.as_ref()?;
        let (count, bytes) = match (is_apex, family) {
            (false, _) => (1, &overflow.cname),
            (true, Family::V4) => (overflow.v4.0, &overflow.v4.1),
            (true, Family::V6) => (overflow.v6.0, &overflow.v6.1),
        };
        (count > 0).then_some((count, bytes))
    }
}
