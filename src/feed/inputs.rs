//! Inputs: configuration, zones and geography from disk, checked together; what is wrong, all of it.

mod accesses;
mod lists;
mod numbers;
mod zones;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::credentials::Keyring;
use super::inventory::{Lists, News};
use super::parts::Parts;
use super::secrets::read_secrets;
use super::stamps::Stamps;
use super::state::{Files, Found};
use super::token::{read_tokens, warn_of_readers};
use crate::config::{self, Config, Server, Written};
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::geo::{Countries, Database, Geo, Position, Region, RegionId, Rtt, read_networks, read_rtt};
use crate::intake::{Part, Tokens};
use crate::name::Name;
use crate::pool::Policy;
use crate::snapshot::{Elsewhere, InputStatus, InventoryStatus, Snapshot, Zones};
use crate::steer::{Assembly, Fleet, Guess, Tables, mix};
use crate::wire::{Identity, Secrets};

pub(super) use lists::{load_lists, urls};

use numbers::{Gone, assemble};

/// Everything that is read from disk, in the form that is served.
#[derive(Clone)]
pub struct Inputs {
    /// The configuration.
    pub config: Arc<Config>,
    /// The geography.
    pub geo: Arc<Geo>,
    /// What is steered.
    pub fleet: Arc<Fleet>,
    /// Where viewers are sent that a pool has no room for.
    pub elsewhere: Arc<Elsewhere>,
    /// The zones.
    pub zones: Arc<Zones>,
    /// Where the geography has each node's address.
    pub guesses: Arc<BTreeMap<String, Guess>>,
    /// Measured times.
    rtts: Arc<[Rtt]>,
    /// What DNS cookies are made by, if the configuration names a file of secrets.
    pub cookies: Option<Secrets>,
    /// By what the nameservers of the installation know each other.
    pub tokens: Tokens,
    /// By what heartbeats of media servers are known, by inventory.
    pub heartbeat_tokens: BTreeMap<String, Tokens>,
    /// Makes this installation's hashes its own; equal on all its nameservers.
    pub seed: u64,
    /// Hashes of what they compare.
    pub(super) parts: Parts,
    /// What accesses of exporters name.
    pub keyring: Arc<Keyring>,
    /// Who this server says it is.
    identity: Arc<Identity>,
    /// A hash of all that was read.
    pub fingerprint: u64,
    /// The same without lists of nodes.
    files_fingerprint: u64,
    /// Where addresses of nodes are looked up that lists bring later; none if there are no inventories.
    databases: Vec<Database>,
    /// Lists of nodes.
    lists: Lists,
    /// Since when nodes are gone that keep their numbers.
    gone: Gone,
}

impl Inputs {
    /// The same with other policies for these services than their configuration says, until a reload. Nodes, services and
    /// regions keep their numbers.
    pub fn steered_by(&self, policies: &[(Name, Policy)]) -> Self {
        let mut services = values(&self.config.services);
        for service in &mut services {
            let ordered = policies.iter().find(|(name, _)| *name == service.name);
            service.policy = ordered.map_or(service.policy, |(_, policy)| Some(*policy));
        }
        let assembly = Assembly {
            nodes: &values(&self.config.nodes),
            places: &values(&self.config.places),
            pools: &values(&self.config.pools),
            services: &services,
            regions: self.geo.regions(),
            rtts: &self.rtts,
            guesses: &self.guesses,
        };
        let fleet = Fleet::assemble(&assembly, Some(&self.fleet));
        Self { elsewhere: Arc::new(Elsewhere::of(&fleet)), fleet: Arc::new(fleet), ..self.clone() }
    }

    /// A number that is another on each nameserver: by its host's name, what it calls itself, and where it listens.
    pub(super) fn salt(&self) -> u64 {
        let Server { dns, identity, nsid, .. } = &self.config.server;
        let text = |written: &Option<Written<String>>| written.as_ref().map(|written| written.value.clone());
        let listens: Vec<_> = dns.iter().map(|listen| listen.value).collect();
        let mut hasher = DefaultHasher::new();
        let host = rustix::system::uname();
        (host.nodename().to_bytes(), text(identity), text(nsid), listens).hash(&mut hasher);
        hasher.finish()
    }

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
            elsewhere: Arc::clone(&self.elsewhere),
            tables: Arc::new(tables),
            rate_limit: Arc::clone(&self.config.server.rate_limit),
            seed,
            identity: Arc::clone(&self.identity),
            cookies: self.cookies.clone().unwrap_or(drawn),
            inputs: status,
            inventories: Arc::default(),
        }
    }

    /// How the lists of nodes stand that these inputs were read with.
    pub fn inventories(&self) -> Vec<InventoryStatus> {
        self.lists.status()
    }

    /// Whether a list has something of a node.
    pub fn is_listed(&self, node: &str) -> bool {
        self.lists.has(node)
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
    /// How many of them, the last ones, are about lists of nodes.
    pub(super) of_lists: usize,
    /// Nothing but lists of nodes was read.
    pub(super) is_lists_only: bool,
    /// The same as `watched` of lists of nodes.
    pub listed: Stamps,
    /// Lists of nodes; none if the configuration cannot be read.
    pub lists: Option<Lists>,
    /// What was read, if it is to be kept.
    pub(super) files: Files,
}

