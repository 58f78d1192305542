//! DNS over HTTPS as `curl` meets it: a name resolved by us, and what each wrong request is told.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use thalweg::wire::RecordType;

use super::support::query::Query;
use super::support::reply::Reply;
use super::{Installed, installed};

/// An answer over HTTP.
#[derive(Debug)]
struct Answer {
    version: String,
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn reply(&self) -> Reply {
        assert_eq!((self.status, self.header("content-type")), (200, Some("application/dns-message")), "{self:?}");
        Reply::read(&self.body).unwrap()
    }
}

/// What curl has with these arguments, and this as what it is given to send.
fn curl(arguments: &[&str], input: &[u8]) -> Answer {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--insecure", "--include", "--max-time", "20", "--noproxy", "*"]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("curl is there (tests/run installs it)");
    let mut stdin = running.stdin.take().unwrap();
    let input = input.to_vec();
    // It may have no use for it.
    let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = running.wait_with_output().unwrap();
    writing.join().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let at =
        output.stdout.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or_else(|| panic!("{arguments:?}: {error}"));
    let head = String::from_utf8_lossy(&output.stdout[..at]).into_owned();
    let mut words = head.split_whitespace();
    let (version, status) = (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap());
    Answer { version, status, head, body: output.stdout[at + 4..].to_vec() }
}

fn post(url: &str, version: &str, kind: &str, message: &[u8]) -> Answer {
    let kind = format!("content-type: {kind}");
    curl(&[version, "-H", &kind, "-H", "expect:", "--data-binary", "@-", url], message)
}

const MESSAGE: &str = "application/dns-message";

fn url(scheme: &str, server: SocketAddr) -> String {
    format!("{scheme}://{server}/dns-query")
}

fn query(name: &str, rtype: RecordType) -> Vec<u8> {
    let mut message = Query::new(name, rtype).message();
    message[..2].fill(0);
    message
}

fn base64url(message: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(message)
}

#[test]
fn curl_finds_a_page_by_a_name_that_we_resolve() {
    let Installed { served, .. } = installed("");
    let page = format!("http://local.live.example:{}/metrics", served.admin().port());
    let answer = curl(&["--doh-insecure", "--doh-url", &url("https", served.https()), &page], b"");
    assert_eq!(answer.status, 200);
    let body = String::from_utf8(answer.body).unwrap();
    assert!(
        body.lines().any(|line| line.starts_with("thalweg_https_queries_total ") && !line.ends_with(" 0")),
        "{body}"
    );
}

#[test]
fn get_and_post_have_the_reply_by_each_version_of_http() {
    let Installed { served, .. } = installed("");
    let message = query("play.live.example.", RecordType::A);
    let expected = Reply::read(&post(&url("https", served.https()), "--http2", MESSAGE, &message).body).unwrap();
    assert!(expected.lines.iter().any(|line| line.contains("198.51.100.10")), "{:?}", expected.lines);
    for (scheme, server, version, name) in [
        ("https", served.https(), "--http2", "HTTP/2"),
        ("https", served.https(), "--http1.1", "HTTP/1.1"),
        ("http", served.http(), "--http1.1", "HTTP/1.1"),
    ] {
        let url = url(scheme, server);
        let by_get = format!("{url}?dns={}", base64url(&message));
        for answer in [
            post(&url, version, MESSAGE, &message),
            post(&url, version, "Application/DNS-Message; x=y", &message),
            curl(&[version, &by_get], b""),
        ] {
            assert_eq!(answer.version, name, "{answer:?}");
            assert_eq!(answer.reply().lines, expected.lines);
        }
        let head = curl(&[version, "--head", &by_get], b"");
        assert_eq!((head.status, head.body.len(), head.header("content-type")), (200, 0, Some(MESSAGE)), "{head:?}");
    }
}

#[test]
fn a_reply_is_good_for_its_smallest_ttl() {
    let Installed { served, .. } = installed("");
    for (name, rtype, seconds) in [
        ("mail.live.example.", RecordType::A, 3600),
        ("short.live.example.", RecordType::A, 7),
        // RFC 2308 §5: the least of the SOA record's own TTL and what stands in it.
        ("nothing.live.example.", RecordType::A, 300),
        ("mail.live.example.", RecordType::AAAA, 300),
        // A referral answers nothing.
        ("a.sub.live.example.", RecordType::A, 0),
        ("elsewhere.example.", RecordType::A, 0),
    ] {
        let answer = post(&url("https", served.https()), "--http2", MESSAGE, &query(name, rtype));
        assert_eq!(answer.header("cache-control"), Some(format!("private, max-age={seconds}").as_str()), "{name}");
    }
}

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let Installed { served, .. } = installed("");
    let message = query("play.live.example.", RecordType::A);
    for (server, version) in [(served.https(), "--http2"), (served.https(), "--http1.1"), (served.http(), "--http1.1")]
    {
        let scheme = if server == served.http() { "http" } else { "https" };
        let url = url(scheme, server);
        let root = format!("{scheme}://{server}/");
        let get = |query: &str| curl(&[version, &format!("{url}{query}")], b"").status;
        for query in ["", "?dns=", "?dns=%20", "?dns=AAAB=", "?name=play.live.example", "?dns=AAAA"] {
            assert_eq!(get(query), 400, "{query}");
        }
        assert_eq!(curl(&[version, &root], b"").status, 404);
        assert_eq!(curl(&[version, &format!("{url}/x")], b"").status, 404);
        let deleted = curl(&[version, "-X", "DELETE", &url], b"");
        assert_eq!(deleted.status, 405);
        assert!(deleted.header("allow").is_some_and(|allowed| allowed.contains("POST")), "{deleted:?}");
        assert_eq!(post(&url, version, "application/dns-json", &message).status, 415);
        assert_eq!(post(&url, version, MESSAGE, &message[..7]).status, 400);
        assert_eq!(post(&url, version, MESSAGE, b"").status, 400);
        assert_eq!(post(&url, version, MESSAGE, &[0; 65_536]).status, 413);
        // One that does not tell its length.
        let kind = format!("content-type: {MESSAGE}");
        let chunked = ["-H", &kind, "-H", "transfer-encoding: chunked", "-H", "expect:", "--data-binary", "@-", &url];
        let chunked = curl(&[&[version][..], &chunked].concat(), &[0; 70_000]);
        assert_eq!(chunked.status, 413);
        post(&url, version, MESSAGE, &message).reply();
    }
}

#[test]
fn a_connection_has_so_many_queries_and_no_more() {
    let Installed { served, .. } = installed("tcp.queries = 3");
    let by_get = format!("/dns-query?dns={}", base64url(&query("play.live.example.", RecordType::A)));
    let url = |server: SocketAddr, scheme: &str| format!("{scheme}://{server}{by_get}");
    for (server, scheme, version) in [
        (served.https(), "https", "--http2"),
        (served.https(), "https", "--http1.1"),
        (served.http(), "http", "--http1.1"),
    ] {
        // curl goes on over one connection as long as it may, and prints how many it had to open.
        let url = url(server, scheme);
        let format = "%{num_connects}\n";
        let output = Command::new("curl")
            .args(["--silent", "--insecure", "--max-time", "20", "--noproxy", "*", version, "--write-out", format])
            .args((0..7).flat_map(|_| [url.as_str(), "--output", "/dev/null"]))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let opened: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!((opened.len(), opened.iter().sum::<u32>()), (7, 3), "{version}: {text}");
    }
}
