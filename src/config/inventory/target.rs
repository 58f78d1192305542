//! What a list says of each target: its node, by the labels that are mapped to our words.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::list::{Group, Labels};
use crate::config::address;
use crate::config::file::{MappingTable, Origin};
use crate::config::heartbeat;
use crate::config::preset::Presets;
use crate::config::tree::{Item, Value};
use crate::config::value::{self, Reading, Wrong, did_you_mean, shown, string};
use crate::config::written::{Problems, Written};
use crate::diagnostic::Diagnostic;
use crate::pool::{Bitrate, HEARTBEAT};

/// As long as intervals of the configuration may be.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// How a target is read of which nothing is said: machines have a node_exporter if anything.
const USUAL_PRESET: &str = "node";

/// What the configuration has, that labels may name.
pub(super) struct Known<'k> {
    pub(super) places: &'k [&'k str],
    pub(super) presets: &'k Presets,
}

/// Which label says what, every default filled in.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    /// Nodes bring their load by themselves.
    is_by_heartbeat: bool,
    key: String,
    /// Nobody wrote it: without that label, the target's host is the key.
    is_default_key: bool,
    pub(super) address: String,
    place: Origin<Written<String>>,
    egress: Origin<Bitrate>,
    clients: Origin<u32>,
    weight: Origin<f64>,
    cost: Origin<f64>,
    drain: Origin<String>,
    exporter: Origin<String>,
}

/// One target: an exporter, and what its labels say of the node.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The node's name.
    pub(super) key: Written<String>,
    /// Its addresses for viewers.
    pub(super) addresses: Vec<Written<IpAddr>>,
    /// The target's host, if it is an address.
    pub(super) host: Option<Written<IpAddr>>,
    pub(super) place: Option<Written<String>>,
    pub(super) egress: Option<Written<Bitrate>>,
    pub(super) clients: Option<Written<u32>>,
    pub(super) weight: Option<Written<f64>>,
    pub(super) cost: Option<Written<f64>>,
    /// Why it gets nobody new.
    pub(super) drain: Option<String>,
    /// The preset by which it is read.
    pub(super) exporter: String,
    pub(super) url: Written<String>,
    pub(super) interval: Option<Written<Duration>>,
    /// All that is not mapped.
    pub(super) labels: BTreeMap<String, Written<String>>,
}

impl Mapping {
    pub(super) fn of(table: MappingTable, is_by_heartbeat: bool) -> Self {
        let MappingTable { key, address, place, egress, clients, weight, cost, drain, exporter } = table;
        let of_heartbeats = || is_by_heartbeat.then(|| Origin::Fixed(heartbeat::USUAL_PRESET.to_owned()));
        let exporter = exporter.or_else(of_heartbeats);
        fn or<T>(written: Option<Origin<T>>, label: &str) -> Origin<T> {
            written.unwrap_or_else(|| Origin::Label(label.to_owned()))
        }
        Self {
            is_by_heartbeat,
            is_default_key: key.is_none(),
            key: key.unwrap_or_else(|| "node".to_owned()),
            address: address.unwrap_or_else(|| "addr".to_owned()),
            place: or(place, "place"),
            egress: or(egress, "capacity_egress"),
            clients: or(clients, "capacity_clients"),
            weight: or(weight, "weight"),
            cost: or(cost, "cost"),
            drain: or(drain, "drain"),
            exporter: or(exporter, "exporter"),
        }
    }

    /// All that is said, wherever it stands.
    pub(super) fn said(&self) -> String {
        let mut plain = self.clone();
        if let Origin::Fixed(place) = &mut plain.place {
            place.place = None;
        }
        format!("{plain:?}")
    }

    /// Whether a label is read for our own data, so that pools do not select by it.
    fn takes(&self, name: &str) -> bool {
        fn is<T>(origin: &Origin<T>, name: &str) -> bool {
            matches!(origin, Origin::Label(label) if label == name)
        }
        let Self {
            is_by_heartbeat: _,
            key,
            is_default_key: _,
            address,
            place,
            egress,
            clients,
            weight,
            cost,
            drain,
            exporter,
        } = self;
        key == name
            || address == name
            || is(place, name)
            || is(egress, name)
            || is(clients, name)
            || is(weight, name)
            || is(cost, name)
            || is(drain, name)
            || is(exporter, name)
    }
}

