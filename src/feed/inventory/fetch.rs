//! Lists behind URLs, asked again and again as Prometheus asks them (`http_sd` in its documentation): GET, status 200,
//! `application/json`, the whole list each time.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode};
use tokio::sync::{mpsc, watch};

use super::Outcome;
use super::files::now;
use crate::diagnostic::Source;
use crate::feed::client::{AGENT, Clients, HttpClient, causes};
use crate::feed::credentials::Credentials;
use crate::feed::names::Names;
use crate::feed::pace::keep;

/// The longest time for a whole list.
const LIMIT: Duration = Duration::from_secs(10);
/// The same at the start, where everything waits for it.
const LIMIT_AT_START: Duration = Duration::from_secs(4);
/// Time from a failure to the next look, if the usual one is not shorter.
const AGAIN: Duration = Duration::from_secs(10);
/// Octets of the longest list: 4,096 nodes with four kilobytes each.
const MAX_BODY: usize = 16 << 20;

/// A URL to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::feed) struct Fetch {
    pub(in crate::feed) url: String,
    /// Time from one look to the next.
    pub(in crate::feed) refresh: Duration,
}

/// What came of a look.
#[derive(Debug)]
pub(in crate::feed) struct Fetched {
    pub(in crate::feed) url: String,
    pub(in crate::feed) outcome: Outcome,
}

/// Asks these until the sender of them is gone.
pub(in crate::feed) async fn run(fetches: watch::Receiver<Vec<Fetch>>, sender: mpsc::Sender<Fetched>) {
    let client = client();
    keep(fetches, |fetch| fetch.url.clone(), |fetch| fetch_at_intervals(client.clone(), fetch, sender.clone())).await;
}

/// Asks each once, all at the same time; it may be called from anywhere.
pub(in crate::feed) fn fetch_all(fetches: &[Fetch]) -> BTreeMap<String, Outcome> {
    let all = || -> std::io::Result<BTreeMap<String, Outcome>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let fetched = runtime.block_on(async {
            let client = client();
            let each = fetches
                .iter()
                .map(|fetch| async { (fetch.url.clone(), outcome(&client, fetch, LIMIT_AT_START).await) });
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
fn client() -> HttpClient {
    Clients::new(0, Names::of_system()).of(&Credentials::default())
}

async fn fetch_at_intervals(client: HttpClient, fetch: Fetch, sender: mpsc::Sender<Fetched>) {
    loop {
        let outcome = outcome(&client, &fetch, LIMIT).await;
        let pause = if outcome.result.is_ok() { fetch.refresh } else { fetch.refresh.min(AGAIN) };
        if sender.send(Fetched { url: fetch.url.clone(), outcome }).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

async fn outcome(client: &HttpClient, fetch: &Fetch, limit: Duration) -> Outcome {
    let fetched = tokio::time::timeout(limit, get(client, fetch)).await;
    let result = fetched.unwrap_or_else(|_| Err(format!("nothing within {} s", limit.as_secs())));
    Outcome { at: now(), result: result.map(|text| Source::new(fetch.url.clone(), text)) }
}

async fn get(client: &HttpClient, fetch: &Fetch) -> Result<String, String> {
    let request = Request::get(&fetch.url)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, AGENT)
        .header("x-prometheus-refresh-interval-seconds", fetch.refresh.as_secs_f64().to_string())
        .body(Full::default())
        .map_err(|error| format!("the URL cannot be asked: {error}"))?;
    let response = client.request(request).await.map_err(|error| {
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

    /// Answers the first request with this, and returns what was asked.
    async fn exchange(answer: String) -> (Result<String, String>, String) {
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
        let (client, fetch) = (client(), Fetch { url, refresh: Duration::from_secs(30) });
        let (asked, outcome) = tokio::join!(server, outcome(&client, &fetch, LIMIT));
        (outcome.result.map(|source| source.text.to_string()), asked)
    }

    fn answer(status: &str, kind: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn lists_are_asked_for_as_prometheus_asks() {
        for kind in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
            let (result, asked) = exchange(answer("200 OK", kind, "[]")).await;
            assert_eq!(result, Ok("[]".to_owned()), "{kind}");
            for line in ["get /nodes http/1.1", "accept: application/json", "x-prometheus-refresh-interval-seconds: 30"]
            {
                assert!(asked.lines().any(|asked| asked == line), "{line} is missing in\n{asked}");
            }
        }
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
            let (result, _) = exchange(answer).await;
            assert!(result.as_ref().is_err_and(|error| error.contains(told)), "{told}: {result:?}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_told_for_each_url() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("its address"));
        drop(listener);
        let outcomes = fetch_all(&[Fetch { url: url.clone(), refresh: Duration::from_secs(60) }]);
        assert!(outcomes[&url].result.as_ref().is_err_and(|error| error.starts_with("no connection: ")));
    }
}
