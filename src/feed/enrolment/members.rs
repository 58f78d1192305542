//! Nodes of one inventory that heartbeats enrol: those that were let in, and those that wait.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::feed::inventory::shrinks_suddenly;
use crate::intake::{Beat, EnrolWish, Unwanted};
use crate::pool::MAX_NODES;
use crate::snapshot::WaitingStatus;

/// Three heartbeats as they usually come: a node that is silent for longer may be gone, and another may have its name.
const SILENT: Duration = Duration::from_secs(30);
/// The most nodes that wait.
const MAX_WAITING: usize = 1_000;
/// How long a silent one waits.
const WAITS: Duration = Duration::from_secs(24 * 3_600);
/// Where the target of a node is if it does not say where its API is: SRS' own default.
const USUAL_PORT: u16 = 1985;

/// The nodes of one inventory.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// By name.
    pub(super) approved: BTreeMap<String, Member>,
    /// By name and address: an approval is for both.
    pub(super) waiting: BTreeMap<(String, IpAddr), Member>,
}

/// A node as its last heartbeat was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Member {
    /// What viewers are told.
    pub(super) address: IpAddr,
    /// Where its heartbeats come from.
    source: IpAddr,
    /// What tells two servers of one name apart.
    server: String,
    device: String,
    ports: BTreeMap<String, u16>,
    /// Seconds since 1970 when it was let in, or began to wait.
    since: u64,
    /// It is in the list; a node that was silent for too long is not.
    is_in: bool,
    /// Who let it in, and why.
    by: Option<(String, String)>,
    #[serde(skip, default = "Instant::now")]
    last: Instant,
    /// The times between its last heartbeats.
    #[serde(skip)]
    gaps: [Duration; 2],
}

/// What a heartbeat came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A node's; whether anything is to be kept of it that was not.
    Member(bool),
    /// One that waits; whether it is new.
    Waiting(bool),
    /// Nobody's who may send it.
    Refused(Unwanted),
}

