//! The daemon as commands reach it: over HTTP, on the admin address of its configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use super::count;
use crate::config::{self, Essentials};
use crate::diagnostic::Source;

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Octets of the longest answer that is read.
const MAX_BODY: usize = 16 << 20;

/// Where the daemon of a configuration is.
pub(super) struct Daemon {
    address: SocketAddr,
    file: PathBuf,
    /// How long it may take to answer.
    patience: Duration,
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// It said no, in words.
    Refused(String),
    /// Nothing answers, or nothing that can be read.
    Unreachable(String),
}

impl Daemon {
    /// The daemon of this configuration, which may have errors by now.
    pub(super) fn of(file: &Path) -> Result<Self, String> {
        let text =
            std::fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let environment: Vec<(String, String)> = std::env::vars().collect();
        let source = Source::new(file.display().to_string(), text);
        let (config, diagnostics) = config::read(&source, &environment);
        let address = match config {
            Some(config) => config.server.admin.value,
            // It goes on by older inputs, and now is when operators need it.
            None => {
                let count = count(&diagnostics);
                eprintln!("thalweg: {} has {count}; `thalweg check` shows them", file.display());
                Essentials::of(&source.text, &environment).admin
            }
        };
        Ok(Self { address, file: file.to_owned(), patience: TIMEOUT })
    }

    /// The same with another time that it may take to answer.
    pub(super) fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Asks for a path with these parameters, with a body of JSON if there is one.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        parameters: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<T, NoAnswer> {
        let given: Vec<String> = parameters.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        let url = format!("http://{}{path}?{}", self.address, given.join("&"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
        let (status, body) = runtime
            .block_on(async {
                let fetched = tokio::time::timeout(self.patience, fetch(method, &url, body)).await;
                fetched.map_err(|_| format!("nothing came within {} s: it hangs", self.patience.as_secs()))?
            })
            .map_err(|error| NoAnswer::Unreachable(self.unreachable(&error)))?;
        if !status.is_success() {
            let said = String::from_utf8_lossy(&body).trim().to_owned();
            return Err(NoAnswer::Refused(if said.is_empty() { status.to_string() } else { said }));
        }
        serde_json::from_slice(&body)
            .map_err(|error| NoAnswer::Unreachable(format!("the daemon's answer cannot be read: {error}")))
    }

    fn unreachable(&self, error: &str) -> String {
        format!(
            "no daemon answers on {} (server.admin in {}): {error}\nIs `thalweg run` running?",
            self.address,
            self.file.display()
        )
    }
}

async fn fetch(method: &Method, url: &str, body: Option<String>) -> Result<(StatusCode, Bytes), String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|error| error.to_string())?;
    let response = client.request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|error| error.to_string())?;
    Ok((status, body.to_bytes()))
}

/// Percent-encodes what is not plain in a query string (RFC 3986 §2.3).
fn encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