impl Loaded {
    /// What is wrong with all but lists of nodes.
    pub(super) fn faults(&self) -> &[Diagnostic] {
        &self.diagnostics[..self.diagnostics.len() - self.of_lists]
    }

    /// Whether something is wrong for which nothing stands in: of a list that cannot be had an older one may count.
    pub(super) fn lacks_something(&self) -> bool {
        let is_bridged = |each: &Diagnostic| self.lists.as_ref().is_some_and(|lists| lists.bridge(each));
        self.inputs.is_none() || self.diagnostics.iter().any(|each| each.is_error() && !is_bridged(each))
    }
}

/// Reads everything that the configuration file names, and the file itself.
///
/// Nodes and regions keep their numbers over `previous`, and a zone that is broken now keeps its old form.
pub fn load(file: &Path, environment: &[(String, String)], previous: Option<&Inputs>) -> Loaded {
    load_all(file, environment, previous, None, &News::default())
}

/// The same; sources of nodes that cannot be read are as they were in `lists`.
pub(super) fn load_all(
    file: &Path,
    environment: &[(String, String)],
    previous: Option<&Inputs>,
    lists: Option<&Lists>,
    news: &News,
) -> Loaded {
    load_from(Loader::new(file, None), (file, environment), previous, (lists, news))
}

/// Reads inputs that were kept, with lists that were.
pub(super) fn load_kept(found: &Found, lists: &Lists) -> Loaded {
    let Found { file, environment, root } = found;
    let news = News { only_taken: true, ..News::default() };
    load_from(Loader::new(file, Some(root.clone())), (file, environment), None, (Some(lists), &news))
}

fn load_from(
    mut loader: Loader,
    (file, environment): (&Path, &[(String, String)]),
    previous: Option<&Inputs>,
    (lists, news): (Option<&Lists>, &News),
) -> Loaded {
    let inputs = loader.load(file, environment, previous, lists, news);
    let read = loader.taken.kept.take().unwrap_or_default();
    let files = Files { file: file.to_owned(), environment: environment.to_vec(), read };
    Loaded { files, ..loader.into_loaded(inputs) }
}

struct Loader {
    /// Relative paths start here.
    directory: PathBuf,
    /// Zone files include none from outside it.
    zone_directory: PathBuf,
    /// Stands for the root of inputs that were kept.
    root: Option<PathBuf>,
    diagnostics: Vec<Diagnostic>,
    watched: Stamps,
    listed: Stamps,
    lists: Option<Lists>,
    /// What is wrong with lists.
    list_diagnostics: Vec<Diagnostic>,
    taken: Taken,
    parts: Parts,
    /// Something is wrong that is not inside a zone: then no input is taken.
    is_blocked: bool,
}

/// What was read so far.
#[derive(Default)]
pub(in crate::feed) struct Taken {
    hasher: DefaultHasher,
    /// The octets themselves, if they are to be kept.
    kept: Option<Vec<(PathBuf, Vec<u8>)>>,
}

impl Taken {
    /// Takes what stood in a file. The path counts too: the name of a file is that of its zone.
    pub(in crate::feed) fn take(&mut self, path: &Path, octets: &[u8]) {
        (path, octets).hash(&mut self.hasher);
        self.keep(path, octets);
    }

    /// Keeps what stood in a file by another path to it too.
    pub(in crate::feed) fn keep(&mut self, path: &Path, octets: &[u8]) {
        if let Some(kept) = &mut self.kept {
            kept.push((path.to_owned(), octets.to_vec()));
        }
    }
}

impl Loader {
    fn new(file: &Path, root: Option<PathBuf>) -> Self {
        let directory = file.parent().unwrap_or(Path::new("")).to_owned();
        let mut watched = Stamps::default();
        watched.take(file);
        Self {
            zone_directory: directory.clone(),
            directory,
            root,
            diagnostics: Vec::new(),
            watched,
            listed: Stamps::default(),
            lists: None,
            list_diagnostics: Vec::new(),
            taken: Taken::default(),
            parts: Parts::default(),
            is_blocked: false,
        }
    }