impl Members {
    /// Takes a heartbeat at `now`, in Unix seconds too; `is_open` lets everybody in.
    pub(super) fn take(&mut self, beat: &Beat, is_open: bool, now: u64) -> Taken {
        let Beat { node, address, at, .. } = beat;
        let key = (node.clone(), *address);
        if let Some(member) = self.approved.get_mut(node) {
            let is_alive = !member.is_silent(*at);
            if is_alive && !member.is_of(beat) {
                return Taken::Refused(Unwanted::Taken);
            }
            if member.address == *address || is_open {
                let has_moved = std::mem::replace(&mut member.address, *address) != *address;
                return Taken::Member(member.hear(beat) || has_moved);
            }
        }
        if let Some(member) = self.waiting.get_mut(&key) {
            let is_alive = !member.is_silent(*at);
            if is_alive && !member.is_of(beat) {
                return Taken::Refused(Unwanted::Taken);
            }
            member.hear(beat);
            if is_open
                && self.make_room(1)
                && let Some(member) = self.waiting.remove(&key)
            {
                self.approved.insert(node.clone(), Member { since: now, ..member });
                return Taken::Member(true);
            }
            return Taken::Waiting(false);
        }
        let member = Member::new(beat, now);
        if is_open {
            if !self.make_room(1) {
                return Taken::Refused(Unwanted::Crowded);
            }
            self.approved.insert(node.clone(), member);
            return Taken::Member(true);
        }
        if self.waiting.len() >= MAX_WAITING {
            let oldest = self.waiting.iter().min_by_key(|(_, member)| member.last);
            let oldest = oldest.filter(|(_, member)| at.saturating_duration_since(member.last) > SILENT);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return Taken::Refused(Unwanted::Crowded) };
            self.waiting.remove(&oldest);
        }
        self.waiting.insert(key, member);
        Taken::Waiting(true)
    }

    /// Lets nodes in, or sends them away; which ones, or why none.
    pub(super) fn enrol(&mut self, wish: &EnrolWish, now: u64) -> Result<Vec<String>, String> {
        let EnrolWish { inventory, node, is_approval, who, reason } = wish;
        let (name, at) = match node.as_deref() {
            None => (None, None),
            Some(node) => match node.rsplit_once('@').and_then(|(name, at)| Some((name, at.parse::<IpAddr>().ok()?))) {
                Some((name, at)) => (Some(name), Some(at)),
                None => (Some(node), None),
            },
        };
        let is_meant =
            |known: &str, address: IpAddr| name.is_none_or(|name| name == known) && at.is_none_or(|at| at == address);
        let waiting = self.waiting.keys().filter(|(name, address)| is_meant(name, *address));
        let waiting: Vec<(String, IpAddr)> = waiting.cloned().collect();
        if !is_approval {
            let approved = self.approved.iter().filter(|(name, member)| is_meant(name, member.address));
            let approved: Vec<String> = approved.map(|(name, _)| name.clone()).collect();
            let Some(name) = name.filter(|_| !(waiting.is_empty() && approved.is_empty())) else {
                return Err(self.unknown(inventory, name, false));
            };
            waiting.iter().for_each(|key| drop(self.waiting.remove(key)));
            approved.iter().for_each(|name| drop(self.approved.remove(name)));
            return Ok(vec![name.to_owned()]);
        }
        let names: BTreeSet<&str> = waiting.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            return Err(self.unknown(inventory, name, true));
        }
        if names.len() < waiting.len() {
            let twice: Vec<String> = waiting.iter().map(|(name, address)| format!("{name}@{address}")).collect();
            return Err(format!(
                "one name is said of several addresses: approve them one by one, as `NODE@ADDRESS`, of {}",
                twice.join(", ")
            ));
        }
        let new = names.iter().filter(|name| !self.approved.contains_key(**name)).count();
        if !self.make_room(new) {
            return Err(format!("there would be more than {MAX_NODES} nodes"));
        }
        let mut told = Vec::new();
        for key in &waiting {
            let Some(member) = self.waiting.remove(key) else { continue };
            told.push(format!("{} ({})", key.0, key.1));
            let by = Some((who.clone(), reason.clone()));
            self.approved.insert(key.0.clone(), Member { since: now, by, is_in: true, ..member });
        }
        Ok(told)
    }

    /// Forgets nodes that left, who was heard longest ago first, until so many more may be let in; whether they may.
    fn make_room(&mut self, wanted: usize) -> bool {
        while self.approved.len() + wanted > MAX_NODES {
            let gone = self.approved.iter().filter(|(_, member)| !member.is_in);
            let Some(oldest) = gone.min_by_key(|(_, member)| member.last).map(|(name, _)| name.clone()) else {
                return false;
            };
            self.approved.remove(&oldest);
        }
        true
    }

    fn unknown(&self, inventory: &str, name: Option<&str>, is_approval: bool) -> String {
        let Some(name) = name else { return format!("no node of `{inventory}` waits to be approved") };
        if is_approval && self.approved.contains_key(name) {
            return format!("`{name}` is approved already");
        }
        let waiting = self.waiting.keys().map(|(name, _)| name.as_str());
        let approved = self.approved.keys().map(String::as_str).filter(|_| !is_approval);
        let help = crate::diagnostic::nearest(name, waiting.chain(approved));
        let help = help.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        format!("no heartbeat of a node `{name}` has come for `{inventory}`{help}")
    }

    /// Whether anything changed by the time that has gone: nodes that were silent for too long leave. If many are silent it
    /// is rather we who hear nothing: then they leave at once or not at all, and the guard of lists has its say.
    pub(super) fn list(&mut self, now: Instant, leaves_after: Duration) -> (String, bool) {
        self.waiting.retain(|_, member| now.saturating_duration_since(member.last) <= WAITS);
        let names = |is_meant: &dyn Fn(&Member) -> bool| {
            let meant = self.approved.iter().filter(|(_, member)| member.is_in && is_meant(member));
            meant.map(|(name, _)| name.clone()).collect::<BTreeSet<String>>()
        };
        let is_due = |member: &Member| now.saturating_duration_since(member.last) > leaves_after;
        let (silent, due) = (names(&|member| member.is_silent(now) || is_due(member)), names(&is_due));
        let all = self.approved.values().filter(|member| member.is_in).count();
        let is_sudden = shrinks_suddenly(all, all - silent.len());
        let leave = if is_sudden && !due.is_empty() { &silent } else { &due };
        let is_in = |(name, member): &(&String, &Member)| member.is_in && !leave.contains(*name);
        let groups = self.approved.iter().filter(is_in).map(|(name, member)| member.group(name));
        let text = serde_json::Value::Array(groups.collect()).to_string();
        let has_changed = !is_sudden && self.expel(|name, _| due.contains(name));
        (text, has_changed)
    }

    /// Takes note of which nodes are served: of those that are silent the others have left. Whether any has.
    pub(super) fn settle(&mut self, served: &BTreeSet<String>, now: Instant) -> bool {
        self.expel(|name, member| !served.contains(name) && member.is_silent(now))
    }

    fn expel(&mut self, is_meant: impl Fn(&str, &Member) -> bool) -> bool {
        let meant = self.approved.iter_mut().filter(|(name, member)| member.is_in && is_meant(name, member));
        meant.map(|(_, member)| member.is_in = false).count() > 0
    }

    /// Nodes of the list that are silent now.
    pub(super) fn silent(&self, now: Instant) -> usize {
        let is_silent = |member: &&Member| member.is_in && member.is_silent(now);
        self.approved.values().filter(is_silent).count()
    }

    /// When the last heartbeat came, in Unix seconds.
    pub(super) fn last(&self, now: Instant, unix: u64) -> Option<u64> {
        let last = self.approved.values().map(|member| member.last).max()?;
        Some(unix.saturating_sub(now.saturating_duration_since(last).as_secs()))
    }

    /// Those that wait, as operators see them.
    pub(super) fn waiting(&self, now: Instant, unix: u64) -> Vec<WaitingStatus> {
        let status = |((name, address), member): (&(String, IpAddr), &Member)| WaitingStatus {
            node: name.clone(),
            address: *address,
            source: member.source,
            server: member.server.clone(),
            since: member.since,
            beat: unix.saturating_sub(now.saturating_duration_since(member.last).as_secs()),
            instead_of: self.approved.get(name).map(|known| known.address),
        };
        self.waiting.iter().map(status).collect()
    }
}

