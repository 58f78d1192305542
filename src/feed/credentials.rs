//! What accesses name: tokens, passwords and certificates, as they were read. Nothing of them is ever shown.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::trust::{Material, Read, Trust};
use crate::diagnostic::Diagnostic;
use crate::pool::{Access, Authorization, ClientCertificate, Tls};

/// Everything that accesses of a configuration name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Keyring {
    held: HashMap<Arc<Access>, Arc<Credentials>>,
}

impl Keyring {
    /// What is to be shown and trusted by an access; none if it could never be read.
    pub fn of(&self, access: &Access) -> Option<Arc<Credentials>> {
        self.held.get(access).cloned()
    }

    pub(super) fn put(&mut self, access: Arc<Access>, credentials: Arc<Credentials>) {
        self.held.insert(access, credentials);
    }
}

/// What goes with every request of one access, and what its connections are made with.
#[derive(Clone, PartialEq)]
pub struct Credentials {
    headers: HeaderMap,
    trust: Arc<Trust>,
}

impl Credentials {
    /// Reads what an access names, by `read`, which gives a file's name and octets, or has said itself why not; all
    /// that is wrong inside the files is reported.
    ///
    /// If its certificates are as they were in `previous`, its connections can go on.
    pub(super) fn read(
        access: &Access,
        previous: Option<&Self>,
        mut read: impl FnMut(&Path) -> Option<Read>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let Access { authorization, tls, params: _, headers: written } = access;
        let mut problems = Vec::new();
        let mut is_whole = true;
        let mut headers = HeaderMap::new();
        for (name, value) in written {
            // Both were checked when the configuration was read.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, sensitive(value));
            }
        }
        match authorization.as_ref().map(|authorization| authorize(authorization, &mut read)) {
            Some(Ok(value)) => drop(headers.insert(AUTHORIZATION, value)),
            Some(Err(problem)) => {
                is_whole = false;
                problems.extend(problem);
            }
            None => {}
        }
        let material = material(tls, &mut read).ok_or_else(Vec::new);
        let trust = material.and_then(|material| match previous {
            Some(previous) if previous.trust.is_of(&material) => Ok(Arc::clone(&previous.trust)),
            _ if material == Material::default() => Ok(Trust::of_system()),
            _ => Trust::new(material).map(Arc::new),
        });
        match trust {
            Ok(trust) if is_whole => Ok(Self { headers, trust }),
            Ok(_) => Err(problems),
            Err(more) => Err(problems.into_iter().chain(more).collect()),
        }
    }

    /// What is added to every request.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What connections are made with.
    pub(super) fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }
}

/// Those of an access that names no file and no header.
impl Default for Credentials {
    fn default() -> Self {
        Self { headers: HeaderMap::new(), trust: Trust::of_system() }
    }
}

/// Names what there is, and nothing of it.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.keys().collect();
        f.debug_struct("Credentials").field("headers", &names).finish_non_exhaustive()
    }
}

fn authorize(
    authorization: &Authorization,
    read: &mut impl FnMut(&Path) -> Option<Read>,
) -> Result<HeaderValue, Option<Diagnostic>> {
    let (what, file) = match authorization {
        Authorization::Bearer { file } => ("token", file),
        Authorization::Basic { password_file, .. } => ("password", password_file),
    };
    let (name, octets) = read(file).ok_or(None)?;
    let wrong = |message: String| Diagnostic::error(message).in_file(name.as_str());
    let help = format!("the file holds the {what} alone, on one line");
    // Editors end the line.
    let secret = octets.trim_ascii_end();
    if secret.is_empty() {
        return Err(Some(wrong(format!("there is no {what} in it")).help(help)));
    }
    let value = match authorization {
        Authorization::Bearer { .. } => [b"Bearer ", secret].concat(),
        Authorization::Basic { user, .. } => {
            format!("Basic {}", BASE64_STANDARD.encode([user.as_bytes(), b":", secret].concat())).into_bytes()
        }
    };
    // Which octet is wrong is not said: it is one of the secret.
    let is_line = !secret.iter().any(u8::is_ascii_control);
    let value = is_line.then_some(value).and_then(|value| HeaderValue::try_from(value).ok());
    let broken = || wrong(format!("the {what} has lines or control characters in it")).help(help);
    value.map(sensitive).ok_or_else(|| Some(broken()))
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// None if a file could not be read.
fn material(tls: &Tls, read: &mut impl FnMut(&Path) -> Option<Read>) -> Option<Material> {
    let Tls { ca, identity, server_name, is_unverified } = tls;
    // All of them are tried, so that all that are missing are told.
    let ca = ca.as_deref().map(&mut *read);
    let identity = identity.as_ref().map(|ClientCertificate { certificate, key }| (read(certificate), read(key)));
    let identity = match identity {
        Some((certificate, key)) => Some((certificate?, key?)),
        None => None,
    };
    let ca = match ca {
        Some(ca) => Some(ca?),
        None => None,
    };
    Some(Material { ca, identity, server_name: server_name.clone(), is_unverified: *is_unverified })
}
