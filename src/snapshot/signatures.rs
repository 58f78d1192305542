//! Signatures of what steering answers: of every node set of every menu, made before the snapshot is published, so that the
//! packet path signs none of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Elsewhere, Zones};
use crate::dnssec::{Canonical, Signer, Validity};
use crate::name::{LookupName, MAX_LABELS};
use crate::pool::{Family, NodeId, Service, ServiceId};
use crate::steer::{Fleet, Menu, Tables};
use crate::wire::{CLASS_IN, RecordType, rdata_of, ready_record};
use crate::zone::Zone;

/// Signatures that the packet path may make in one snapshot, which lives for a second: 2 % of a core.
const MAX_MADE: u32 = 1_000;
/// Signatures that nothing in use has, and which are remembered all the same, for each that is used.
const SPARE: usize = 2;

/// RRSIG records, ready to be copied into a reply, and how many there are.
type Ready = Arc<(u16, Box<[u8]>)>;

/// Signatures of steered names.
#[derive(Debug, Default)]
pub struct Signatures {
    /// By `ServiceId`; none for services of zones that are not signed here.
    services: Vec<Option<[OfFamily; 2]>>,
    /// How many the packet path may still make for what nobody could foresee and something else can stand in for.
    left: AtomicU32,
}

/// Signatures of the addresses of one family.
#[derive(Debug)]
struct OfFamily {
    sites: Vec<Site>,
    /// What proves that there are none, for clients whom a barrier keeps from all nodes.
    empty: Option<Empty>,
}

/// An NSEC record, ready to be copied into a reply, and what signs it.
#[derive(Debug)]
struct Empty {
    nsec: Box<[u8]>,
    signatures: Ready,
}

/// Signatures of a site's node sets.
#[derive(Debug, Clone, Default)]
struct Site {
    /// The menu whose sets they are.
    menu: Option<Arc<Menu>>,
    /// By set: how many nodes it has, and what signs it.
    sets: Arc<[(u8, Option<Ready>)]>,
    /// What signs the records that send viewers elsewhere.
    elsewhere: Option<Ready>,
    /// From when on they count, and from when on they are made anew, in seconds since 1970.
    from: u64,
    until: u64,
}

/// Makes signatures, and remembers them: sets of nodes come back.
#[derive(Debug, Default)]
pub struct Notary {
    used: HashMap<Box<[u8]>, (Validity, Ready)>,
    before: HashMap<Box<[u8]>, (Validity, Ready)>,
    last: Arc<Signatures>,
    /// By what zones were signed last.
    signers: Vec<Signer>,
    /// Of the fleet that they are of.
    fleet: Option<Arc<Fleet>>,
    /// How many were made since the start.
    made: u64,
}

/// What signatures are to be made of.
pub struct Steered<'s> {
    /// The zones.
    pub zones: &'s Zones,
    /// What is steered.
    pub fleet: &'s Arc<Fleet>,
    /// Where viewers are sent that a pool has no room for.
    pub elsewhere: &'s Elsewhere,
    /// How it is steered.
    pub tables: &'s Tables,
    /// Seconds since 1970.
    pub now: u64,
}

impl Signatures {
    /// What signs the set of a menu, of so many nodes; none if that was not foreseen.
    #[inline]
    pub fn of(
        &self,
        service: ServiceId,
        family: Family,
        site: usize,
        set: usize,
        nodes: usize,
    ) -> Option<(u16, &[u8])> {
        let OfFamily { sites, .. } = self.of_family(service, family)?;
        let (count, ready) = sites.get(site)?.sets.get(set)?;
        ready.as_ref().filter(|_| usize::from(*count) == nodes).map(|ready| (ready.0, &*ready.1))
    }

    /// What signs the records that send viewers elsewhere.
    pub fn of_elsewhere(&self, service: ServiceId, family: Family, site: usize) -> Option<(u16, &[u8])> {
        let OfFamily { sites, .. } = self.of_family(service, family)?;
        sites.get(site)?.elsewhere.as_ref().map(|ready| (ready.0, &*ready.1))
    }

    /// The NSEC record that proves that a service has no address, and what signs it.
    pub fn of_none(&self, service: ServiceId, family: Family) -> Option<[(u16, &[u8]); 2]> {
        let Empty { nsec, signatures } = self.of_family(service, family)?.empty.as_ref()?;
        Some([(1, nsec), (signatures.0, &signatures.1)])
    }