/// The most labels of all targets together: 4,096 nodes with three exporters and forty labels each have fewer. A group of a
/// few lines can stand for any number of them.
const MAX_LABELS: usize = 500_000;

/// What groups say of their targets; what is wrong is reported.
pub(super) fn read(mapping: &Mapping, groups: Vec<Group>, known: &Known<'_>, problems: &Problems) -> Vec<Target> {
    let labels = groups.iter().map(|group| group.targets.len().saturating_mul(group.labels.len())).sum::<usize>();
    if let Some(first) = groups.iter().find_map(|group| group.targets.first()).filter(|_| labels > MAX_LABELS) {
        let message =
            format!("the targets of the list have {labels} labels together, and at most {MAX_LABELS} are taken");
        problems
            .add_to(first, Diagnostic::error(message).help("leave out labels that neither pools nor this mapping use"));
        return Vec::new();
    }
    let mut targets = Vec::new();
    for Group { targets: addresses, labels } in groups {
        for address in addresses {
            let reader = Reader { mapping, target: &address, labels: &labels, problems };
            targets.extend(reader.read(known));
        }
    }
    targets
}

struct Reader<'r> {
    mapping: &'r Mapping,
    target: &'r Written<String>,
    labels: &'r Labels,
    problems: &'r Problems,
}

