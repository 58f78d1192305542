//! `heartbeat` of an inventory: where media servers tell by themselves that they are there, and whose word counts.
#![deny(clippy::disallowed_methods)]

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::geo::Prefix;

use super::table::Table;
use super::value;
use super::written::{Place, Problems, Written};
use super::{address, defaults};

/// Where media servers send heartbeats, and which of them become nodes.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// Where they are sent to.
    pub listen: Written<SocketAddr>,
    /// The file of the tokens of which a heartbeat has one.
    pub token_file: Written<PathBuf>,
    /// Who may send: others are not even listened to.
    pub from: Vec<Prefix>,
    /// What viewers may be told; empty = addresses of `from`.
    pub addresses: Vec<Prefix>,
    /// Viewers are told where a heartbeat came from, not what it says.
    pub is_by_source: bool,
    /// A node that nobody has approved is one all the same.
    pub is_open: bool,
    /// How long a node may be silent before it leaves the inventory.
    pub leaves_after: Duration,
}

/// The table as it was written; what is missing has been reported.
pub(super) struct HeartbeatTable {
    pub(super) place: Place,
    pub(super) listen: Option<Written<SocketAddr>>,
    token_file: Option<Written<PathBuf>>,
    from: Vec<Prefix>,
    addresses: Vec<Prefix>,
    address: Option<Written<&'static str>>,
    approve: Option<Written<&'static str>>,
    leaves_after: Option<Written<Duration>>,
}

/// The words of `address`: what a heartbeat says of itself, or where it comes from.
const ADDRESSES: [&str; 2] = ["ip", "source"];
/// The words of `approve`.
const APPROVALS: [&str; 2] = ["by_hand", "at_once"];
/// The preset by which summaries are read of which nothing is said.
pub(super) const USUAL_PRESET: &str = "srs_heartbeat";

impl Heartbeat {
    /// Whether this address may be told to viewers.
    pub fn may_name(&self, address: IpAddr) -> bool {
        let prefixes = if self.addresses.is_empty() { &self.from } else { &self.addresses };
        prefixes.iter().any(|prefix| prefix.contains(address))
    }
}

/// Takes the keys of the table.
pub(super) fn read(mut table: Table<'_>) -> HeartbeatTable {
    let place = table.place().clone();
    table.require(
        "listen",
        "write `listen = \"10.0.0.53:1986\"`: the address that stands in the servers' configuration",
    );
    table.require("token_file", "write `token_file = \"srs.token\"`, with a line that `openssl rand -hex 32` makes");
    table.require("from", "write `from = [\"10.0.0.0/8\"]`: the networks of the servers that may be nodes");
    let listen = table.value("listen", |item| address::listen(item, defaults::HEARTBEAT_PORT));
    let token_file = table.value("token_file", value::path);
    let prefixes = |list: Option<Written<Vec<Written<Prefix>>>>| -> Vec<Prefix> {
        let list = list.map(|list| list.value).unwrap_or_default();
        list.into_iter().map(|prefix| prefix.value.to_canonical()).collect()
    };
    let from = prefixes(table.filled_list("from", value::prefix));
    let addresses = prefixes(table.filled_list("addresses", value::prefix));
    let address = table.word("address", &ADDRESSES);
    let approve = table.word("approve", &APPROVALS);
    let leaves_after = table
        .value("leaves_after", |item| value::duration(item, &(Duration::from_secs(60)..=Duration::from_secs(86_400))));
    table.finish();
    HeartbeatTable { place, listen, token_file, from, addresses, address, approve, leaves_after }
}

/// Warns of approvals that would not last.
pub(super) fn check(table: &HeartbeatTable, has_state: bool, problems: &Problems) {
    let is_open = table.approve.as_ref().is_some_and(|word| word.value == APPROVALS[1]);
    if !has_state && !is_open {
        let message = "a restart forgets which nodes were approved: there is no `server.state`";
        let help = "write `state = \"/var/lib/thalweg\"` in `[server]`";
        problems.add(&table.place, Diagnostic::warning(message).help(help));
    }
}

/// What is run.
pub(super) fn resolve(table: HeartbeatTable) -> Option<Heartbeat> {
    let HeartbeatTable { place: _, listen, token_file, from, addresses, address, approve, leaves_after } = table;
    let is = |word: Option<Written<&str>>, meant: &str| word.is_some_and(|word| word.value == meant);
    Some(Heartbeat {
        listen: listen?,
        token_file: token_file?,
        from,
        addresses,
        is_by_source: is(address, ADDRESSES[1]),
        is_open: is(approve, APPROVALS[1]),
        leaves_after: leaves_after.map_or(defaults::LEAVES_AFTER, |time| time.value),
    })
}