impl Member {
    fn new(beat: &Beat, now: u64) -> Self {
        let Beat { address, source, heartbeat, at, .. } = beat;
        let ports = heartbeat.ports.iter().map(|(protocol, port)| ((*protocol).to_owned(), *port));
        Self {
            address: *address,
            source: *source,
            server: heartbeat.server.clone(),
            device: heartbeat.device.clone(),
            ports: ports.collect(),
            since: now,
            is_in: true,
            by: None,
            last: *at,
            gaps: [Duration::ZERO; 2],
        }
    }

    /// Whether three heartbeats were missed, of those that come so often.
    fn is_silent(&self, now: Instant) -> bool {
        // An outage is one long gap, and no habit.
        let gap = self.gaps[0].min(self.gaps[1]);
        now.saturating_duration_since(self.last) > SILENT.max(gap.saturating_mul(3))
    }

    /// Whether a heartbeat is of the same server.
    fn is_of(&self, beat: &Beat) -> bool {
        self.source == beat.source && self.server == beat.heartbeat.server && self.address == beat.address
    }

    /// Takes what a heartbeat says; whether that is anything new.
    fn hear(&mut self, beat: &Beat) -> bool {
        let new = Self::new(beat, self.since);
        let is_same = self.is_in
            && (self.source, &self.server, &self.device, &self.ports)
                == (new.source, &new.server, &new.device, &new.ports);
        let gaps = [beat.at.saturating_duration_since(self.last), self.gaps[0]];
        *self = Self { address: self.address, by: self.by.take(), gaps, ..new };
        !is_same
    }

    /// As a list of nodes has it.
    fn group(&self, name: &str) -> serde_json::Value {
        let Self { address, device, server, ports, .. } = self;
        let port = ports.get("api").copied().unwrap_or(USUAL_PORT);
        let mut labels: BTreeMap<&str, String> =
            ports.iter().map(|(name, port)| (name.as_str(), port.to_string())).collect();
        labels.extend([("node", name.to_owned()), ("addr", address.to_string())]);
        labels.extend([("device_id", device.clone()), ("server", server.clone())]);
        json!({ "targets": [SocketAddr::new(*address, port).to_string()], "labels": labels })
    }
}

#[cfg(test)]
mod tests;