    fn into_loaded(self, inputs: Option<Inputs>) -> Loaded {
        let Self { mut diagnostics, list_diagnostics, watched, listed, lists, .. } = self;
        let of_lists = list_diagnostics.len();
        diagnostics.extend(list_diagnostics);
        let files = Files::default();
        Loaded { inputs, diagnostics, of_lists, is_lists_only: false, watched, listed, lists, files }
    }

    fn load(
        &mut self,
        file: &Path,
        environment: &[(String, String)],
        previous: Option<&Inputs>,
        lists: Option<&Lists>,
        news: &News,
    ) -> Option<Inputs> {
        // It may come through a pipe.
        let source = self.text(file, std::fs::read(file))?;
        let (config, diagnostics) = config::read(&source, environment);
        self.diagnostics.extend(diagnostics);
        let mut config = config?;
        self.parts.add_configuration(&source.text, environment);
        if config.server.state.is_some() && self.root.is_none() {
            self.taken.kept = Some(vec![(file.to_owned(), source.text.as_bytes().to_vec())]);
        }
        self.read_lists(&mut config, lists, news);

        let zone_texts = self.read_zones(&config);
        let (geo, databases) = self.read_geography(&config, previous.map(|inputs| &*inputs.geo))?;
        let guesses = self.guess_places(&config, &databases);
        let rtts = self.read_round_trips(&config)?;
        let (fleet, gone) = assemble(&config, geo.regions(), &rtts, &guesses, previous);
        self.check_barriers(&config, &fleet, geo.regions());
        let zones = self.build_zones(&config, &zone_texts, &fleet, previous);
        let cookies = self.read_secrets(&config);
        let tokens = self.read_cluster_tokens(&config);
        let heartbeat_tokens = self.read_heartbeat_tokens(&config);
        let keyring = self.read_accesses(&config, previous.map(|inputs| &*inputs.keyring));
        self.warn_of_own_names(&config, &zones);
        if self.is_blocked {
            return None;
        }
        let has_inventories = !config.inventories.is_empty();
        let files_fingerprint = self.taken.hasher.finish();
        let server = &config.server;
        let text = |written: &Option<Written<String>>| written.as_ref().map(|text| text.value.clone());
        let [name, version, nsid] = [text(&server.identity), text(&server.version), text(&server.nsid)];
        Some(Inputs {
            cookies,
            // The same on all nameservers, and for ever. Made of their token, each roll of that would move every room to another
            // node at once. It needs no secret: who chooses names that one node has is answered by what that node bears, and
            // gives its keys away.
            seed: mix(0),
            tokens,
            heartbeat_tokens,
            parts: std::mem::take(&mut self.parts),
            keyring: Arc::new(keyring),
            identity: Arc::new(Identity::new(name.as_deref(), version.as_deref(), nsid.as_deref())),
            config: Arc::new(config),
            geo: Arc::new(geo),
            elsewhere: Arc::new(Elsewhere::of(&fleet)),
            fleet: Arc::new(fleet),
            zones: Arc::new(zones),
            guesses: Arc::new(guesses),
            rtts: rtts.into(),
            fingerprint: self.with_lists(files_fingerprint),
            files_fingerprint,
            databases: if has_inventories { databases } else { Vec::new() },
            lists: self.lists.clone().unwrap_or_default(),
            gone,
        })
    }

