//! Whose a request is, and who may ask how often.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;
use serde_json::Value;

use super::{FLEET, Said, Visitor, served};

const ROUTE: &str = "/v1/route?name=play.live.example";

fn node(said: &Said) -> String {
    let found: Value = serde_json::from_str(&said.body).unwrap();
    found["nodes"][0]["name"].as_str().unwrap_or_else(|| panic!("{}", said.body)).to_owned()
}

#[test]
fn a_header_counts_from_a_trusted_proxy_alone() {
    let forged = ["X-Forwarded-For: 198.51.100.7"];
    let (_installation, open) = served("", FLEET);
    let mut visitor = Visitor::of(&open);
    assert_eq!(node(&visitor.get(ROUTE, &forged)), "fra1");
    assert_eq!(node(&visitor.get(ROUTE, &["Forwarded: for=198.51.100.7"])), "fra1");
    let refused = visitor.get(&format!("{ROUTE}&client=198.51.100.7"), &[]);
    assert!(refused.status == 403 && refused.body.contains("server.trusted_proxies"), "{refused:?}");
    // Vendors' libraries send one whether it counts or not.
    let said = visitor.get("/d?dn=play.live.example&ip=198.51.100.7&clientip=1", &[]);
    assert_eq!(said.body, "203.0.113.10|127.0.0.1");
    let (_installation, proxied) = served("trusted_proxies = [\"127.0.0.0/8\"]", FLEET);
    let mut visitor = Visitor::of(&proxied);
    assert_eq!(node(&visitor.get(ROUTE, &[])), "fra1");
    assert_eq!(node(&visitor.get(ROUTE, &forged)), "nyc1");
    assert_eq!(node(&visitor.get(&format!("{ROUTE}&client=198.51.100.7"), &[])), "nyc1");
    let said = visitor.get("/d?dn=play.live.example&ip=198.51.100.7&clientip=1", &[]);
    assert_eq!(said.body, "203.0.113.20|198.51.100.7");
}

#[test]
fn a_signature_counts_until_it_expires() {
    let (_installation, served) = served("http_dns = { secrets = \"http.secrets\" }", FLEET);
    let mut visitor = Visitor::of(&served);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let path = |client: &str, expires: u64, secret: &str| {
        let text = format!("client={client}&expires={expires}&name=play.live.example");
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let sign: String = hmac::sign(&key, format!("/v1/route?{text}").as_bytes())
            .as_ref()
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        format!("/v1/route?{text}&sign={sign}")
    };
    const SECRET: &str = "0123456789abcdef0123";
    assert_eq!(node(&visitor.get(&path("198.51.100.7", now + 60, SECRET), &[])), "nyc1");
    for (refused, why) in [
        (path("198.51.100.7", now - 1, SECRET), "has expired"),
        (path("198.51.100.7", now + 60, "another secret"), "is not the signature"),
        (path("198.51.100.7", now + 60, SECRET).replace("198.51.100.7", "198.51.100.8"), "is not the signature"),
    ] {
        let said = visitor.get(&refused, &[]);
        assert!(said.status == 403 && said.body.contains(why), "{said:?}");
    }
}

#[test]
fn a_network_that_asks_too_often_is_told_to_come_back() {
    let (_installation, served) = served("trusted_proxies = [\"127.0.0.0/8\"]\nhttp_dns = { per_second = 5 }", FLEET);
    let mut visitor = Visitor::of(&served);
    let refused =
        (0..1_000).map(|_| visitor.get(ROUTE, &["X-Forwarded-For: 192.0.2.1"])).find(|said| said.status != 200);
    let refused = refused.expect("a limit");
    assert!(refused.status == 429 && refused.head.contains(&"retry-after: 1".to_owned()), "{refused:?}");
    assert_eq!(visitor.get(ROUTE, &["X-Forwarded-For: 198.51.100.1"]).status, 200, "another network");
}

#[test]
fn pages_of_origins_that_are_named_may_read_answers_which_nobody_keeps() {
    let allows = |said: &Said| {
        let allowed = said.head.iter().find_map(|line| line.strip_prefix("access-control-allow-origin: "));
        allowed.map(str::to_owned)
    };
    let (_installation, closed) = served("", FLEET);
    let said = Visitor::of(&closed).get(ROUTE, &["Origin: https://player.example"]);
    assert_eq!(allows(&said), None);
    assert!(said.head.contains(&"cache-control: no-store".to_owned()), "{said:?}");
    let (_installation, named) = served("http_dns = { cors = [\"https://player.example\"] }", FLEET);
    let mut visitor = Visitor::of(&named);
    let said = visitor.get(ROUTE, &["Origin: https://player.example"]);
    assert_eq!(allows(&said).as_deref(), Some("https://player.example"));
    assert_eq!(allows(&visitor.get(ROUTE, &["Origin: https://other.example"])), None);
    let (_installation, open) = served("http_dns = { cors = [\"*\"] }", FLEET);
    assert_eq!(allows(&Visitor::of(&open).get("/d", &[])).as_deref(), Some("*"), "errors too");
}