    fn of_family(&self, service: ServiceId, family: Family) -> Option<&OfFamily> {
        Some(&self.services.get(usize::from(service.0))?.as_ref()?[family as usize])
    }

    /// Whether the packet path may make a signature in whose place something else could stand.
    pub fn may_make(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        let sites = self.services.iter().flatten().flatten().flat_map(|of_family| &of_family.sites);
        sites.map(|site| site.sets.iter().filter(|(_, ready)| ready.is_some()).count()).sum()
    }
}

impl Notary {
    /// How many were made since the start.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Signs what is not signed yet, as long as `may_go_on`; the rest comes the next time, and until then from the packet path.
    pub fn sign(&mut self, steered: &Steered<'_>, may_go_on: impl Fn() -> bool) -> Arc<Signatures> {
        let Steered { zones, fleet, .. } = *steered;
        // Zones whose keys changed have other signatures; nodes of another fleet other addresses.
        let signers: Vec<Signer> = zones.iter().filter_map(|zone| zone.signer().cloned()).collect();
        let is_like = |(one, two): (&Signer, &Signer)| one.is_like(two);
        let is_same_fleet = self.fleet.as_ref().is_some_and(|known| Arc::ptr_eq(known, fleet));
        if !is_same_fleet || signers.len() != self.signers.len() || !signers.iter().zip(&self.signers).all(is_like) {
            self.last = Arc::default();
            (self.signers, self.fleet) = (signers, Some(Arc::clone(fleet)));
        }
        if self.signers.is_empty() {
            return Arc::new(Signatures::default());
        }
        let services =
            (0..fleet.services.len()).map(|index| self.sign_service(steered, ServiceId(index as u16), &may_go_on));
        let signatures = Signatures { services: services.collect(), left: AtomicU32::new(MAX_MADE) };
        if self.used.len() > SPARE * signatures.count().max(1) {
            self.before = std::mem::take(&mut self.used);
        }
        self.last = Arc::new(signatures);
        Arc::clone(&self.last)
    }

    fn sign_service(
        &mut self,
        steered: &Steered<'_>,
        id: ServiceId,
        may_go_on: &impl Fn() -> bool,
    ) -> Option<[OfFamily; 2]> {
        let service = steered.fleet.service(id);
        let name = LookupName::from_wire(service.service.name.wire());
        let zone = steered.zones.find(&name, MAX_LABELS)?;
        let signer = zone.signer()?.clone();
        let last = Arc::clone(&self.last);
        let signed = Family::ALL.map(|family| {
            let sites = &steered.tables.pools[usize::from(service.pool.0)].of(family).sites;
            let before = last.services.get(usize::from(id.0)).and_then(Option::as_ref);
            let signed = sites.iter().enumerate().map(|(index, site)| {
                let before = before.and_then(|families| families[family as usize].sites.get(index));
                let is_same = |before: &&Site| match (&before.menu, &site.menu) {
                    (Some(one), Some(two)) => Arc::ptr_eq(one, two),
                    (None, None) => true,
                    _ => false,
                };
                let kept = before.filter(is_same).filter(|site| (site.from..site.until).contains(&steered.now));
                kept.cloned().unwrap_or_else(|| {
                    let menu = site.menu.as_ref();
                    let mut wanted = Wanted::new(&signer, name.wire(), service.service.ttl.max);
                    let sets = menu.iter().flat_map(|menu| menu.sets()).map(|set| {
                        let ready = self.signature(steered, &mut wanted, family, set, may_go_on);
                        (set.len() as u8, ready)
                    });
                    let sets: Arc<[_]> = sets.collect();
                    let elsewhere = self.of_elsewhere(steered, &mut wanted, id, family);
                    Site { menu: menu.cloned(), sets, elsewhere, from: wanted.from, until: wanted.until }
                })
            });
            OfFamily { sites: signed.collect(), empty: self.of_none(steered, zone, id, family) }
        });
        Some(signed)
    }

    /// Clients whom a barrier keeps from all nodes get no address, though the zone's chain says that there are some.
    fn of_none(&mut self, steered: &Steered<'_>, zone: &Zone, id: ServiceId, family: Family) -> Option<Empty> {
        let service = &steered.fleet.service(id).service;
        let name = LookupName::from_wire(service.name.wire());
        let Denied { ttl, rdata } = denied(zone, service, family)?;
        let nsec = ready_record(RecordType::NSEC, CLASS_IN, ttl, &rdata).into();
        let mut wanted = Wanted::new(zone.signer()?, name.wire(), ttl);
        // A few a service, and the same each time.
        let signatures = self.ready(steered.now, &mut wanted, RecordType::NSEC, vec![rdata], &|| true)?;
        Some(Empty { nsec, signatures })
    }

