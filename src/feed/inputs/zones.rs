//! Zones among the inputs: found, bound to the services in them, read with what they include and built, put together.

mod find;
mod made;
mod side_by_side;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::{Inputs, Loader, shown};
use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::feed::unix_seconds;
use crate::intake::Part;
use crate::name::Name;
use crate::pool::{Family, Full, ServiceId};
use crate::snapshot::Zones;
use crate::steer::Fleet;
use crate::zone::{Steered, Zone};

pub(super) use find::ZoneFile;
pub(super) use made::{Bound, Made};

use made::{Outcome, Reading};
use side_by_side::side_by_side;

impl Loader {
    /// Binds services, and the name that tells clients who they are, to the zones that hold their names; in the order of the
    /// files.
    pub(super) fn bind(&mut self, config: &Config, files: &[ZoneFile], fleet: &Fleet) -> Vec<Bound> {
        // A directory of zones that cannot be read has been reported; services need not be, one by one.
        let are_zones_missing = self.is_blocked;
        let known: Vec<String> = files.iter().map(|file| file.origin.to_string()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let mut bound = vec![Bound::default(); files.len()];
        for (index, service) in fleet.services.iter().enumerate() {
            let name = &service.service.name;
            let Some(holder) = holder(files, name) else {
                if are_zones_missing {
                    continue;
                }
                if let Some(written) = config.services.iter().find(|written| written.value.name == *name) {
                    self.block(
                        written
                            .error(format!("the service {name} is in no zone that is served here"))
                            .help(format!("add the zone file of its domain; zones there are: {known}")),
                    );
                }
                continue;
            };
            if files[holder].origin == *name {
                self.check_apex(config, name);
            }
            bound[holder].steered.push(Steered {
                owner: name.clone(),
                service: ServiceId(index as u16),
                has_v4: fleet.has_family(service.pool, Family::V4),
                has_v6: fleet.has_family(service.pool, Family::V6),
            });
        }
        let whoami = config.server.whoami.as_ref();
        let whoami_holder = whoami.and_then(|whoami| holder(files, &whoami.value));
        if let (Some(whoami), Some(holder)) = (whoami, whoami_holder) {
            bound[holder].whoami = Some(whoami.value.clone());
        }
        if let (Some(whoami), None, false) = (whoami, whoami_holder, are_zones_missing) {
            let message = format!("the name {} is in no zone that is served here", whoami.value);
            let help = format!("take one inside a zone; zones there are: {known}");
            self.block(whoami.error(message).help(help));
        }
        bound
    }

    /// Binds keys to the zones that are signed here.
    pub(super) fn bind_keys(&mut self, config: &Config, files: &[ZoneFile], bound: &mut [Bound]) {
        for (name, signing) in self.read_zone_keys(config) {
            match files.iter().position(|file| file.origin == name) {
                Some(at) => bound[at].signing = Some(signing),
                None => {
                    let message = format!("the zone {name} is to be signed, but it has no file");
                    let written = config.zones.signed.iter().find(|written| written.value.name == name);
                    let help = "add its zone file, or take the table out";
                    self.diagnostics.extend(written.map(|written| written.error(message).help(help)));
                }
            }
        }
    }

    /// Reads all zones and builds them with what is bound to them. Those of which everything is as it was before stay the same.
    ///
    /// What is wrong with single records is told at this place among all that was found.
    pub(super) fn make_zones(
        &mut self,
        (files, bound): (&[ZoneFile], &[Bound]),
        told: usize,
        fleet: &Fleet,
        previous: Option<&Inputs>,
    ) -> (Zones, BTreeMap<Name, Arc<Made>>) {
        let outcomes = self.read_zones(files, Some(bound), told, previous);
        let served: BTreeMap<_, _> =
            previous.iter().flat_map(|inputs| inputs.zones.iter()).map(|zone| (zone.apex(), zone)).collect();
        let (mut zones, mut all_made) = (Vec::new(), BTreeMap::new());
        for (ZoneFile { origin, path, is_there: _, transferred }, Outcome { made, serial, .. }) in
            files.iter().zip(outcomes)
        {
            let built = made.as_ref().and_then(|made| made.zone.clone());
            self.diagnostics.extend(made.iter().flat_map(|made| made.built.clone()));
            self.diagnostics.extend(serial);
            all_made.extend(made.map(|made| (origin.clone(), made)));
            let old = || {
                let previous = previous?;
                let zone = served.get(origin)?;
                if !keeps_services(origin, &previous.fleet, fleet) {
                    let message = format!(
                        "the zone {origin} is broken, and its services have changed: its old form cannot serve them"
                    );
                    let help = "mend the zone first; until then all goes on as before";
                    self.block(Diagnostic::error(message).in_file(shown(path)).help(help));
                }
                Some(Arc::clone(zone))
            };
            let built = match transferred {
                // What has expired is not served in any form.
                Some(None) => None,
                _ => built.or_else(old),
            };
            match built {
                Some(zone) => zones.push(zone),
                None if transferred.is_some() => zones.push(Arc::new(Zone::absent(origin))),
                None => {
                    tracing::error!(zone = %origin, file = %path.display(), "the zone is broken and not served");
                }
            }
        }
        (Zones::new(zones), all_made)
    }

    /// Reads all zones, if only to say what is wrong with them because nobody knows what is bound to them.
    pub(super) fn read_zones(
        &mut self,
        files: &[ZoneFile],
        bound: Option<&[Bound]>,
        told: usize,
        previous: Option<&Inputs>,
    ) -> Vec<Outcome> {
        let reading = Reading {
            zone_directory: &self.zone_directory,
            before: previous.map(|inputs| &*inputs.made),
            served: previous.iter().flat_map(|inputs| inputs.zones.iter()).map(|zone| (zone.apex(), zone)).collect(),
            taken: self.taken.like(),
            now: unix_seconds(),
            state: self.state.clone(),
        };
        let size = |file: &ZoneFile| std::fs::metadata(&file.path).map_or(0, |file| file.len());
        let sizes: Vec<u64> = files.iter().map(size).collect();
        let mut outcomes = side_by_side(&sizes, |index| reading.read(&files[index], bound.map(|bound| &bound[index])));
        let mut found = Vec::new();
        for Outcome { made, unreadable, watched, taken, serial: _ } in &mut outcomes {
            found.extend(unreadable.take());
            if let Some(made) = made {
                found.extend(made.read.iter().cloned());
                self.parts.add_sum(Part::Zones, made.share);
            }
            self.watched.append(std::mem::take(watched));
            self.taken.append(std::mem::take(taken));
        }
        self.diagnostics.splice(told..told, found);
        outcomes
    }

    /// Reports tables of zones that nobody has a file of.
    pub(super) fn check_outward(&mut self, config: &Config, files: &[ZoneFile]) {
        if self.is_blocked {
            return;
        }
        for written in &config.zones.outward {
            let zone = &written.value.zone;
            if files.iter().all(|file| file.origin != *zone) {
                let help = "put its file into the directory of zones, or name it: `file = \"…\"`";
                self.block(written.error(format!("there is no file of the zone {zone}")).help(help));
            }
        }
    }

    /// RFC 1034 §3.6.2: beside a CNAME there is no other data, and an apex has its SOA and NS records.
    fn check_apex(&mut self, config: &Config, name: &Name) {
        let Some(service) = config.services.iter().find(|written| written.value.name == *name) else { return };
        let pool = config.pools.iter().find(|written| written.value.name == service.value.pool);
        let Some(pool) = pool else { return };
        if let Full::Overflow(overflow) = &pool.value.full
            && overflow.addresses.is_empty()
        {
            let message = format!(
                "the service {name} is its zone's apex, where no CNAME can stand, and the pool `{}` overflows to {}",
                pool.value.name, overflow.cname
            );
            let help = "write the overflow's `addresses` too, for such names";
            self.block(service.error(message).help(help));
        }
    }
}

/// A hash of what all zones that are signed here were signed with, and of when their keys do what: later signings go by that.
pub(super) fn signed_fingerprint(made: &BTreeMap<Name, Arc<Made>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for made in made.values() {
        if let Some(zone) = made.zone.as_ref().filter(|zone| zone.signer().is_some()) {
            (zone.fingerprint(), made.signing().map(|signing| signing.mark())).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// The zone that holds a name, by its place among the files.
fn holder(files: &[ZoneFile], name: &Name) -> Option<usize> {
    let holders = files.iter().enumerate().filter(|(_, file)| name.is_at_or_below(&file.origin));
    holders.max_by_key(|(_, file)| file.origin.label_count()).map(|(index, _)| index)
}

/// Whether all services have the numbers and the families that they had, so that zones stay as they are.
pub(super) fn keeps_all_services(old: &Fleet, new: &Fleet) -> bool {
    let bound = |fleet: &Fleet| -> Vec<(Name, [bool; 2])> {
        let has = |pool| [Family::V4, Family::V6].map(|family| fleet.has_family(pool, family));
        fleet.services.iter().map(|service| (service.service.name.clone(), has(service.pool))).collect()
    };
    bound(old) == bound(new)
}

/// Whether a zone that was built for the services of `old` is right with those of `new`: it holds
/// their numbers and the families that they have.
fn keeps_services(origin: &Name, old: &Fleet, new: &Fleet) -> bool {
    let bound = |fleet: &Fleet, index: usize| {
        let service = fleet.services.get(index)?;
        let has = [Family::V4, Family::V6].map(|family| fleet.has_family(service.pool, family));
        Some((service.service.name.clone(), has))
    };
    let mut mine = old.services.iter().enumerate().filter(|(_, service)| service.service.name.is_at_or_below(origin));
    mine.all(|(index, _)| bound(old, index) == bound(new, index))
}
