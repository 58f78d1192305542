//! Zones among the inputs: found, read with what they include, bound to the services in them, built.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Inputs, Loader, read_file, shown};
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Source};
use crate::feed::include::Includes;
use crate::intake::Part;
use crate::name::Name;
use crate::pool::{Family, Full, ServiceId};
use crate::snapshot::Zones;
use crate::steer::Fleet;
use crate::zone::{self, Inclusion, Steered, Zone};

/// A zone as it was read.
pub(super) struct ZoneText {
    origin: Name,
    source: Source,
    /// None if the file could not be read; those of a file with errors are still judged as a whole.
    records: Option<zone::Records>,
}

impl Loader {
    pub(super) fn read_zones(&mut self, config: &Config) -> Vec<ZoneText> {
        let mut files: BTreeMap<Name, PathBuf> = BTreeMap::new();
        let mut contested = BTreeMap::new();
        let directory = self.path(&config.zones.directory.value);
        self.watched.take(&directory);
        self.zone_directory.clone_from(&directory);
        match std::fs::read_dir(&directory) {
            Ok(entries) => {
                for entry in entries {
                    let path = match entry {
                        Ok(entry) => entry.path(),
                        Err(error) => {
                            self.unlisted(config, &error);
                            continue;
                        }
                    };
                    let Some(stem) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".zone")) else {
                        // Parts that are included stand here too; only what was surely meant to be a zone is told.
                        if path.to_string_lossy().to_ascii_lowercase().ends_with(".zone") {
                            let warning =
                                Diagnostic::warning("the file is not read: its name does not end with `.zone`");
                            let help = "write the name in UTF-8 and its end in lower case";
                            self.diagnostics.push(warning.in_file(shown(&path)).help(help));
                        }
                        continue;
                    };
                    // Editors leave such files beside the one that is being written; `..zone` is that of the root.
                    if stem.starts_with('.') && stem != "." {
                        continue;
                    }
                    match Name::parse(stem, None) {
                        Ok(origin) => {
                            if let Some(twin) = files.insert(origin.clone(), path.clone()) {
                                let (first, second) = if twin < path { (&twin, &path) } else { (&path, &twin) };
                                self.diagnostics.push(
                                    Diagnostic::error(format!("{} is of the same zone", shown(first)))
                                        .in_file(shown(second))
                                        .help("one of the two files has to go"),
                                );
                                contested.insert(origin, path);
                            }
                        }
                        Err(error) => self.diagnostics.push(
                            Diagnostic::error(format!("the file's name must be that of its zone: {error}"))
                                .in_file(shown(&path)),
                        ),
                    }
                }
            }
            // Without a directory of zones, each zone may be named on its own.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && !config.zones.files.is_empty()
                    && config.zones.directory.place.is_none() => {}
            Err(error) => self.unlisted(config, &error),
        }
        let mut missing = Vec::new();
        // Which of the two is meant nobody knows; in which order a directory is listed must not say it.
        for (origin, path) in contested {
            files.remove(&origin);
            if config.zones.files.iter().all(|written| written.value.name != origin) {
                missing.push(ZoneText { origin, source: Source::new(shown(&path), ""), records: None });
            }
        }
        for written in &config.zones.files {
            let path = self.path(&written.value.path);
            let origin = written.value.name.clone();
            if let Err(error) = std::fs::metadata(&path) {
                let message = format!("the zone file {} cannot be read: {error}", shown(&path));
                self.diagnostics.push(written.error(message));
                files.remove(&origin);
                missing.push(ZoneText { origin, source: Source::new(shown(&path), ""), records: None });
                self.watched.take(&path);
                continue;
            }
            files.insert(origin, path);
        }
        let read = files.into_iter().map(|(origin, path)| self.read_zone(origin, &path));
        read.chain(missing).collect()
    }

    /// A directory that cannot be listed, because files are out or it is being replaced, is not one without zones.
    fn unlisted(&mut self, config: &Config, error: &io::Error) {
        let directory = &config.zones.directory;
        let path = shown(&self.path(&directory.value));
        self.block(directory.error(format!("the directory of zones, {path}, cannot be read: {error}")).help(
            "make the directory and put a file NAME.zone for each zone in it, or write `[zone.\"NAME\"] file = …`",
        ));
    }

    fn read_zone(&mut self, origin: Name, path: &Path) -> ZoneText {
        self.watched.take(path);
        // A pipe that is named in the configuration is meant; one that lies among the zones is not.
        let read = if path.starts_with(&self.zone_directory) { read_file(path) } else { std::fs::read(path) };
        let Some(octets) = self.octets(path, read) else {
            let source = Source::new(shown(path), "");
            return ZoneText { origin, source, records: None };
        };
        self.parts.add(Part::Zones, &(origin.wire(), &octets));
        let source = Source::new(shown(path), zone::text_of(octets));
        let mut includes = Includes::new(&self.zone_directory, path, &source);
        let mut open = |inclusion: &Inclusion<'_>| includes.open(inclusion, &mut self.watched, &mut self.taken);
        let (records, diagnostics) = zone::read(&source, &origin, &mut open);
        self.diagnostics.extend(diagnostics);
        includes.texts().for_each(|text| self.parts.add(Part::Zones, &text));
        ZoneText { origin, source, records: Some(records) }
    }

    /// Binds services to the zones that hold their names, and builds the zones.
    pub(super) fn build_zones(
        &mut self,
        config: &Config,
        texts: &[ZoneText],
        fleet: &Fleet,
        previous: Option<&Inputs>,
    ) -> Zones {
        // A directory of zones that cannot be read has been reported; services need not be, one by one.
        let are_zones_missing = self.is_blocked;
        let known: Vec<String> = texts.iter().map(|text| text.origin.to_string()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let mut steered: BTreeMap<&Name, Vec<Steered>> = BTreeMap::new();
        for (index, service) in fleet.services.iter().enumerate() {
            let name = &service.service.name;
            let Some(holder) = holder(texts, name) else {
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
            if holder == name {
                self.check_apex(config, name);
            }
            steered.entry(holder).or_default().push(Steered {
                owner: name.clone(),
                service: ServiceId(index as u16),
                has_v4: fleet.has_family(service.pool, Family::V4),
                has_v6: fleet.has_family(service.pool, Family::V6),
            });
        }
        let whoami = config.server.whoami.as_ref();
        let whoami_holder = whoami.and_then(|whoami| holder(texts, &whoami.value));
        if let (Some(whoami), None, false) = (whoami, whoami_holder, are_zones_missing) {
            let message = format!("the name {} is in no zone that is served here", whoami.value);
            let help = format!("take one inside a zone; zones there are: {known}");
            self.block(whoami.error(message).help(help));
        }
        let mut zones = Vec::new();
        for text in texts {
            let whoami = whoami.map(|whoami| &whoami.value).filter(|_| whoami_holder == Some(&text.origin));
            let steered = steered.get(&text.origin).map_or(&[][..], Vec::as_slice);
            let built = text.records.as_ref().and_then(|records| {
                let (zone, diagnostics) = Zone::build_with_whoami(records, steered, whoami);
                self.diagnostics.extend(diagnostics);
                let before = old_form(previous, &text.origin);
                let warning = before.zip(zone.as_ref()).and_then(|(before, zone)| zone.check_serial(before, records));
                self.diagnostics.extend(warning);
                zone
            });
            let old = || {
                let previous = previous?;
                let zone = old_form(Some(previous), &text.origin)?;
                if !keeps_services(&text.origin, &previous.fleet, fleet) {
                    let message = format!(
                        "the zone {} is broken, and its services have changed: its old form cannot serve them",
                        text.origin
                    );
                    let help = "mend the zone first; until then all goes on as before";
                    self.block(Diagnostic::error(message).in_file(text.source.name.clone()).help(help));
                }
                Some(Arc::clone(zone))
            };
            match built.map(Arc::new).or_else(old) {
                Some(zone) => zones.push(zone),
                None => {
                    tracing::error!(zone = %text.origin, file = %text.source.name, "the zone is broken and not served");
                }
            }
        }
        Zones::new(zones)
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

/// The zone that holds a name.
fn holder<'t>(texts: &'t [ZoneText], name: &Name) -> Option<&'t Name> {
    let origins = texts.iter().map(|text| &text.origin).filter(|origin| name.is_at_or_below(origin));
    origins.max_by_key(|origin| origin.label_count())
}

/// The zone of this name as it is served.
fn old_form<'p>(previous: Option<&'p Inputs>, origin: &Name) -> Option<&'p Arc<Zone>> {
    previous?.zones.iter().find(|zone| zone.apex() == origin)
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