impl Reader<'_> {
    fn read(&self, known: &Known<'_>) -> Option<Target> {
        let mapping = self.mapping;
        let place = self
            .mapped(&mapping.place, |item| known_place(item, known.places).map(|name| Written::at(&item.place, name)));
        let exporter =
            self.mapped(&mapping.exporter, |item| value::preset(item, known.presets)).map(|preset| preset.value);
        let exporter = exporter.unwrap_or_else(|| USUAL_PRESET.to_owned());
        let (key, url) = (self.key(), self.url());
        // Whatever is missing, the rest is read too: all that is wrong is told at once.
        let target = Target {
            key: key.clone().unwrap_or_else(|| self.target.clone()),
            addresses: self.addresses(),
            host: self.host(),
            place: place.map(|place| place.value),
            egress: self.mapped(&mapping.egress, bitrate),
            clients: self.mapped(&mapping.clients, |item| value::whole(item, &(1..=100_000_000))),
            weight: self.mapped(&mapping.weight, value::fraction),
            cost: self.mapped(&mapping.cost, value::milliseconds),
            drain: self.mapped(&mapping.drain, value::text).map(|reason| reason.value).filter(|reason| is_yes(reason)),
            exporter,
            url: url.clone().unwrap_or_else(|| self.target.clone()),
            interval: self.label("__scrape_interval__").and_then(|item| self.take(&item, interval)),
            labels: self.others(),
        };
        key.and(url).map(|_| target)
    }

    /// A label that has a value.
    fn label(&self, name: &str) -> Option<Item> {
        // In a list, the address is the target itself, whatever the group says.
        if name == "__address__" {
            let value = Value::Variable(self.target.value.clone());
            return self.target.place.clone().map(|place| Item { value, place });
        }
        self.labels.get(name).cloned()
    }

    fn take<T>(&self, item: &Item, read: impl Fn(&Item) -> Reading<T>) -> Option<Written<T>> {
        match read(item) {
            Ok(value) => Some(Written::at(&item.place, value)),
            Err(wrong) => {
                self.problems.add_once(&item.place, wrong);
                None
            }
        }
    }

    fn mapped<T: Clone>(&self, origin: &Origin<T>, read: impl Fn(&Item) -> Reading<T>) -> Option<Written<T>> {
        match origin {
            Origin::Label(name) => self.take(&self.label(name)?, read),
            Origin::Fixed(value) => Some(self.target.clone().map(|_| value.clone())),
        }
    }

    fn key(&self) -> Option<Written<String>> {
        match self.label(&self.mapping.key) {
            Some(item) => self.take(&item, name),
            None if self.mapping.is_default_key => {
                let host = host_of(&self.target.value);
                Some(self.target.clone().map(|_| host.to_owned()))
            }
            None => {
                let message =
                    format!("`{}` has no label `{}`, which names its node", self.target.value, self.mapping.key);
                let help = "give its group the label, or map `key` of the inventory to another";
                self.problems.add_to(self.target, Diagnostic::error(message).help(help));
                None
            }
        }
    }

    fn addresses(&self) -> Vec<Written<IpAddr>> {
        let Some(item) = self.label(&self.mapping.address) else { return Vec::new() };
        let Ok(text) = string(&item, "") else { return Vec::new() };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let mut found: Vec<Written<IpAddr>> = Vec::new();
        for part in parts {
            let item = Item { value: Value::Variable(part.to_owned()), place: item.place.part(part) };
            let Some(address) = self.take(&item, address::of_node) else { continue };
            if let Some(first) = found.iter().find(|first| first.value.is_ipv4() == address.value.is_ipv4()) {
                let family = if address.value.is_ipv4() { "IPv4" } else { "IPv6" };
                let message = format!("the node has more than one {family} address, which is not built yet");
                let error = Diagnostic::error(message).help(format!("keep this one or `{}`", first.value));
                self.problems.add_once(&item.place, error);
                continue;
            }
            found.push(address);
        }
        found
    }

    fn host(&self) -> Option<Written<IpAddr>> {
        let place = self.target.place.as_ref()?;
        let host = Item { value: Value::Variable(host_of(&self.target.value).to_owned()), place: place.clone() };
        Some(Written::at(place, address::of_node(&host).ok()?))
    }

    /// Where the exporter is, as Prometheus puts it together.
    fn url(&self) -> Option<Written<String>> {
        if self.mapping.is_by_heartbeat {
            return Some(self.target.clone().map(|_| HEARTBEAT.to_owned()));
        }
        let text = |name: &str| self.label(name).and_then(|item| string(&item, "").ok().map(str::to_owned));
        let scheme = text("__scheme__").unwrap_or_else(|| "http".to_owned());
        let path = text("__metrics_path__").unwrap_or_else(|| "/metrics".to_owned());
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut url = format!("{scheme}://{}{slash}{path}", self.target.value);
        let mut between = if path.contains('?') { '&' } else { '?' };
        for (label, item) in self.labels {
            let Some(parameter) = label.strip_prefix("__param_").filter(|name| !name.is_empty()) else { continue };
            let Ok(value) = string(item, "") else { continue };
            url.push_str(&format!("{between}{}={}", encoded(parameter), encoded(value)));
            between = '&';
        }
        let place = ["__scheme__", "__metrics_path__"].into_iter().find_map(|name| self.labels.get(name));
        let place = place.map(|item| item.place.clone()).or_else(|| self.target.place.clone())?;
        self.take(&Item { value: Value::Variable(url), place }, address::exporter)
    }

    /// Labels that are neither ours nor Prometheus' own.
    fn others(&self) -> BTreeMap<String, Written<String>> {
        let others = self.labels.iter().filter(|(name, _)| !name.starts_with("__") && !self.mapping.takes(name));
        let text = |item: &Item| Some(Written::at(&item.place, string(item, "").ok()?.to_owned()));
        others.filter_map(|(name, item)| Some((name.clone(), text(item)?))).collect()
    }
}

/// A target without its port, and without the brackets of an IPv6 address.
fn host_of(target: &str) -> &str {
    match target.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => target.rsplit_once(':').filter(|(host, _)| !host.contains(':')).map_or(target, |(host, _)| host),
    }
}

fn name(item: &Item) -> Reading<String> {
    let text = string(item, "a node's name")?;
    // Names stand in logs, metrics and arguments of commands, where blanks part words.
    let is_name = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    is_name.then(|| text.to_owned()).ok_or_else(|| {
        Wrong::new(format!("{} is not a node's name: it has blanks", shown(item)))
            .help("take a label without blanks as `key`")
    })
}

