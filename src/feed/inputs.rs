//! Inputs: configuration, zones and geography from disk, checked together; what is wrong, all of it.

mod accesses;
mod barriers;
mod certificates;
mod geography;
mod guesses;
mod lists;
mod loader;
mod numbers;
mod secrets;
mod signed;
mod transfers;
mod zone_keys;
mod zones;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use super::credentials::Keyring;
use super::inventory::{Lists, News};
use super::parts::Parts;
use super::secondary::Copies;
use super::stamps::Stamps;
use super::state::{Files, Found};
use crate::config::{self, Config, Server, Written};
use crate::diagnostic::Diagnostic;
use crate::geo::{Database, Geo, Rtt};
use crate::intake::{Carrier, Certificate, Tokens};
use crate::name::Name;
use crate::pool::Policy;
use crate::snapshot::{Elsewhere, InputStatus, InventoryStatus, Snapshot, Transfers, TurnKeys, UrlKeys, Zones};
use crate::steer::{Assembly, Fleet, Guess, Tables, mix};
use crate::wire::{Identity, Keys, Secrets};
use crate::zone::{Signed, Signing};

pub(super) use lists::{load_lists, urls};
pub(super) use loader::{Taken, read_file, shown};
pub(super) use signed::load_signed;
pub(super) use transfers::load_transfers;

use geography::{Compiled, Geography};
use loader::Loader;
use numbers::{Gone, assemble};
use zones::Made;

