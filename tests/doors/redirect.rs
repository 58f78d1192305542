//! Redirects: at a host that is set aside, and spelled out.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use super::{FLEET, Said, Visitor, served};

const GO: &str = "redirect = { host = \"go.live.example\", to = \"http://{address}:8080\" }";

/// The fleet with redirects to its service.
fn fleet() -> String {
    FLEET.replacen("answers = 1", &format!("answers = 1\n{GO}"), 1)
}

fn location(said: &Said) -> &str {
    let line = said.head.iter().find_map(|line| line.strip_prefix("location: "));
    line.unwrap_or_else(|| panic!("{said:?}"))
}

#[test]
fn any_path_of_the_host_leads_to_the_same_path_on_a_node() {
    let (_installation, served) = served("trusted_proxies = [\"127.0.0.0/8\"]", &fleet());
    let mut visitor = Visitor::of(&served);
    for (host, path, client, expected) in [
        (
            "go.live.example",
            "/live/cam1.flv?token=a%20b",
            "192.0.2.1",
            "http://203.0.113.10:8080/live/cam1.flv?token=a%20b",
        ),
        ("GO.live.example:8080", "/live/cam1.m3u8", "198.51.100.1", "http://203.0.113.20:8080/live/cam1.m3u8"),
        ("go.live.example.", "/", "192.0.2.1", "http://203.0.113.10:8080/"),
        ("go.live.example", "/dns-query", "192.0.2.1", "http://203.0.113.10:8080/dns-query"),
        (
            "go.live.example",
            "/v1/route?name=play.live.example",
            "2001:db8:1::1",
            "http://[2001:db8:f::10]:8080/v1/route?name=play.live.example",
        ),
    ] {
        let said = visitor.get_from(host, path, &[&format!("X-Forwarded-For: {client}")]);
        assert_eq!((said.status, location(&said)), (302, expected), "{host}{path}");
        assert!(said.head.contains(&"cache-control: no-store".to_owned()), "{said:?}");
    }
    assert_eq!(visitor.get_from("other.live.example", "/live/cam1.flv", &[]).status, 404);
}

#[test]
fn a_stream_can_be_spelled_out() {
    let (_installation, served) = served("", &fleet());
    let mut visitor = Visitor::of(&served);
    for path in ["/v1/redirect/live/cam1.flv", "/v1/redirect/live/cam1.flv?name=play.live.example"] {
        let said = visitor.get(path, &[]);
        let expected = "http://203.0.113.10:8080/live/cam1.flv";
        assert_eq!((said.status, location(&said)), (302, expected), "{path}");
    }
    assert_eq!(visitor.get("/v1/redirect/live/cam1.flv?name=www.live.example", &[]).status, 404);
}

#[test]
fn all_files_of_a_stream_lead_to_one_node_and_streams_to_several() {
    let nodes: String =
        (1..=8).map(|node| format!("[node.n{node}]\naddresses = [\"203.0.113.{node}\"]\nplace = \"fra\"\n")).collect();
    let fleet = fleet().replacen("answers = 1", "policy = \"hash\"\nkey = \"name\"", 1);
    let fleet = fleet.split("[node.fra1]").next().unwrap().to_owned() + &nodes;
    let (_installation, served) = served("http_dns = { per_second = 100000 }", &fleet);
    let mut visitor = Visitor::of(&served);
    let mut host = |path: &str| {
        let said = visitor.get_from("go.live.example", path, &[]);
        location(&said).split('/').nth(2).unwrap().to_owned()
    };
    let mut seen = std::collections::BTreeSet::new();
    for stream in 0..40 {
        let of_stream = host(&format!("/live/cam{stream}.m3u8"));
        assert_eq!(host(&format!("/live/cam{stream}.flv?token=x")), of_stream);
        seen.insert(of_stream);
    }
    assert!(seen.len() > 4, "{seen:?}");
}

#[test]
fn curl_follows_to_a_node_that_sends_the_stream() {
    let node = TcpListener::bind("127.0.0.7:0").unwrap();
    let port = node.local_addr().unwrap().port();
    let serving = thread::spawn(move || {
        let (mut stream, _) = node.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nstream").unwrap();
        line
    });
    let fleet = format!(
        "[service.\"play.live.example\"]\nredirect = {{ host = \"go.live.example\", to = \"http://{{address}}:{port}\" }}\n\
         [node.local]\naddresses = [\"127.0.0.7\"]\n[place.fra]\nat = [50.1, 8.7]\n[defaults.node]\nplace = \"fra\"\n"
    );
    let (_installation, served) = served("", &fleet);
    let http = served.http();
    let output = Command::new("curl")
        .args(["-sS", "-L", "--max-time", "20", "--noproxy", "*", "--resolve"])
        .arg(format!("go.live.example:{}:{}", http.port(), http.ip()))
        .arg(format!("http://go.live.example:{}/live/cam1.flv?k=v", http.port()))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "stream", "{output:?}");
    assert!(serving.join().unwrap().starts_with("GET /live/cam1.flv?k=v "));
}
