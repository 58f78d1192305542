//! Lists behind URLs, asked again and again as Prometheus asks them (`http_sd` in its documentation): GET, status 200,
//! `application/json`, the whole list each time.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode};
use tokio::sync::{mpsc, watch};

use super::Outcome;
use super::files::now;
use crate::diagnostic::Source;
use crate::feed::client::{AGENT, Clients, causes, with_params};
use crate::feed::credentials::Credentials;
use crate::feed::names::Names;
use crate::feed::pace::keep;
use crate::pool::Access;

/// The longest time for a whole list.
const LIMIT: Duration = Duration::from_secs(10);
/// The same at the start, where everything waits for it.
const LIMIT_AT_START: Duration = Duration::from_secs(4);
/// Time from a failure to the next look, if the usual one is not shorter.
const AGAIN: Duration = Duration::from_secs(10);
/// Octets of the longest list: 4,096 nodes with four kilobytes each.
const MAX_BODY: usize = 16 << 20;

/// A URL to ask.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::feed) struct Fetch {
    pub(in crate::feed) url: String,
    pub(in crate::feed) access: Arc<Access>,
    /// Time from one look to the next.
    pub(in crate::feed) refresh: Duration,
    /// What the access names; none if it could not be read.
    pub(in crate::feed) credentials: Option<Arc<Credentials>>,
}

/// What came of a look.
#[derive(Debug)]
pub(in crate::feed) struct Fetched {
    pub(in crate::feed) url: String,
    pub(in crate::feed) outcome: Outcome,
}

/// Asks these until the sender of them is gone.
pub(in crate::feed) async fn run(fetches: watch::Receiver<Vec<Fetch>>, sender: mpsc::Sender<Fetched>) {
    let clients = clients();
    keep(fetches, |fetch| fetch.url.clone(), |fetch| fetch_at_intervals(clients.clone(), fetch, sender.clone())).await;
}

/// Asks each once, all at the same time; it may be called from anywhere.
pub(in crate::feed) fn fetch_all(fetches: &[Fetch]) -> BTreeMap<String, Outcome> {
    let all = || -> std::io::Result<BTreeMap<String, Outcome>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let fetched = runtime.block_on(async {
            let clients = clients();
            let each = fetches
                .iter()
                .map(|fetch| async { (fetch.url.clone(), outcome(&clients, fetch, LIMIT_AT_START).await) });
            futures_util::future::join_all(each).await
        });
        // The system's look-up of a name cannot be cancelled, and may hang for a minute: it is left behind.
        runtime.shutdown_background();
        Ok(fetched.into_iter().collect())
    };
    if fetches.is_empty() {
        return BTreeMap::new();
    }
    // Its own thread: whoever calls may be inside a runtime, which must not wait for another.
    let asked = std::thread::scope(|scope| scope.spawn(all).join());
    match asked {
        Ok(Ok(fetched)) => fetched,
        Ok(Err(error)) => {
            tracing::error!(%error, "no list was fetched before the start");
            BTreeMap::new()
        }
        Err(_) => {
            tracing::error!("fetching lists ended in a panic; none was fetched before the start");
            BTreeMap::new()
        }
    }
}

/// Each look makes a connection of its own: they are minutes apart.
fn clients() -> Clients {
    Clients::new(0, Names::of_system())
}