    fn signature(
        &mut self,
        steered: &Steered<'_>,
        wanted: &mut Wanted<'_>,
        family: Family,
        nodes: &[NodeId],
        may_go_on: &impl Fn() -> bool,
    ) -> Option<Ready> {
        let (rtype, rdata) = addresses(steered.fleet, family, nodes);
        self.ready(steered.now, wanted, rtype, rdata, may_go_on)
    }

    fn of_elsewhere(
        &mut self,
        steered: &Steered<'_>,
        wanted: &mut Wanted<'_>,
        id: ServiceId,
        family: Family,
    ) -> Option<Ready> {
        let pool = steered.fleet.service(id).pool;
        let is_apex = wanted.name == wanted.signer.apex();
        let (_, bytes) = steered.elsewhere.records(pool, family, is_apex)?;
        let (rtype, rdata) = rdata_of(bytes)?;
        self.ready(steered.now, wanted, rtype, rdata, &|| true)
    }

    fn ready(
        &mut self,
        now: u64,
        wanted: &mut Wanted<'_>,
        rtype: RecordType,
        rdata: Vec<Box<[u8]>>,
        may_go_on: &impl Fn() -> bool,
    ) -> Option<Ready> {
        let &mut Wanted { signer, name, ttl, .. } = wanted;
        let rrset = Canonical::new(name, rtype, ttl, rdata);
        let keys = signer.keys_for(rtype).flat_map(|key| signer.unsigned(key, &rrset));
        let key: Box<[u8]> = keys.collect();
        let known = self.used.get(&key).cloned().or_else(|| self.before.remove(&key));
        let is_fresh = |(validity, _): &(Validity, Ready)| signer.lifetime().is_fresh(*validity, now);
        let (validity, ready) = match known.filter(is_fresh) {
            Some(known) => known,
            None if !may_go_on() => {
                // The next time.
                wanted.until = 0;
                return None;
            }
            None => {
                let mark = key.iter().fold(0, |sum: u64, octet| sum.wrapping_mul(31).wrapping_add(u64::from(*octet)));
                let validity = signer.lifetime().from(now, mark);
                let (count, ready) = signer.sign_ready(&rrset, validity);
                self.made += 1;
                (validity, Arc::new((count, ready.into())))
            }
        };
        let Validity { inception, expiration } = validity;
        wanted.from = wanted.from.max(inception.into());
        wanted.until = wanted.until.min(u64::from(expiration).saturating_sub(signer.lifetime().refresh));
        self.used.insert(key, (validity, Arc::clone(&ready)));
        Some(ready)
    }
}

/// What the signatures of a site are made with.
struct Wanted<'w> {
    signer: &'w Signer,
    name: &'w [u8],
    ttl: u32,
    from: u64,
    until: u64,
}

impl<'w> Wanted<'w> {
    fn new(signer: &'w Signer, name: &'w [u8], ttl: u32) -> Self {
        Self { signer, name, ttl, from: 0, until: u64::MAX }
    }
}

/// An NSEC record that denies what its zone's chain has.
pub struct Denied {
    /// Seconds: no longer than the service's answers, for other clients get some.
    pub ttl: u32,
    /// Its data.
    pub rdata: Box<[u8]>,
}

/// What says that a service has no address; none if the zone's file has some for such clients, or is not signed.
pub fn denied(zone: &Zone, service: &Service, family: Family) -> Option<Denied> {
    let name = LookupName::from_wire(service.name.wire());
    if zone.fixed(&name, family.into()).is_some() {
        return None;
    }
    let rdata = zone.nsec_without(name.wire(), family.into())?;
    Some(Denied { ttl: zone.negative_soa().ttl.min(service.ttl.max), rdata })
}

/// The records of nodes.
pub fn addresses(fleet: &Fleet, family: Family, nodes: &[NodeId]) -> (RecordType, Vec<Box<[u8]>>) {
    let of = |node: &NodeId| -> Box<[u8]> {
        match family {
            Family::V4 => fleet.book.v4(*node)[..].into(),
            Family::V6 => fleet.book.v6(*node)[..].into(),
        }
    };
    (family.into(), nodes.iter().map(of).collect())
}
