//! Geography among the inputs: databases, networks and measured times; compiled if what it is made of has changed.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::{Inputs, Loader, read_file, shown, values};
use crate::config::{Config, Written};
use crate::diagnostic::{Diagnostic, has_errors, keep_excerpts};
use crate::feed::parts::share;
use crate::feed::seal::Seal;
use crate::geo::{Countries, Database, Geo, Position, RegionRule, Rtt, read_networks, read_rtt};
use crate::intake::Part;

/// A geography that was read.
pub(super) struct Geography {
    pub(super) geo: Arc<Geo>,
    pub(super) compiled: Arc<Compiled>,
    pub(super) databases: Databases,
    /// It is that of the inputs before.
    pub(super) is_as_before: bool,
}

/// What was compiled, and what has to be said of it each time.
#[derive(Debug)]
pub(super) struct Compiled {
    basis: Basis,
    diagnostics: Vec<Diagnostic>,
    /// What its files add to the sum of all that is geography.
    share: u64,
}

/// What a geography is compiled from. Of the same comes the same, for regions keep their numbers.
#[derive(Debug, PartialEq)]
struct Basis {
    /// What messages call the files, and what is in them.
    databases: Vec<(String, Seal)>,
    networks: Option<(String, Seal)>,
    rules: Vec<RegionRule>,
    /// Those that networks may name.
    places: Vec<(String, Option<Position>)>,
}

/// The file of a database as it was read.
struct DatabaseFile {
    /// What messages call it.
    name: String,
    /// Or why there are none.
    octets: Result<Vec<u8>, Diagnostic>,
    seal: Option<Seal>,
}

/// Databases, which are opened when somebody asks them: to decode a large one takes longer than the rest of most reloads.
pub(super) struct Databases {
    files: Vec<(String, Vec<u8>)>,
    opened: OnceLock<Vec<Database>>,
}

impl Databases {
    /// Those that have been opened.
    pub(super) fn of(opened: Vec<Database>) -> Self {
        Self { files: Vec::new(), opened: opened.into() }
    }

    /// All of them, in the order of the configuration.
    pub(super) fn all(&self) -> &[Database] {
        // Each could be opened when the geography was compiled.
        let open = |(name, octets): &(String, Vec<u8>)| Database::open(name, octets).ok();
        self.opened.get_or_init(|| match self.files.as_slice() {
            [] => vec![Database::embedded()],
            files => files.iter().filter_map(open).collect(),
        })
    }
}

impl Loader {
    /// Reads what the geography is made of, and compiles it, unless that would give the one of the inputs before.
    pub(super) fn read_geography(&mut self, config: &Config, previous: Option<&Inputs>) -> Option<Geography> {
        let told = self.diagnostics.len();
        let files = self.read_databases(config);
        let networks = config.geoip.networks.as_ref().map(|written| self.read_table(written));
        let is_whole = files.iter().all(|file| file.octets.is_ok()) && networks.as_ref().is_none_or(Option::is_some);
        let networks = networks.flatten();
        let basis = Basis {
            databases: files.iter().filter_map(|file| Some((file.name.clone(), file.seal?))).collect(),
            networks: networks.as_ref().map(|source| (source.name.to_string(), Seal::of(source.text.as_bytes()))),
            rules: values(&config.regions),
            places: if networks.is_some() { positions(config) } else { Vec::new() },
        };
        if let Some(previous) = previous.filter(|previous| is_whole && previous.compiled.basis == basis) {
            self.diagnostics.extend(previous.compiled.diagnostics.iter().cloned());
            self.parts.add_sum(Part::Geography, previous.compiled.share);
            let databases = match previous.databases.as_slice() {
                [] => {
                    let octets = files.into_iter().filter_map(|file| Some((file.name, file.octets.ok()?)));
                    Databases { files: octets.collect(), opened: OnceLock::new() }
                }
                opened => Databases::of(opened.to_vec()),
            };
            let (geo, compiled) = (Arc::clone(&previous.geo), Arc::clone(&previous.compiled));
            return Some(Geography { geo, compiled, databases, is_as_before: true });
        }
        let of_networks = self.diagnostics.split_off(told);
        let mut shares = networks.as_ref().map_or(0, |source| share(&source.text));
        let mut databases = Vec::new();
        for DatabaseFile { name, octets, seal: _ } in files {
            let opened = octets.and_then(|octets| {
                shares = shares.wrapping_add(share(&octets));
                Database::open(&name, &octets)
            });
            match opened {
                Ok(database) => databases.push(database),
                Err(error) => self.diagnostics.push(error),
            }
        }
        self.diagnostics.extend(of_networks);
        if config.geoip.databases.is_empty() {
            databases.push(Database::embedded());
        }
        let countries = Countries::embedded();
        let (networks, found) =
            networks.map(|source| read_networks(&source, countries, &basis.rules, &basis.places)).unwrap_or_default();
        self.diagnostics.extend(found);
        if !is_whole || has_errors(&self.diagnostics[told..]) {
            return None;
        }
        let before = previous.map(|inputs| &*inputs.geo);
        let (geo, found) = Geo::compile(&databases, countries, &basis.rules, &networks, before);
        self.diagnostics.extend(found);
        if has_errors(&self.diagnostics[told..]) {
            return None;
        }
        self.parts.add_sum(Part::Geography, shares);
        keep_excerpts(&mut self.diagnostics[told..]);
        let compiled = Compiled { basis, diagnostics: self.diagnostics[told..].to_vec(), share: shares };
        let databases = Databases::of(databases);
        Some(Geography { geo: Arc::new(geo), compiled: Arc::new(compiled), databases, is_as_before: false })
    }

    fn read_databases(&mut self, config: &Config) -> Vec<DatabaseFile> {
        let read = |written: &Written<PathBuf>| {
            let path = self.path(&written.value);
            self.watched.take(&path);
            let octets = read_file(&path).map_err(|error| {
                written
                    .error(format!("the database {} cannot be read: {error}", shown(&path)))
                    .help("put the file there, or leave `databases` out to use the embedded database of countries")
            });
            let seal = octets.as_ref().ok().map(|octets| self.taken.take(&path, octets));
            DatabaseFile { name: shown(&path), octets, seal }
        };
        config.geoip.databases.iter().map(read).collect()
    }

    pub(super) fn read_round_trips(&mut self, config: &Config) -> Option<Vec<Rtt>> {
        let Some(written) = &config.geoip.rtt else { return Some(Vec::new()) };
        let source = self.read_table(written)?;
        self.parts.add(Part::Geography, &source.text);
        let (rtts, diagnostics) =
            read_rtt(&source, Countries::embedded(), &values(&config.regions), &positions(config));
        let is_sound = !has_errors(&diagnostics);
        self.diagnostics.extend(diagnostics);
        is_sound.then_some(rtts)
    }
}

fn positions(config: &Config) -> Vec<(String, Option<Position>)> {
    config.places.iter().map(|written| (written.value.name.clone(), written.value.at)).collect()
}
