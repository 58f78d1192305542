//! Inputs: configuration, zones and geography from disk, checked together; what is wrong, all of it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::secrets::read_secrets;
use super::stamps::Stamps;
use crate::config::{self, Config, Written};
use crate::diagnostic::{Diagnostic, Source};
use crate::geo::{Countries, Database, Geo, Position, read_networks, read_rtt};
use crate::name::Name;
use crate::pool::{Family, ServiceId};
use crate::snapshot::{InputStatus, Snapshot, Zones};
use crate::steer::{Assembly, Fleet, Tables};
use crate::wire::{Identity, Secrets};
use crate::zone::{self, Steered, Zone};

/// Everything that is read from disk, in the form that is served.
pub struct Inputs {
    /// The configuration.
    pub config: Config,
    /// The geography.
    pub geo: Arc<Geo>,
    /// What is steered.
    pub fleet: Arc<Fleet>,
    /// The zones.
    pub zones: Arc<Zones>,
    /// Where each node without a configured place was guessed to stand: country and its position.
    pub guesses: BTreeMap<String, (String, Position)>,
    /// What DNS cookies are made by, if the configuration names a file of secrets.
    pub cookies: Option<Secrets>,
    /// Who this server says it is.
    identity: Arc<Identity>,
    /// A hash of all that was read.
    pub fingerprint: u64,
}

impl Inputs {
    /// Freezes them with the tables that steer what they hold. The secrets were drawn here, and count unless there is a file.
    pub fn snapshot(
        &self,
        generation: u64,
        tables: Tables,
        seed: u64,
        drawn: Secrets,
        status: InputStatus,
    ) -> Snapshot {
        Snapshot {
            generation,
            zones: Arc::clone(&self.zones),
            geo: Arc::clone(&self.geo),
            fleet: Arc::clone(&self.fleet),
            tables: Arc::new(tables),
            rate_limit: Arc::clone(&self.config.server.rate_limit),
            seed,
            identity: Arc::clone(&self.identity),
            cookies: self.cookies.clone().unwrap_or(drawn),
            inputs: status,
        }
    }
}

/// The outcome of reading all inputs.
pub struct Loaded {
    /// What can be served; none if anything but the inside of a zone is broken.
    pub inputs: Option<Inputs>,
    /// All that is wrong. A zone with errors is not among the inputs, or in its old form.
    pub diagnostics: Vec<Diagnostic>,
    /// Files and directories whose changes matter, missing ones too, as they were before they were read.
    pub watched: Stamps,
}

/// Reads everything that the configuration file names, and the file itself.
///
/// Nodes and regions keep their numbers over `previous`, and a zone that is broken now keeps its old form.
pub fn load(file: &Path, environment: &[(String, String)], previous: Option<&Inputs>) -> Loaded {
    let mut loader = Loader::new(file);
    let inputs = loader.load(file, environment, previous);
    Loaded { inputs, diagnostics: loader.diagnostics, watched: loader.watched }
}

struct Loader {
    /// Relative paths start here.
    directory: PathBuf,
    diagnostics: Vec<Diagnostic>,
    watched: Stamps,
    hasher: DefaultHasher,
    /// Something is wrong that is not inside a zone: then no input is taken.
    is_blocked: bool,
}

/// A zone as it was read.
struct ZoneText {
    origin: Name,
    source: Source,
    /// None if the file could not be read, or has errors.
    records: Option<zone::Records>,
}

impl Loader {
    fn new(file: &Path) -> Self {
        let directory = file.parent().unwrap_or(Path::new("")).to_owned();
        let mut watched = Stamps::default();
        watched.take(file);
        Self { directory, diagnostics: Vec::new(), watched, hasher: DefaultHasher::new(), is_blocked: false }
    }

    fn load(&mut self, file: &Path, environment: &[(String, String)], previous: Option<&Inputs>) -> Option<Inputs> {
        let source = self.read_text(file)?;
        let (config, diagnostics) = config::read(&source, environment);
        self.diagnostics.extend(diagnostics);
        let config = config?;

        let zone_texts = self.read_zones(&config);
        let (geo, databases) = self.read_geography(&config, previous.map(|inputs| &*inputs.geo))?;
        let guesses = self.guess_places(&config, &databases);
        let rtts = self.read_round_trips(&config)?;
        let fleet = Fleet::assemble(
            &Assembly {
                nodes: &values(&config.nodes),
                places: &values(&config.places),
                pools: &values(&config.pools),
                services: &values(&config.services),
                regions: geo.regions(),
                rtts: &rtts,
                guesses: &guesses,
            },
            previous.map(|inputs| &*inputs.fleet),
        );
        let zones = self.build_zones(&config, &zone_texts, &fleet, previous);
        let cookies = self.read_secrets(&config);
        if self.is_blocked {
            return None;
        }
        let server = &config.server;
        let text = |written: &Option<Written<String>>| written.as_ref().map(|text| text.value.clone());
        let [name, version, nsid] = [text(&server.identity), text(&server.version), text(&server.nsid)];
        Some(Inputs {
            cookies,
            identity: Arc::new(Identity::new(name.as_deref(), version.as_deref(), nsid.as_deref())),
            config,
            geo: Arc::new(geo),
            fleet: Arc::new(fleet),
            zones: Arc::new(zones),
            guesses,
            fingerprint: self.hasher.finish(),
        })
    }

