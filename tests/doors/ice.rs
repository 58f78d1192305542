//! TURN servers for browsers.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;

use super::{FLEET, Visitor, served};

fn fleet(more: &str) -> String {
    let urls = "\"turn:{address}:3478?transport=udp\", \"turns:{address}:5349?transport=tcp\"";
    let ice = format!("ice = {{ secret_file = \"http.secrets\", urls = [{urls}], ttl = \"1h\"{more} }}");
    FLEET.replacen("answers = 1", &format!("answers = 1\n{ice}"), 1)
}

#[test]
fn a_browser_gets_turn_servers_and_credentials_that_they_take() {
    let (_installation, served) = served("", &fleet(", open = true"));
    let mut visitor = Visitor::of(&served);
    let found = visitor.json("/v1/ice?name=play.live.example&user=alice");
    let server = &found["iceServers"][0];
    let urls = ["turn:203.0.113.10:3478?transport=udp", "turns:203.0.113.10:5349?transport=tcp"];
    assert_eq!((&server["urls"], &found["ttl"]), (&serde_json::json!(urls), &serde_json::json!(3600)));
    let username = server["username"].as_str().unwrap();
    let end: u64 = username.strip_suffix(":alice").unwrap().parse().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!((now + 3_590..=now + 3_600).contains(&end), "{end}");
    // As coturn checks it.
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"0123456789abcdef0123");
    assert_eq!(server["credential"], BASE64_STANDARD.encode(hmac::sign(&key, username.as_bytes())));
    assert_eq!(
        visitor.json("/v1/ice")["iceServers"][0]["username"].as_str().unwrap().parse::<u64>().unwrap() / 100,
        end / 100
    );
    for (path, status) in [("/v1/ice?name=www.live.example", 404), ("/v1/ice?user=%20", 400)] {
        assert_eq!(visitor.get(path, &[]).status, status, "{path}");
    }
}

#[test]
fn credentials_are_not_for_anybody_unless_that_is_said() {
    let (_installation, closed) = served("", &fleet(""));
    let said = Visitor::of(&closed).get("/v1/ice", &[]);
    assert!(said.status == 403 && said.body.contains("with a signature"), "{said:?}");
    let (_installation, proxied) = served("trusted_proxies = [\"127.0.0.0/8\"]", &fleet(""));
    assert_eq!(Visitor::of(&proxied).get("/v1/ice", &[]).status, 200);
}
