//! Answers as vendors document them, so that their clients need no more than another address.

use serde_json::{Value, json};

use super::{FLEET, Visitor, served};

#[test]
fn google_s_json_has_their_keys_and_our_answers() {
    let (_installation, served) = served("", FLEET);
    let mut visitor = Visitor::of(&served);
    let mut found = visitor.json("/resolve?name=www.live.example&type=A&cd=1&random_padding=xyz");
    found["Comment"] = Value::Null;
    assert_eq!(
        found,
        json!({
            "Status": 0, "TC": false, "RD": true, "RA": false, "AD": false, "CD": true,
            "Question": [{"name": "www.live.example.", "type": 1}],
            "Answer": [{"name": "www.live.example.", "type": 1, "TTL": 60, "data": "192.0.2.80"}],
            "edns_client_subnet": "127.0.0.0/24", "Comment": null,
        })
    );
    let found = visitor.json("/resolve?name=missing.live.example&type=28");
    assert_eq!((&found["Status"], &found["Answer"]), (&json!(3), &Value::Null));
    assert_eq!(found["Authority"][0]["type"], 6);
    // A client subnet counts as in DNS.
    let data = |visitor: &mut Visitor, query: &str| {
        visitor.json(&format!("/resolve?name=play.live.example{query}"))["Answer"][0]["data"].clone()
    };
    assert_eq!(data(&mut visitor, ""), "203.0.113.10");
    assert_eq!(data(&mut visitor, "&edns_client_subnet=198.51.100.0/24"), "203.0.113.20");
    assert_eq!(visitor.json("/resolve?name=play.live.example&type=AAAA&short=1"), json!(["2001:db8:f::10"]));
}

#[test]
fn a_domain_gets_the_bare_list() {
    let (_installation, served) = served("", FLEET);
    let mut visitor = Visitor::of(&served);
    assert_eq!(visitor.json("/resolve?domain=play.live.example"), json!(["203.0.113.10"]));
    assert_eq!(visitor.json("/resolve?domain=alias.live.example"), json!(["203.0.113.10"]));
    assert_eq!(visitor.json("/resolve?domain=missing.live.example"), json!([]));
}

#[test]
fn alibaba_s_shape_has_a_host_or_up_to_five() {
    let (_installation, served) = served("", FLEET);
    let mut visitor = Visitor::of(&served);
    let host = |ips: Value, ipsv6: Value, ttl: u32| json!({"host": "www.live.example", "ips": ips, "ipsv6": ipsv6, "ttl": ttl, "origin_ttl": ttl, "client_ip": "127.0.0.1"});
    assert_eq!(visitor.json("/100000/d?host=www.live.example"), host(json!(["192.0.2.80"]), json!([]), 60));
    let both = host(json!(["192.0.2.80"]), json!(["2001:db8::80"]), 60);
    assert_eq!(visitor.json("/d?host=www.live.example&query=4,6"), both);
    let six = host(json!([]), json!(["2001:db8::80"]), 300);
    assert_eq!(visitor.json("/d?host=www.live.example&query=6"), six);
    let many = visitor.json("/100000/resolve?host=www.live.example,missing.live.example");
    assert_eq!(many["dns"][0], host(json!(["192.0.2.80"]), json!([]), 60));
    assert_eq!((&many["dns"][1]["ips"], &many["dns"][1]["ttl"]), (&json!([]), &json!(0)));
    assert_eq!(visitor.get("/d?host=a,b,c,d,e,f", &[]).status, 400);
}

#[test]
fn tencent_s_shape_is_text() {
    let (_installation, served) = served("", FLEET);
    let mut visitor = Visitor::of(&served);
    for (query, expected) in [
        ("dn=www.live.example", "192.0.2.80"),
        ("dn=www.live.example&ttl=1", "192.0.2.80,60"),
        ("dn=www.live.example&ttl=1&clientip=1", "192.0.2.80,60|127.0.0.1"),
        ("dn=www.live.example&type=aaaa&ttl=1", "2001:db8::80,300"),
        ("dn=www.live.example&type=addrs&ttl=1", "192.0.2.80,60-2001:db8::80,300"),
        ("dn=ns1.live.example&type=addrs", "192.0.2.53-0"),
        ("dn=www.live.example&query=1", "www.live.example.:192.0.2.80"),
        ("dn=missing.live.example", ""),
        ("dn=missing.live.example&query=1", "missing.live.example.:0"),
        (
            "dn=missing.live.example,www.live.example&ttl=1&clientip=1",
            "missing.live.example.:0\nwww.live.example.:192.0.2.80,60|127.0.0.1",
        ),
    ] {
        let said = visitor.get(&format!("/d?{query}"), &[]);
        assert_eq!((said.status, said.body.as_str()), (200, expected), "{query}");
        assert!(said.head.iter().any(|line| line.starts_with("content-type: text/plain")), "{:?}", said.head);
    }
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_a_sentence() {
    let (_installation, served) = served("", FLEET);
    let mut visitor = Visitor::of(&served);
    for (path, sentence) in [
        ("/resolve", "`name` is missing"),
        ("/resolve?name=a..b", "is no domain name"),
        ("/resolve?name=play.live.example&type=HOUSE", "`type=HOUSE` is not a type of records"),
        ("/resolve?name=play.live.example&edns_client_subnet=here", "is not a network such as"),
        ("/resolve?name=a&name=b", "`name` is there more than once"),
        ("/d", "give either `host` or `dn`"),
        ("/d?host=a&dn=b", "give either `host` or `dn`"),
        ("/d?host=a&query=5", "`query=5` is not 4, 6 or 4,6"),
        ("/d?dn=a&type=mx", "`type=mx` is not a, aaaa or addrs"),
        ("/v1/route", "`name` (or `vhost`) is missing"),
        ("/v1/route?name=play.live.example&n=0", "`n=0` is not a number of nodes"),
        ("/v1/route?name=play.live.example&weight=many", "`weight=many` is not a number of viewers"),
        ("/v1/route?name=play.live.example&type=MX", "`type=MX` is not a type of addresses"),
        ("/v1/route?name=play.live.example&room=a.b", "`room` is not one label"),
    ] {
        let said = visitor.get(path, &[]);
        let error = serde_json::from_str::<Value>(&said.body).unwrap()["error"].as_str().unwrap().to_owned();
        assert!(said.status == 400 && error.contains(sentence), "{path}: {} {error}", said.status);
    }
}