    fn read_zones(&mut self, config: &Config) -> Vec<ZoneText> {
        let mut files: BTreeMap<Name, PathBuf> = BTreeMap::new();
        let directory = self.directory.join(&config.zones.directory.value);
        self.watched.take(&directory);
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
                        continue;
                    };
                    // Editors leave such files beside the one that is being written.
                    if stem.starts_with('.') {
                        continue;
                    }
                    match Name::parse(stem, None) {
                        Ok(origin) => {
                            if let Some(twin) = files.insert(origin.clone(), path.clone()) {
                                self.diagnostics.push(
                                    Diagnostic::error(format!("{} is of the zone {origin} too", shown(&twin)))
                                        .in_file(shown(&path))
                                        .help("one of the two files has to go"),
                                );
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
        for written in &config.zones.files {
            let path = self.directory.join(&written.value.path);
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
        let path = shown(&self.directory.join(&directory.value));
        self.block(directory.error(format!("the directory of zones, {path}, cannot be read: {error}")).help(
            "make the directory and put a file NAME.zone for each zone in it, or write `[zone.\"NAME\"] file = …`",
        ));
    }

    fn read_zone(&mut self, origin: Name, path: &Path) -> ZoneText {
        self.watched.take(path);
        let Some(source) = self.read_text(path) else {
            let source = Source::new(shown(path), "");
            return ZoneText { origin, source, records: None };
        };
        let (records, diagnostics) = zone::read(&source, &origin);
        let is_sound = !crate::diagnostic::has_errors(&diagnostics);
        self.diagnostics.extend(diagnostics);
        ZoneText { origin, source, records: is_sound.then_some(records) }
    }

    /// Binds services to the zones that hold their names, and builds the zones.
    fn build_zones(&mut self, config: &Config, texts: &[ZoneText], fleet: &Fleet, previous: Option<&Inputs>) -> Zones {
        // A directory of zones that cannot be read has been reported; services need not be, one by one.
        let are_zones_missing = self.is_blocked;
        let mut steered: BTreeMap<&Name, Vec<Steered>> = BTreeMap::new();
        for (index, service) in fleet.services.iter().enumerate() {
            let name = &service.service.name;
            let holder = texts
                .iter()
                .map(|text| &text.origin)
                .filter(|origin| name.is_at_or_below(origin))
                .max_by_key(|origin| origin.label_count());
            let Some(holder) = holder else {
                if are_zones_missing {
                    continue;
                }
                let known: Vec<String> = texts.iter().map(|text| text.origin.to_string()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                if let Some(written) = config.services.iter().find(|written| written.value.name == *name) {
                    self.block(
                        written
                            .error(format!("the service {name} is in no zone that is served here"))
                            .help(format!("add the zone file of its domain; zones there are: {known}")),
                    );
                }
                continue;
            };
            steered.entry(holder).or_default().push(Steered {
                owner: name.clone(),
                service: ServiceId(index as u16),
                has_v4: fleet.has_family(service.pool, Family::V4),
                has_v6: fleet.has_family(service.pool, Family::V6),
            });
        }
        let mut zones = Vec::new();
        for text in texts {
            let steered = steered.get(&text.origin).map_or(&[][..], Vec::as_slice);
            let built = text.records.as_ref().and_then(|records| {
                let (zone, diagnostics) = Zone::build(records, steered);
                self.diagnostics.extend(diagnostics);
                zone
            });
            let old = || {
                let previous = previous?;
                let zone = previous.zones.iter().find(|zone| *zone.apex() == text.origin)?;
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

    fn read_geography(&mut self, config: &Config, previous: Option<&Geo>) -> Option<(Geo, Vec<Database>)> {
        let before = self.diagnostics.len();
        let mut databases = Vec::new();
        for written in &config.geoip.databases {
            let path = self.directory.join(&written.value);
            self.watched.take(&path);
            match std::fs::read(&path) {
                Ok(bytes) => {
                    (&path, &bytes).hash(&mut self.hasher);
                    match Database::open(&shown(&path), &bytes) {
                        Ok(database) => databases.push(database),
                        Err(diagnostic) => self.diagnostics.push(diagnostic),
                    }
                }
                Err(error) => self.diagnostics.push(
                    written
                        .error(format!("the database {} cannot be read: {error}", shown(&path)))
                        .help("put the file there, or leave `databases` out to use the embedded database of countries"),
                ),
            }
        }
        if config.geoip.databases.is_empty() {
            databases.push(Database::embedded());
        }
        let (countries, rules) = (Countries::embedded(), values(&config.regions));
        let networks = match &config.geoip.networks {
            Some(written) => {
                let source = self.read_table(written)?;
                let (networks, diagnostics) = read_networks(&source, countries, &rules, &positions(config));
                self.diagnostics.extend(diagnostics);
                networks
            }
            None => Vec::new(),
        };
        if crate::diagnostic::has_errors(&self.diagnostics[before..]) {
            return None;
        }
        let (geo, diagnostics) = Geo::compile(&databases, countries, &rules, &networks, previous);
        let is_sound = !crate::diagnostic::has_errors(&diagnostics);
        self.diagnostics.extend(diagnostics);
        is_sound.then_some((geo, databases))
    }

    fn read_round_trips(&mut self, config: &Config) -> Option<Vec<crate::geo::Rtt>> {
        let Some(written) = &config.geoip.rtt else { return Some(Vec::new()) };
        let source = self.read_table(written)?;
        let (rtts, diagnostics) =
            read_rtt(&source, Countries::embedded(), &values(&config.regions), &positions(config));
        let is_sound = !crate::diagnostic::has_errors(&diagnostics);
        self.diagnostics.extend(diagnostics);
        is_sound.then_some(rtts)
    }

    fn read_secrets(&mut self, config: &Config) -> Option<Secrets> {
        let written = config.server.cookie_secrets.as_ref()?;
        let secrets = self.read_table(written).and_then(|source| {
            let (secrets, diagnostics) = read_secrets(&source);
            self.diagnostics.extend(diagnostics);
            secrets
        });
        // Nameservers that make cookies by other secrets than their peers would send each other's clients away.
        self.is_blocked |= secrets.is_none();
        secrets
    }

    /// Where nodes without a place stand: in the country of their address.
    fn guess_places(&mut self, config: &Config, databases: &[Database]) -> BTreeMap<String, (String, Position)> {
        let mut guesses = BTreeMap::new();
        for written in config.nodes.iter().filter(|written| written.value.place.is_none()) {
            let node = &written.value;
            let addresses = [Family::V4, Family::V6].into_iter().filter_map(|family| node.address(family));
            let guess = addresses.into_iter().find_map(|address| {
                let facts = Database::merged_facts(databases, address);
                let country = Countries::embedded().get(facts.country.as_deref()?)?;
                Some((country.code.clone(), facts.position.unwrap_or(country.position)))
            });
            match guess {
                Some(guess) => {
                    guesses.insert(node.name.clone(), guess);
                }
                None => self.diagnostics.push(
                    written
                        .warning(format!("nobody knows where `{}` stands: no database has its address", node.name))
                        .help("write `place = \"…\"`, the key of a `[place.…]` with its position; until then it is far from everybody"),
                ),
            }
        }
        guesses
    }

    /// Reports an error that keeps all inputs from being taken.
    fn block(&mut self, error: Diagnostic) {
        self.diagnostics.push(error);
        self.is_blocked = true;
    }

    /// A table that the configuration names.
    fn read_table(&mut self, written: &Written<PathBuf>) -> Option<Source> {
        let path = self.directory.join(&written.value);
        self.watched.take(&path);
        if let Err(error) = std::fs::metadata(&path) {
            self.diagnostics.push(written.error(format!("{} cannot be read: {error}", shown(&path))));
            return None;
        }
        self.read_text(&path)
    }

    fn read_text(&mut self, path: &Path) -> Option<Source> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.diagnostics.push(Diagnostic::error(format!("cannot be read: {error}")).in_file(shown(path)));
                return None;
            }
        };
        // The path too: the name of a file is that of its zone.
        (path, &bytes).hash(&mut self.hasher);
        match String::from_utf8(bytes) {
            Ok(text) => Some(Source::new(shown(path), text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
                self.diagnostics.push(
                    Diagnostic::error(format!("is not UTF-8: see octet {valid}, on line {line}"))
                        .in_file(shown(path))
                        .help("write octets above 127 as \\DDD in zone files, and save other files as UTF-8"),
                );
                None
            }
        }
    }
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

fn positions(config: &Config) -> Vec<(String, Option<Position>)> {
    config.places.iter().map(|written| (written.value.name.clone(), written.value.at)).collect()
}

fn values<T: Clone>(written: &[Written<T>]) -> Vec<T> {
    written.iter().map(|each| each.value.clone()).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
