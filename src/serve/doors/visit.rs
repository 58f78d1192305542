//! A visit: one request at a door, by a client who is known and may ask.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;

use super::Doors;
use super::client::{client, is_proxied};
use super::limit::may_ask;
use super::refusal::Refusal;
use super::signature::is_signed;
use crate::serve::https::Asker;
use crate::serve::scratch::Path;
use crate::serve::{Consulted, unix_milliseconds};
use crate::snapshot::Snapshot;

/// One request at a door.
pub(super) struct Visit {
    doors: Doors,
    asker: Asker,
    /// Who asks, or for whom somebody does who may.
    pub(super) client: IpAddr,
    /// Who asks may ask for others: a trusted proxy, or who has signed.
    pub(super) is_vouched: bool,
    parameters: BTreeMap<String, String>,
}

impl Visit {
    /// Looks at who asks, and whether that is too often.
    pub(super) fn begin(doors: &Doors, request: &Request<Body>) -> Result<Self, Refusal> {
        let asker = request.extensions().get::<Asker>().cloned();
        let asker = asker.ok_or_else(|| Refusal::bad("the request has come by no listener"))?;
        asker.count(true);
        let now = unix_milliseconds();
        let snapshot = doors.responder.published.snapshot();
        let (http_dns, peer) = (&snapshot.http_dns, asker.path.client.ip());
        let client = client(peer, request.headers(), &http_dns.trusted_proxies);
        let query = request.uri().query().unwrap_or_default();
        let is_signed = is_signed(request.uri().path(), query, &snapshot.url_keys, now / 1_000)?;
        if !is_signed && !may_ask(&doors.limiter, &http_dns.rate_limit, client, now) {
            return Err(Refusal::too_many());
        }
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if parameters.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(Refusal::bad(format!("`{name}` is there more than once")));
            }
        }
        let is_vouched = is_signed || is_proxied(peer, &http_dns.trusted_proxies);
        Ok(Self { doors: doors.clone(), asker, client, is_vouched, parameters })
    }

    /// A parameter that is there and not empty.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter, read; none if it is not there.
    pub(super) fn read<T>(
        &self,
        name: &str,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let read = |text: &str| {
            read(text).ok_or_else(|| Refusal::bad(format!("`{name}={}` is not {what}", text.escape_debug())))
        };
        self.parameter(name).map(read).transpose()
    }

    /// Goes on for the client whom the parameter names. Only who may ask for others is heard; anybody else is refused if it
    /// `must` count, and else asks for himself.
    pub(super) fn for_client(&mut self, name: &str, must: bool) -> Result<(), Refusal> {
        let read = |text: &str| text.parse::<IpAddr>().ok();
        let Some(client) = self.read(name, "an address such as 192.0.2.1 or 2001:db8::1", read)? else { return Ok(()) };
        if self.is_vouched {
            self.client = client.to_canonical();
        } else if must {
            return Err(Refusal::forbidden(format!(
                "`{name}` counts from proxies in `server.trusted_proxies` only, or with a signature"
            )));
        }
        Ok(())
    }

    /// The newest snapshot.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.doors.responder.published.snapshot()
    }

    /// Asks the engine by a message, as the client's own; `take` sees the answer, and says for how many viewers it is booked.
    pub(super) fn consult<T>(
        &self,
        message: &[u8],
        stream: Option<&[u8]>,
        take: impl FnOnce(&Consulted<'_>) -> (T, u32),
    ) -> Result<T, Refusal> {
        let Path { client, local, transport, idle } = self.asker.path;
        let path = Path { client: SocketAddr::new(self.client, client.port()), local, transport, idle };
        let consulted = self.doors.responder.consult(message, path, stream, take);
        consulted.ok_or_else(|| Refusal::bad("that makes no DNS query"))
    }
}