async fn fetch_at_intervals(clients: Clients, fetch: Fetch, sender: mpsc::Sender<Fetched>) {
    loop {
        let outcome = outcome(&clients, &fetch, LIMIT).await;
        let pause = if outcome.result.is_ok() { fetch.refresh } else { fetch.refresh.min(AGAIN) };
        if sender.send(Fetched { url: fetch.url.clone(), outcome }).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

async fn outcome(clients: &Clients, fetch: &Fetch, limit: Duration) -> Outcome {
    let fetched = tokio::time::timeout(limit, get(clients, fetch)).await;
    let result = fetched.unwrap_or_else(|_| Err(format!("nothing within {} s", limit.as_secs())));
    Outcome { at: now(), result: result.map(|text| Source::new(fetch.url.clone(), text)) }
}

async fn get(clients: &Clients, fetch: &Fetch) -> Result<String, String> {
    let unread = "what the inventory names of a token, password or certificate cannot be read";
    let credentials = fetch.credentials.as_ref().ok_or(unread)?;
    let url = fetch.url.parse().ok().and_then(|url| with_params(&url, &fetch.access.pairs()));
    let mut request = Request::get(url.ok_or("with its parameters the URL cannot be asked")?)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, AGENT)
        .header("x-prometheus-refresh-interval-seconds", fetch.refresh.as_secs_f64().to_string())
        .body(Full::default())
        .map_err(|error| format!("the URL cannot be asked: {error}"))?;
    request.headers_mut().extend(credentials.headers().clone());
    let response = clients.of(credentials).request(request).await.map_err(|error| {
        let why = causes(error.source().unwrap_or(&error));
        if error.is_connect() { format!("no connection: {why}") } else { format!("the exchange broke: {why}") }
    })?;
    if response.status() != StatusCode::OK {
        return Err(format!("status {}, which should be 200", response.status().as_u16()));
    }
    let kind = response.headers().get(CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
    let kind = kind.unwrap_or_default();
    if !is_json(&kind) {
        return Err(format!("content type `{kind}`, which should be `application/json`"));
    }
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    let body = body.map_err(|error| format!("the list cannot be read: {error}"))?.to_bytes();
    String::from_utf8(body.into()).map_err(|_| "the list is not UTF-8".to_owned())
}

/// As Prometheus wants it: perhaps with UTF-8 as its character set, and nothing else.
fn is_json(kind: &str) -> bool {
    let lower = kind.to_ascii_lowercase();
    match lower.split_once(';') {
        None => lower == "application/json",
        Some((kind, parameter)) => {
            kind == "application/json" && matches!(parameter.trim_start(), "charset=utf-8" | "charset=\"utf-8\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::pool::Authorization;

    const TOKEN: &str = "a-token";

    fn fetch(url: String, access: Access) -> Fetch {
        let credentials = Credentials::read(&access, None, |_| Some(("token".to_owned(), TOKEN.into()))).ok();
        Fetch {
            url,
            access: Arc::new(access),
            refresh: Duration::from_secs(30),
            credentials: credentials.map(Arc::new),
        }
    }

    /// Answers the first request with this, and returns what was asked.
    async fn exchange(access: Access, answer: String) -> (Result<String, String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/nodes", listener.local_addr().expect("its address"));
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.expect("a request"));
            }
            stream.write_all(answer.as_bytes()).await.expect("room");
            String::from_utf8(request).expect("text").to_ascii_lowercase()
        };
        let (clients, fetch) = (clients(), fetch(url, access));
        let (asked, outcome) = tokio::join!(server, outcome(&clients, &fetch, LIMIT));
        (outcome.result.map(|source| source.text.to_string()), asked)
    }

    fn answer(status: &str, kind: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn lists_are_asked_for_as_prometheus_asks() {
        for kind in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
            let (result, asked) = exchange(Access::default(), answer("200 OK", kind, "[]")).await;
            assert_eq!(result, Ok("[]".to_owned()), "{kind}");
            for line in ["get /nodes http/1.1", "accept: application/json", "x-prometheus-refresh-interval-seconds: 30"]
            {
                assert!(asked.lines().any(|asked| asked == line), "{line} is missing in\n{asked}");
            }
        }
    }

    #[tokio::test]
    async fn lists_are_asked_for_with_what_the_inventory_says_of_them() {
        let access = Access {
            authorization: Some(Authorization::Bearer { file: "token".into() }),
            params: BTreeMap::from([("dc".to_owned(), vec!["fra 1".to_owned()])]),
            headers: BTreeMap::from([("x-scope-orgid".to_owned(), "anna".to_owned())]),
            ..Access::default()
        };
        let (result, asked) = exchange(access.clone(), answer("200 OK", "application/json", "[]")).await;
        assert_eq!(result, Ok("[]".to_owned()));
        for line in ["get /nodes?dc=fra%201 http/1.1", &format!("authorization: bearer {TOKEN}"), "x-scope-orgid: anna"]
        {
            assert!(asked.lines().any(|asked| asked == line), "{line} is missing in\n{asked}");
        }
        // Without its token nobody is asked.
        let unread = Fetch { credentials: None, ..fetch("http://127.0.0.1:9/".to_owned(), access) };
        let outcome = outcome(&clients(), &unread, LIMIT).await;
        assert!(outcome.result.is_err_and(|error| error.contains("cannot be read")));
    }

    #[tokio::test]
    async fn what_is_no_list_is_an_error() {
        for (answer, told) in [
            (answer("503 Service Unavailable", "application/json", "[]"), "status 503"),
            (answer("204 No Content", "application/json", ""), "status 204"),
            (answer("302 Found", "application/json", "[]"), "status 302"),
            (answer("200 OK", "text/html", "[]"), "content type `text/html`"),
            (answer("200 OK", "application/json; charset=latin1", "[]"), "content type"),
            ("HTTP/1.1 200 OK\r\n\r\n[]".to_owned(), "content type ``"),
            (
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[]".to_owned(),
                "cannot be read",
            ),
        ] {
            let (result, _) = exchange(Access::default(), answer).await;
            assert!(result.as_ref().is_err_and(|error| error.contains(told)), "{told}: {result:?}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_told_for_each_url() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("its address"));
        drop(listener);
        let outcomes = fetch_all(&[fetch(url.clone(), Access::default())]);
        assert!(outcomes[&url].result.as_ref().is_err_and(|error| error.starts_with("no connection: ")));
    }
}