    fn read_geography(&mut self, config: &Config, previous: Option<&Geo>) -> Option<(Geo, Vec<Database>)> {
        let before = self.diagnostics.len();
        let mut databases = Vec::new();
        for written in &config.geoip.databases {
            let path = self.path(&written.value);
            self.watched.take(&path);
            match read_file(&path) {
                Ok(bytes) => {
                    self.taken.take(&path, &bytes);
                    self.parts.add(Part::Geography, &bytes);
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
                self.parts.add(Part::Geography, &source.text);
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

    fn read_round_trips(&mut self, config: &Config) -> Option<Vec<Rtt>> {
        let Some(written) = &config.geoip.rtt else { return Some(Vec::new()) };
        let source = self.read_table(written)?;
        self.parts.add(Part::Geography, &source.text);
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

    fn read_cluster_tokens(&mut self, config: &Config) -> Tokens {
        let written = config.cluster.as_ref().and_then(|cluster| cluster.token_file.as_ref());
        written.map_or_else(Tokens::default, |written| self.read_tokens(written))
    }

    fn read_heartbeat_tokens(&mut self, config: &Config) -> BTreeMap<String, Tokens> {
        let inventories = config.inventories.iter().map(|written| &written.value);
        let mut tokens = BTreeMap::new();
        for (inventory, heartbeat) in
            inventories.filter_map(|inventory| Some((inventory, inventory.heartbeat.as_ref()?)))
        {
            tokens.insert(inventory.name.clone(), self.read_tokens(&heartbeat.token_file));
        }
        tokens
    }

    fn read_tokens(&mut self, written: &Written<PathBuf>) -> Tokens {
        let tokens = self.read_table(written).and_then(|source| {
            let (tokens, diagnostics) = read_tokens(&source);
            self.diagnostics.extend(diagnostics);
            self.diagnostics.extend(warn_of_readers(&self.directory.join(&written.value)));
            tokens
        });
        // Without it nobody would be asked for one.
        self.is_blocked |= tokens.is_none();
        tokens.unwrap_or_default()
    }

    /// Reports services that barriers leave without a node, now that it is known where nodes and clients are.
    fn check_barriers(&mut self, config: &Config, fleet: &Fleet, regions: &[Region]) {
        for written in &config.services {
            let service = fleet.services.iter().find(|service| service.service.name == written.value.name);
            let Some(pool) = service.map(|service| fleet.pool(service.pool)) else { continue };
            let name = &written.value.name;
            // Where no place is excluded, that of a pool without any node is told elsewhere.
            if pool.sites.is_empty() && written.value.within.is_empty() {
                continue;
            }
            if pool.sites.is_empty() {
                let message = format!(
                    "`within` leaves the service `{name}` without any node: none of the pool `{}` stands there",
                    pool.pool.name
                );
                let help = "widen `within`, or write `place` for nodes that the geography puts elsewhere; `within` then has to name it";
                self.block_unless_listed(config, written.error(message).help(help));
            } else if regions.is_empty()
                || (0..regions.len()).all(|region| pool.candidates(RegionId(region as u16)).is_empty())
            {
                let message = format!(
                    "barriers leave the service `{name}` without any client: no node of the pool `{}` may serve any region",
                    pool.pool.name
                );
                let help = "widen `within` of the service or `serves` of the nodes, or add a place to `near` of regions that are `near_only`";
                self.block_unless_listed(config, written.error(message).help(help));
            }
        }
    }

    /// Where lists bring nodes, a lack of them is no fault of the configuration, and may be over soon.
    fn block_unless_listed(&mut self, config: &Config, mut error: Diagnostic) {
        if config.inventories.is_empty() {
            self.block(error);
        } else {
            error.severity = Severity::Warning;
            self.diagnostics.push(error);
        }
    }

    /// Where a path of the configuration leads.
    fn path(&self, written: &Path) -> PathBuf {
        match (&self.root, written.strip_prefix("/")) {
            (Some(root), Ok(below)) => root.join(below),
            _ => self.directory.join(written),
        }
    }

    /// Reports an error that keeps all inputs from being taken.
    fn block(&mut self, error: Diagnostic) {
        self.diagnostics.push(error);
        self.is_blocked = true;
    }

    /// A table that the configuration names.
    fn read_table(&mut self, written: &Written<PathBuf>) -> Option<Source> {
        let path = self.path(&written.value);
        self.watched.take(&path);
        if let Err(error) = std::fs::metadata(&path) {
            self.diagnostics.push(written.error(format!("{} cannot be read: {error}", shown(&path))));
            return None;
        }
        self.text(&path, read_file(&path))
    }

    /// What was read of a file.
    fn octets(&mut self, path: &Path, read: io::Result<Vec<u8>>) -> Option<Vec<u8>> {
        let octets = read.map_err(|error| {
            self.diagnostics.push(Diagnostic::error(format!("cannot be read: {error}")).in_file(shown(path)));
        });
        let octets = octets.ok()?;
        self.taken.take(path, &octets);
        Some(octets)
    }

    /// The same as text.
    fn text(&mut self, path: &Path, read: io::Result<Vec<u8>>) -> Option<Source> {
        match String::from_utf8(self.octets(path, read)?) {
            Ok(text) => Some(Source::new(shown(path), text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
                self.diagnostics.push(
                    Diagnostic::error(format!("is not UTF-8: see octet {valid}, on line {line}"))
                        .in_file(shown(path))
                        .help("save it as UTF-8"),
                );
                None
            }
        }
    }
}

fn positions(config: &Config) -> Vec<(String, Option<Position>)> {
    config.places.iter().map(|written| (written.value.name.clone(), written.value.at)).collect()
}

fn values<T: Clone>(written: &[Written<T>]) -> Vec<T> {
    written.iter().map(|each| each.value.clone()).collect()
}

/// What stands in a file. To read a pipe or a device might never end, and with it no reload.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::metadata(path)?.is_file() {
        true => std::fs::read(path),
        false => Err(io::Error::other("it is no file")),
    }
}

pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
