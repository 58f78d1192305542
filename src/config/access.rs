//! From what was written of accesses to what is run: an exporter's own keys, those of its default, those of `[scrape]`.
#![deny(clippy::disallowed_methods)]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::pool::{Access, Authorization, ClientCertificate, Tls};

use super::file::{AccessTable, ExportersTable};
use super::written::{Place, Problems, Written};

/// All accesses so far, each once.
#[derive(Default)]
pub(super) struct Accesses {
    known: RefCell<HashMap<Arc<Access>, Option<Place>>>,
}

impl Accesses {
    /// The access of these tables: what the first leaves open, the next may say.
    ///
    /// Of user, token and certificate a table has all or nothing: half of one and half of another would fit nobody.
    pub(super) fn resolve(&self, tables: &[&AccessTable]) -> Arc<Access> {
        let path = |path: &Written<PathBuf>| path.value.clone();
        let params = merged(tables, |table| &table.params);
        let headers = merged(tables, |table| &table.headers);
        let access = Access {
            authorization: first(tables, authorization),
            tls: Tls {
                ca: first(tables, |table| table.ca.as_ref().map(path)),
                identity: first(tables, |table| {
                    let (certificate, key) = (table.certificate.as_ref()?, table.key.as_ref()?);
                    Some(ClientCertificate { certificate: path(certificate), key: path(key) })
                }),
                server_name: first(tables, |table| table.server_name.as_ref().map(|name| name.value.clone())),
                is_unverified: first(tables, is_unverified).unwrap_or_default(),
            },
            params,
            headers,
        };
        let mut known = self.known.borrow_mut();
        if let Some((access, _)) = known.get_key_value(&access) {
            return Arc::clone(access);
        }
        let access = Arc::new(access);
        known.insert(Arc::clone(&access), tables.iter().find_map(|table| table.place.clone()));
        access
    }

    /// Each with the place of the table that says the most particular of it.
    pub(super) fn into_list(self) -> Vec<Written<Arc<Access>>> {
        let known = self.known.into_inner();
        let mut list: Vec<_> = known.into_iter().map(|(value, place)| Written { value, place }).collect();
        list.sort_by_key(|access| access.place.as_ref().map(Place::line));
        list
    }
}

fn first<T>(tables: &[&AccessTable], read: impl Fn(&AccessTable) -> Option<T>) -> Option<T> {
    tables.iter().find_map(|table| read(table))
}

/// Whoever says how a server is verified means that it is: what stands for all others does not undo it.
fn is_unverified(table: &AccessTable) -> Option<bool> {
    let is_verified = table.ca.is_some() || table.server_name.is_some();
    table.insecure_skip_verify.as_ref().map(|skip| skip.value).or(is_verified.then_some(false))
}

fn authorization(table: &AccessTable) -> Option<Authorization> {
    if let Some(file) = &table.bearer_file {
        return Some(Authorization::Bearer { file: file.value.clone() });
    }
    let basic = &table.basic.as_ref()?.value;
    let (user, password_file) = (basic.user.as_ref()?, basic.password_file.as_ref()?);
    Some(Authorization::Basic { user: user.value.clone(), password_file: password_file.value.clone() })
}

fn merged<V: Clone>(
    tables: &[&AccessTable],
    read: impl Fn(&AccessTable) -> &BTreeMap<String, V>,
) -> BTreeMap<String, V> {
    let mut all = BTreeMap::new();
    for table in tables.iter().rev() {
        all.extend(read(table).clone());
    }
    all
}

/// Reports exporters without a URL, and what contradicts itself in them; those of the defaults may leave URLs to nodes.
pub(super) fn check_exporters(own: &ExportersTable, defaults: Option<&ExportersTable>, problems: &Problems) {
    for (preset, own) in own {
        let usual = defaults.and_then(|defaults| defaults.iter().find(|(name, _)| name.value == preset.value));
        let url = own.url.as_ref().or(usual.and_then(|(_, usual)| usual.url.as_ref()));
        check(&own.access, url, problems);
        if let (Some(place), true, true) =
            (&own.access.place, own.access.says_anything(), url.is_some_and(|url| url.value.starts_with("prometheus")))
        {
            let help = "write in `[load]` how the Prometheus servers are reached";
            problems.add(
                place,
                Diagnostic::error("Prometheus is asked in place of this exporter, so nothing is shown to it")
                    .help(help),
            );
        }
        if let (Some(place), None, Some(_)) = (&own.access.place, url, defaults)
            && !own.has_url
        {
            let help = "write `url = \"http://{address}:9100/metrics\"` here or in `[defaults.node]`";
            problems.add(place, Diagnostic::error("the URL of the exporter is missing").help(help));
        }
    }
}

/// Reports keys that contradict each other, or cannot have an effect with this URL.
pub(super) fn check(access: &AccessTable, url: Option<&Written<String>>, problems: &Problems) {
    if let (Some(_), Some(basic)) = (&access.bearer_file, &access.basic) {
        let help = "a request can show one of them only: take `basic` or `bearer_file` away";
        problems.add_to(basic, Diagnostic::error("there is a bearer token too").help(help));
    }
    for (there, missing, name) in
        [(&access.certificate, &access.key, "key"), (&access.key, &access.certificate, "certificate")]
    {
        if let (Some(there), None) = (there, missing) {
            let message = format!("a client certificate and its key belong together: `{name}` is missing");
            let help = format!("name the PEM file of the {name} beside it: `{name} = \"…\"`");
            problems.add_to(there, Diagnostic::error(message).help(help));
        }
    }
    if let (Some(ca), Some(skip)) = (&access.ca, &access.insecure_skip_verify)
        && skip.value
    {
        let message = "nobody is asked to vouch for the server: `insecure_skip_verify` takes any certificate";
        let help = "take `insecure_skip_verify` away: with `ca` a certificate of one's own is verified";
        problems.add_to(ca, Diagnostic::error(message).help(help));
    }
    if url.is_some_and(|url| url.value.starts_with("http://")) {
        check_without_tls(access, problems);
    }
}

fn check_without_tls(access: &AccessTable, problems: &Problems) {
    let places = [
        ("ca", access.ca.as_ref().and_then(|written| written.place.as_ref())),
        ("certificate", access.certificate.as_ref().and_then(|written| written.place.as_ref())),
        ("server_name", access.server_name.as_ref().and_then(|written| written.place.as_ref())),
        ("insecure_skip_verify", access.insecure_skip_verify.as_ref().and_then(|written| written.place.as_ref())),
    ];
    if let Some((key, place)) = places.into_iter().find_map(|(key, place)| Some((key, place?))) {
        let message = format!("`{key}` says something of TLS, and the URL begins with `http://`");
        let help = format!("write the URL with `https://`, or take `{key}` away");
        problems.add(place, Diagnostic::error(message).help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_an_authority_has_it_asked() {
        let anything = AccessTable { insecure_skip_verify: Some(Written::default(true)), ..AccessTable::default() };
        let of = |own: &AccessTable| Accesses::default().resolve(&[own, &anything]).tls.is_unverified;
        assert!(of(&AccessTable::default()));
        assert!(!of(&AccessTable { ca: Some(Written::default("ca.pem".into())), ..AccessTable::default() }));
        let name = Some(Written::default("exporter.example".to_owned()));
        assert!(!of(&AccessTable { server_name: name.clone(), ..AccessTable::default() }));
        let skip = Some(Written::default(true));
        assert!(of(&AccessTable { server_name: name, insecure_skip_verify: skip, ..AccessTable::default() }));
    }
}