/// Everything that is read from disk, in the form that is served.
#[derive(Clone)]
pub struct Inputs {
    /// The configuration.
    pub config: Arc<Config>,
    /// The geography.
    pub geo: Arc<Geo>,
    /// What it was compiled from.
    compiled: Arc<Compiled>,
    /// What is steered.
    pub fleet: Arc<Fleet>,
    /// Where viewers are sent that a pool has no room for.
    pub elsewhere: Arc<Elsewhere>,
    /// The zones.
    pub zones: Arc<Zones>,
    /// What was made of the files of each zone, the broken ones too.
    made: Arc<BTreeMap<Name, Arc<Made>>>,
    /// Where the geography has each node's address.
    pub guesses: Arc<BTreeMap<String, Guess>>,
    /// Measured times.
    rtts: Arc<[Rtt]>,
    /// What DNS cookies are made by, if the configuration names a file of secrets.
    pub cookies: Option<Secrets>,
    /// What goes out of zones to other nameservers.
    pub transfers: Arc<Transfers>,
    /// By what messages of other servers are known.
    pub keys: Arc<Keys>,
    /// By what the nameservers of the installation know each other.
    pub tokens: Tokens,
    /// By what requests over HTTP are signed that are for others.
    pub url_keys: UrlKeys,
    /// What credentials for TURN servers are made of.
    pub turn_keys: TurnKeys,
    /// What the encrypted listeners show.
    pub certificates: BTreeMap<Carrier, Certificate>,
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
            signatures: Arc::default(),
            rate_limit: Arc::clone(&self.config.server.rate_limit),
            http_dns: Arc::clone(&self.config.server.http_dns),
            url_keys: self.url_keys.clone(),
            turn_keys: self.turn_keys.clone(),
            seed,
            identity: Arc::clone(&self.identity),
            cookies: self.cookies.clone().unwrap_or(drawn),
            keys: Arc::clone(&self.keys),
            transfers: Arc::clone(&self.transfers),
            inputs: status,
            inventories: Arc::default(),
            secondaries: Arc::default(),
        }
    }

    /// How the lists of nodes stand that these inputs were read with.
    pub fn inventories(&self) -> Vec<InventoryStatus> {
        self.lists.status()
    }

    /// Whether a zone is to be signed again, at a time in seconds since 1970.
    pub(super) fn is_signing_due(&self, now: u64) -> bool {
        self.made.values().any(|made| made.is_due(now))
    }

    /// What was kept of zones that are signed here, and when the first of their signatures ends.
    pub(super) fn signed(&self) -> impl Iterator<Item = (&Name, &Arc<Signed>)> {
        self.made.iter().filter_map(|(name, made)| Some((name, made.signed()?)))
    }

    /// By what a zone is signed.
    pub(super) fn signing(&self, zone: &Name) -> Option<&Arc<Signing>> {
        self.made.get(zone)?.signing()
    }

    /// Whether a zone that is served can be signed again, and is to be.
    pub(super) fn can_sign_again(&self, now: u64) -> bool {
        let is_due = |zone: &Name| self.made.get(zone).is_some_and(|made| made.signed().is_some() && made.is_due(now));
        self.zones.iter().any(|zone| zone.signer().is_some() && is_due(zone.apex()))
    }

    /// The same with the zones of others that were made of the same configuration later, and what goes out of them.
    pub(super) fn with_zones_of(&self, later: &Self) -> Self {
        let Self { zones, made, fingerprint, files_fingerprint, .. } = later;
        let outward = self.config.zones.outward.iter().map(|written| &written.value);
        let transfers = Transfers::new(outward, zones, Some((&self.transfers, &self.zones)));
        Self {
            zones: Arc::clone(zones),
            made: Arc::clone(made),
            transfers: Arc::new(transfers),
            fingerprint: *fingerprint,
            files_fingerprint: *files_fingerprint,
            ..self.clone()
        }
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
pub(super) fn load_kept(found: &Found, lists: &Lists, copies: &Copies) -> Loaded {
    let Found { file, environment, root } = found;
    let news = News { only_taken: true, copies: copies.clone(), ..News::default() };
    load_from(Loader::new(file, Some(root.clone())), (file, environment), None, (Some(lists), &news))
}

fn load_from(
    mut loader: Loader,
    (file, environment): (&Path, &[(String, String)]),
    previous: Option<&Inputs>,
    (lists, news): (Option<&Lists>, &News),
) -> Loaded {
    loader.copies = news.copies.clone();
    let inputs = loader.load(file, environment, previous, lists, news);
    let read = loader.taken.kept.take().unwrap_or_default();
    let files = Files { file: file.to_owned(), environment: environment.to_vec(), read };
    Loaded { files, ..loader.into_loaded(inputs) }
}

/// Where clients and nodes are.
struct Surroundings {
    geography: Geography,
    guesses: BTreeMap<String, Guess>,
    rtts: Vec<Rtt>,
}

impl Loader {
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
        // Not that of inputs that were kept: what is kept of signatures is not among them.
        self.state = config.server.state.as_ref().map(|state| self.directory.join(&state.value));
        self.read_lists(&mut config, lists, news);

        let comes = |zone: &Name| config.zones.secondaries.iter().any(|written| written.value.name == *zone);
        self.copies.retain(comes);
        let files = self.find_zones(&config);
        let told = self.diagnostics.len();
        let Some(Surroundings { geography, guesses, rtts }) = self.read_surroundings(&config, previous) else {
            self.read_zones(&files, None, told, previous);
            return None;
        };
        let Geography { geo, compiled, databases, is_as_before: _ } = geography;
        let (fleet, gone) = assemble(&config, geo.regions(), &rtts, &guesses, previous);
        self.check_barriers(&config, &fleet, geo.regions());
        let mut bound = self.bind(&config, &files, &fleet);
        self.bind_keys(&config, &files, &mut bound);
        let (zones, made) = self.make_zones((&files, &bound), told, &fleet, previous);
        let cookies = self.read_secrets(&config);
        let before = previous.map(|inputs| (&*inputs.transfers, &*inputs.zones));
        let outward = config.zones.outward.iter().map(|written| &written.value);
        let transfers = Transfers::new(outward, &zones, before);
        self.check_outward(&config, &files);
        let keys = self.read_keys(&config, file);
        let tokens = self.read_cluster_tokens(&config);
        let (url_keys, turn_keys) = (self.read_url_keys(&config), self.read_turn_keys(&config));
        let heartbeat_tokens = self.read_heartbeat_tokens(&config);
        let certificates = self.read_certificates(&config, previous.map(|inputs| &inputs.certificates));
        let keyring = self.read_accesses(&config, previous.map(|inputs| &*inputs.keyring));
        self.warn_of_own_names(&config, &zones);
        if self.is_blocked {
            return None;
        }
        let has_inventories = !config.inventories.is_empty();
        let files_fingerprint = self.taken.fingerprint() ^ zones::signed_fingerprint(&made);
        let server = &config.server;
        let text = |written: &Option<Written<String>>| written.as_ref().map(|text| text.value.clone());
        let [name, version, nsid] = [text(&server.identity), text(&server.version), text(&server.nsid)];
        Some(Inputs {
            cookies,
            keys: Arc::new(keys),
            transfers: Arc::new(transfers),
            // The same on all nameservers, and for ever. Made of their token, each roll of that would move every room to another
            // node at once. It needs no secret: who chooses names that one node has is answered by what that node bears, and
            // gives its keys away.
            seed: mix(0),
            tokens,
            url_keys,
            turn_keys,
            heartbeat_tokens,
            certificates,
            parts: std::mem::take(&mut self.parts),
            keyring: Arc::new(keyring),
            identity: Arc::new(Identity::new(name.as_deref(), version.as_deref(), nsid.as_deref())),
            config: Arc::new(config),
            geo,
            compiled,
            elsewhere: Arc::new(Elsewhere::of(&fleet)),
            fleet: Arc::new(fleet),
            zones: Arc::new(zones),
            made: Arc::new(made),
            guesses: Arc::new(guesses),
            rtts: rtts.into(),
            fingerprint: self.with_lists(files_fingerprint),
            files_fingerprint,
            databases: if has_inventories { databases.all().to_vec() } else { Vec::new() },
            lists: self.lists.clone().unwrap_or_default(),
            gone,
        })
    }

    /// Reads where clients and nodes are.
    fn read_surroundings(&mut self, config: &Config, previous: Option<&Inputs>) -> Option<Surroundings> {
        let geography = self.read_geography(config, previous)?;
        let same = previous.filter(|_| geography.is_as_before);
        let guesses = self.guess_places(config, &geography.databases, same);
        let rtts = self.read_round_trips(config)?;
        Some(Surroundings { geography, guesses, rtts })
    }
}

fn values<T: Clone>(written: &[Written<T>]) -> Vec<T> {
    written.iter().map(|each| each.value.clone()).collect()
}