fn known_place(item: &Item, places: &[&str]) -> Reading<String> {
    let text = string(item, "a place")?;
    if places.contains(&text) {
        return Ok(text.to_owned());
    }
    let help = did_you_mean(text, places.iter().copied())
        .unwrap_or_else(|| format!("a place is made by a table `[place.{text}]` of the configuration"));
    Err(Wrong::new(format!("there is no place `{text}`")).help(help))
}

/// As in the configuration, or bit/s as a bare number.
fn bitrate(item: &Item) -> Reading<Bitrate> {
    let bare = string(item, "").ok().and_then(|text| text.parse().ok());
    match bare.filter(|bits: &f64| bits.is_finite() && *bits > 0.0) {
        Some(bits) => Ok(Bitrate(bits)),
        None => value::bitrate(item),
    }
}

/// Whether a label says that a node is drained; any word but these is the reason.
fn is_yes(text: &str) -> bool {
    !["false", "0", "no"].contains(&text.trim().to_ascii_lowercase().as_str())
}

/// A duration as Prometheus writes it: `1m30s`.
fn interval(item: &Item) -> Reading<Duration> {
    let text = string(item, "")?;
    let wrong = || {
        let bounds = "from 100ms to 1h";
        Wrong::new(format!("{} is not an interval {bounds}", shown(item))).help("write it like `15s` or `1m30s`")
    };
    let (mut rest, mut sum) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |length| digits + length);
        let part = crate::config::duration(&rest[..unit]).map_err(|_| wrong())?;
        sum = sum.checked_add(part).ok_or_else(wrong)?;
        rest = &rest[unit..];
    }
    if INTERVALS.contains(&sum) { Ok(sum) } else { Err(wrong()) }
}

/// Percent-encodes what is not plain in a query string (RFC 3986 §2.3).
fn encoded(text: &str) -> String {
    let octet = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(octet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Format;
    use crate::diagnostic::Source;

    #[test]
    fn hosts_are_what_stands_before_the_port() {
        for (target, host) in [
            ("198.51.100.10:9100", "198.51.100.10"),
            ("edge1.example", "edge1.example"),
            ("edge1:80", "edge1"),
            ("[2001:db8::1]:9100", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(host_of(target), host);
        }
    }

    fn told(list: &str) -> Vec<String> {
        let config = "[service.\"play.live.example\"]\n[place.fra]\nat = [50, 8]\n[defaults.node]\nplace = \"fra\"\n\
                      [inventory.fleet]\nfile_sd = \"nodes.json\"\n";
        let (config, said) = crate::config::read(&Source::new("thalweg.toml", config), &[]);
        let config = config.unwrap_or_else(|| panic!("{said:?}"));
        let source = Source::new("nodes.json", list);
        let read = config.read_list(&config.inventories[0].value, &source, Format::Json);
        read.expect_err("something is wrong").iter().map(|diagnostic| diagnostic.message.clone()).collect()
    }

    #[test]
    fn what_is_wrong_with_all_of_a_list_is_told_twenty_times_and_counted() {
        let told = told(&format!("[{}1]", "1,".repeat(99)));
        assert_eq!((told.len(), told[20].as_str()), (21, "80 more things are wrong, from here on"));
    }

    #[test]
    fn a_few_lines_do_not_stand_for_millions_of_labels() {
        let targets: Vec<String> = (0..1_000).map(|target| format!("\"n{target}:1\"")).collect();
        let labels: Vec<String> = (0..1_000).map(|label| format!("\"l{label}\":\"x\"")).collect();
        let told = told(&format!("[{{\"targets\":[{}],\"labels\":{{{}}}}}]", targets.join(","), labels.join(",")));
        assert!(told.len() == 1 && told[0].contains("have 1000000 labels together"), "{told:?}");
    }

    #[test]
    fn a_reason_is_anything_but_no() {
        for (text, is_drained) in [("false", false), ("0", false), ("No", false), ("true", true), ("rack 7", true)] {
            assert_eq!(is_yes(text), is_drained, "{text}");
        }
    }
}
