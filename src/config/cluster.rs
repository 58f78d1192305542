//! `[cluster]`: the other nameservers of the installation, and by what they know each other.
#![deny(clippy::disallowed_methods)]

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::diagnostic::Diagnostic;

use super::table::Table;
use super::written::{Place, Problems, Written};
use super::{Cluster, MutualTls, address, defaults, value};

/// The most other nameservers: each talks with each.
const MAX_PEERS: usize = 15;

/// The table as it was written; what is missing has been reported.
pub(super) struct ClusterTable {
    place: Place,
    pub(super) listen: Option<Written<SocketAddr>>,
    peers: Option<Written<Vec<Written<SocketAddr>>>>,
    token_file: Option<Written<PathBuf>>,
    tls: Option<TlsTable>,
    /// Whether all of it could be read, so that what is not there was left out.
    is_sound: bool,
}

/// `cluster.tls`.
struct TlsTable {
    certificate: Option<Written<PathBuf>>,
    key: Option<Written<PathBuf>>,
    ca: Option<Written<PathBuf>>,
}

/// Takes the keys of the table.
pub(super) fn read(mut table: Table<'_>, problems: &Problems) -> ClusterTable {
    let before = problems.count();
    let place = table.place().clone();
    table
        .require("listen", "write `listen = \"10.0.0.1:8054\"`: the address at which the others reach this nameserver");
    table.require("peers", "write `peers = [\"10.0.1.1:8054\"]`: the addresses of the others");
    let listen = table.value("listen", |item| address::listen(item, defaults::CLUSTER_PORT));
    let peers = table.filled_list("peers", |item| address::listen(item, defaults::CLUSTER_PORT));
    let token_file = table.value("token_file", value::path);
    let tls = table.table("tls", "cluster.tls").map(read_tls);
    table.finish();
    ClusterTable { place, listen, peers, token_file, tls, is_sound: problems.count() == before }
}

fn read_tls(mut table: Table<'_>) -> TlsTable {
    table.require("certificate", "name the PEM file of this nameserver's certificate and its chain");
    table.require("key", "name the PEM file of the private key");
    table.require("ca", "name the PEM file of the authority that the certificates of all nameservers come from");
    let certificate = table.value("certificate", value::path);
    let key = table.value("key", value::path);
    let ca = table.value("ca", value::path);
    table.finish();
    TlsTable { certificate, key, ca }
}

/// Reports others that cannot be, and a listener that anybody could talk to.
pub(super) fn check(table: &ClusterTable, has_cookie_secrets: bool, problems: &Problems) {
    let ClusterTable { place, listen, peers, token_file, tls, is_sound } = table;
    let own = listen.as_ref().map(|listen| listen.value);
    if let Some(listen) = listen.as_ref().filter(|_| *is_sound)
        && !listen.value.ip().is_loopback()
        && token_file.is_none()
        && tls.is_none()
    {
        let message = format!("anybody who reaches `{}` could steer: there is neither a token nor TLS", listen.value);
        let help = "write `token_file = \"peer.token\"`, the same file on all nameservers, as `openssl rand -hex 32` \
                    makes it; or `tls = { certificate = …, key = …, ca = … }`; or both";
        problems.add_to(listen, Diagnostic::error(message).help(help));
    }
    if token_file.is_none() && tls.is_some() && !has_cookie_secrets && *is_sound {
        let message = "without a token each nameserver makes its own DNS cookies, which the others do not know";
        let help = "write `token_file`, from which they are made alike, or name one `server.cookie_secrets` on all";
        problems.add(place, Diagnostic::warning(message).help(help));
    }
    let all = peers.as_ref().map_or(&[][..], |peers| peers.value.as_slice());
    for (index, peer) in all.iter().enumerate() {
        if peer.value.ip().is_unspecified() || peer.value.port() == 0 {
            let help = "write the address and port at which that nameserver listens";
            problems.add_to(peer, Diagnostic::error(format!("`{}` is nobody's address", peer.value)).help(help));
        }
        if all[..index].iter().any(|earlier| earlier.value == peer.value) {
            problems.add_to(peer, Diagnostic::error(format!("`{}` is there twice", peer.value)));
        }
    }
    let others: Vec<_> = all.iter().filter(|peer| Some(peer.value) != own).collect();
    if let Some(beyond) = others.get(MAX_PEERS) {
        let message = format!("there are {} other nameservers, at most {MAX_PEERS} are allowed", others.len());
        problems.add_to(beyond, Diagnostic::error(message));
    }
    if let Some(peers) = peers.as_ref().filter(|_| *is_sound && others.is_empty()) {
        let help = "name the others, or take `[cluster]` away";
        problems.add_to(peers, Diagnostic::error("this nameserver is the only one in `cluster.peers`").help(help));
    }
}

/// What is run; this nameserver itself may be among the peers, so that all can have one list, and is left out.
pub(super) fn resolve(table: ClusterTable) -> Option<Cluster> {
    let ClusterTable { place: _, listen, peers, token_file, tls, is_sound: _ } = table;
    let listen = listen?;
    let peers = peers?.value.into_iter().filter(|peer| peer.value != listen.value).collect();
    let tls = tls.and_then(|TlsTable { certificate, key, ca }| {
        Some(MutualTls { certificate: certificate?, key: key?, authority: ca? })
    });
    Some(Cluster { listen, peers, token_file, tls })
}
