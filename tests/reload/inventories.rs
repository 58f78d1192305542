//! Lists of nodes that another tool writes while queries run.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use thalweg::command::daemon::Daemon;
use thalweg::feed::Options;

use super::{SERVER, ZONE, addresses, while_asking, zone};
use crate::support::client::{Client, get, post, wait_for};
use crate::support::daemon::Served;
use crate::support::installation::Installation;

const LIST: &str = "list.json";
const NAME: &str = "play.live.example.";

fn config() -> String {
    format!(
        "{SERVER}[service.\"play.live.example\"]\nanswers = 64\n[place.fra]\nat = [50.1, 8.7]\n[defaults.node]\nplace = \"fra\"\n\
         [inventory.fleet]\nfile_sd = \"*.json\"\n"
    )
}

/// A list of the nodes of these numbers.
fn list(nodes: impl IntoIterator<Item = u8>) -> String {
    let group = |node: u8| {
        format!(
            "{{\"targets\": [\"127.0.0.1:1\"], \"labels\": {{\"node\": \"n{node}\", \"addr\": \"198.51.100.{node}\"}}}}"
        )
    };
    format!("[{}]", nodes.into_iter().map(group).collect::<Vec<_>>().join(",\n"))
}

fn names(nodes: impl IntoIterator<Item = u8>) -> BTreeSet<String> {
    nodes.into_iter().map(|node| format!("198.51.100.{node}")).collect()
}

fn installation(nodes: impl IntoIterator<Item = u8>) -> Installation {
    Installation::new([("thalweg.toml", config().as_str()), (ZONE, zone(1).as_str()), (LIST, list(nodes).as_str())])
}

fn wait_for_nodes(client: &Client, nodes: &BTreeSet<String>) {
    wait_for("the nodes of the list", || (addresses(client, NAME) == *nodes).then_some(()));
}

/// How the inventory stands, as its page says.
fn status(served: &Served) -> serde_json::Value {
    let all: serde_json::Value = serde_json::from_str(&get(served.admin(), "/v1/inventories")).unwrap();
    all[0].clone()
}

#[test]
fn nodes_of_a_list_that_is_replaced_appear_and_vanish_and_no_query_is_lost() {
    let installation = installation(1..=4);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    wait_for_nodes(&client, &names(1..=4));
    let asked = while_asking(
        served.dns(),
        |client| {
            let found = addresses(client, NAME);
            assert!(!found.is_empty() && found.iter().all(|address| address.starts_with("198.51.100.")), "{found:?}");
        },
        || {
            for nodes in [vec![1, 2, 3, 4, 5], vec![2, 3, 4, 5], vec![2, 3, 4, 6], vec![1, 2, 3, 4, 5, 6, 7]] {
                installation.replace(LIST, &list(nodes.clone()));
                wait_for_nodes(&client, &names(nodes));
            }
        },
    );
    assert!(asked > 10, "only {asked} queries");
}

#[test]
fn a_list_that_cannot_be_read_changes_nothing_and_is_told() {
    let installation = installation(1..=3);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    for (broken, told) in [("[{\"targets\": [", "this is not JSON"), ("[{\"weight\": 1}]", "unknown key `weight`")] {
        installation.replace(LIST, broken);
        let error = wait_for("the error", || {
            let status = status(&served);
            status["errors"][0].as_str().filter(|error| error.contains(told)).map(str::to_owned)
        });
        assert!(error.contains("list.json:1:"), "{error}");
        assert_eq!(addresses(&client, NAME), names(1..=3));
    }
    installation.replace(LIST, &list(2..=4));
    wait_for_nodes(&client, &names(2..=4));
    wait_for("no error", || status(&served)["errors"].as_array().unwrap().is_empty().then_some(()));
}

#[test]
fn a_list_that_shrinks_waits_until_it_is_confirmed_or_grows_again() {
    let installation = installation(1..=10);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    let waits = |nodes: u64| {
        wait_for("a list that waits", || {
            let status = status(&served);
            (status["pending"]["nodes"] == nodes).then_some(status)
        })
    };
    let nobody_waits = || wait_for("no list that waits", || status(&served)["pending"].is_null().then_some(()));
    let (code, refused) = post(served.admin(), "/v1/inventories?confirm=fleet");
    assert!(code == 400 && refused.contains("no list of `fleet` waits"), "{refused}");

    installation.replace(LIST, &list(1..=6));
    let waiting = waits(6);
    assert_eq!((&waiting["nodes"], &waiting["pending"]["gone"][3]), (&10.into(), &"n9".into()));
    assert!(get(served.admin(), "/metrics").contains("thalweg_alarm{alarm=\"inventory_shrunk\",about=\"fleet\"} 1"));
    assert_eq!(addresses(&client, NAME), names(1..=10));
    // Even if all is read anew.
    served.reload().unwrap();
    assert_eq!(addresses(&client, NAME), names(1..=10));

    installation.replace(LIST, &list(1..=9));
    wait_for_nodes(&client, &names(1..=9));
    nobody_waits();

    installation.replace(LIST, &list(1..=4));
    waits(4);
    let (code, outcome) = post(served.admin(), "/v1/inventories?confirm=fleet");
    assert!(code == 200 && outcome.contains("-5 nodes"), "{outcome}");
    assert_eq!(addresses(&client, NAME), names(1..=4));
    nobody_waits();

    // A file that is gone is a list that is gone.
    std::fs::remove_file(installation.path(LIST)).unwrap();
    waits(0);
    assert_eq!(addresses(&client, NAME), names(1..=4));
    let (code, refused) = post(served.admin(), "/v1/inventories?confirm=flet");
    assert!(code == 400 && refused.contains("did you mean `fleet`?"), "{refused}");
}

#[test]
fn a_list_that_brings_the_first_address_of_a_family_is_answered() {
    let installation = installation(1..=3);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    let six = list(1..=3).replace("198.51.100.1\"", "198.51.100.1, 2001:db8::1\"");
    installation.replace(LIST, &six);
    let query = crate::support::query::Query::new(NAME, thalweg::wire::RecordType::AAAA);
    wait_for("an IPv6 address", || {
        client.ask(&query).lines.iter().any(|line| line.ends_with(" 2001:db8::1")).then_some(())
    });
}

/// A server that answers each request with the list that is there, if one is; it ends with the process.
fn serve(answer: &Arc<Mutex<Option<String>>>) -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/nodes", server.local_addr().unwrap());
    let answer = Arc::clone(answer);
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let (mut request, mut octet) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut octet).unwrap() == 1 {
                request.push(octet[0]);
            }
            let body = answer.lock().unwrap().clone();
            let status = if body.is_some() { "200 OK" } else { "500 Internal Server Error" };
            let body = body.unwrap_or_default();
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
            // A server that is stopped meanwhile reads no more.
            let _gone = write!(stream, "{head}Connection: close\r\n\r\n{body}");
        }
    });
    url
}

fn config_of_url(url: &str) -> String {
    let config = config().replace("file_sd = \"*.json\"", &format!("http_sd = \"{url}\"\nrefresh = \"1s\""));
    config.replacen("[server]\n", "[server]\nstate = \"state\"\n", 1)
}

#[test]
fn a_url_is_asked_and_its_last_list_goes_on_while_it_gives_none() {
    let answer = Arc::new(Mutex::new(Some(list(1..=3))));
    let config = config_of_url(&serve(&answer));
    let installation = Installation::new([("thalweg.toml", config.as_str()), (ZONE, zone(1).as_str())]);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    assert_eq!(addresses(&client, NAME), names(1..=3), "it is there from the first answer on");
    *answer.lock().unwrap() = None;
    wait_for("an error", || {
        status(&served)["errors"][0].as_str().filter(|error| error.contains("status 500")).map(drop)
    });
    assert_eq!(addresses(&client, NAME), names(1..=3));
    *answer.lock().unwrap() = Some(list(2..=4));
    wait_for_nodes(&client, &names(2..=4));
    wait_for("no error", || status(&served)["errors"].as_array().unwrap().is_empty().then_some(()));
    // A server that starts while nobody answers begins with what was taken last.
    drop(served);
    *answer.lock().unwrap() = None;
    let options = Options { file: installation.config(), environment: Vec::new(), is_watching: true, is_strict: false };
    let daemon = Daemon::start(options).unwrap_or_else(|error| panic!("{:?}", error.diagnostics));
    assert_eq!(addresses(&Client::new(daemon.listening.dns[0]), NAME), names(2..=4));
    // And what is much shorter than that waits, as it would have done without the restart.
    *answer.lock().unwrap() = Some(list([]));
    let pending = || daemon.published().snapshot().inventories[0].pending.clone();
    assert_eq!(wait_for("a list that waits", pending).gone, ["n2", "n3", "n4"]);
}

/// More nodes than a server may have, `n1` to `n4` among them.
fn endless() -> String {
    let group = |node: usize| {
        let (third, last) = (node / 250, 1 + node % 250);
        format!("{{\"targets\": [\"10.0.{third}.{last}:9100\"], \"labels\": {{\"addr\": \"203.0.{third}.{last}\"}}}}")
    };
    let groups: String = (0..4_996).map(|node| format!(", {}", group(node))).collect();
    format!("{}{groups}]", list(1..=4).trim_end_matches(']'))
}

fn started(installation: &Installation, is_strict: bool) -> Daemon {
    let options = Options { file: installation.config(), environment: Vec::new(), is_watching: true, is_strict };
    Daemon::start(options).unwrap_or_else(|error| panic!("{:?}", error.diagnostics))
}

#[test]
fn a_list_that_is_too_long_is_an_error_of_its_inventory_and_blocks_nothing_else() {
    let answer = Arc::new(Mutex::new(Some(list(1..=3))));
    let config = config_of_url(&serve(&answer));
    let installation = Installation::new([("thalweg.toml", config.as_str()), (ZONE, zone(1).as_str())]);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    *answer.lock().unwrap() = Some(endless());
    wait_for("an error", || {
        status(&served)["errors"][0].as_str().filter(|error| error.contains("there would be 5000 nodes")).map(drop)
    });
    assert_eq!(addresses(&client, NAME), names(1..=3));
    // Everything else may change meanwhile.
    installation.replace("thalweg.toml", &config.replace("answers = 64", "answers = 1"));
    wait_for("another configuration", || (addresses(&client, NAME).len() == 1).then_some(()));
    *answer.lock().unwrap() = Some(list(1..=4));
    wait_for("the new list", || (status(&served)["nodes"] == 4).then_some(()));
    // A start goes on with what was served; and it comes about whatever was kept.
    drop(served);
    *answer.lock().unwrap() = Some(endless());
    installation.replace("thalweg.toml", &config);
    let daemon = started(&installation, false);
    assert_eq!(addresses(&Client::new(daemon.listening.dns[0]), NAME), names(1..=4));
    drop(daemon);
    let state = installation.path("state");
    for file in std::fs::read_dir(&state).unwrap().flatten().filter(|file| file.file_name() != "lock") {
        std::fs::remove_file(file.path()).unwrap();
    }
    let url = config.split('"').find(|word| word.starts_with("http://")).unwrap();
    let kept = serde_json::json!({"fleet": {"nodes": [], "sources": {url: {"at": 1, "text": endless()}}}});
    thalweg::feed::Store::open(&state).unwrap().save("inventories", kept.to_string().as_bytes()).unwrap();
    *answer.lock().unwrap() = Some(list(1..=4));
    for is_strict in [false, true] {
        let daemon = started(&installation, is_strict);
        assert_eq!(addresses(&Client::new(daemon.listening.dns[0]), NAME), names(1..=4));
    }
}

#[test]
fn a_url_that_is_down_at_a_start_is_no_fault_of_the_configuration() {
    let answer = Arc::new(Mutex::new(Some(list(1..=3))));
    let config = config_of_url(&serve(&answer));
    let installation = Installation::new([("thalweg.toml", config.as_str()), (ZONE, zone(1).as_str())]);
    drop(Served::start(&installation));
    *answer.lock().unwrap() = None;
    for is_strict in [false, true] {
        // What is on disk is served, and kept for a start at which that is broken.
        std::fs::remove_file(installation.path("state/inputs")).unwrap();
        let daemon = started(&installation, is_strict);
        assert_eq!(addresses(&Client::new(daemon.listening.dns[0]), NAME), names(1..=3));
        let metrics = get(daemon.listening.admin, "/metrics");
        assert!(!metrics.contains("kept_inputs") && metrics.contains("broken_inputs"), "{metrics}");
        drop(daemon);
        assert!(installation.path("state/inputs").exists());
    }
    // Without an earlier list of it, there is a reason not to start.
    std::fs::remove_dir_all(installation.path("state")).unwrap();
    let options = Options { file: installation.config(), environment: Vec::new(), is_watching: true, is_strict: true };
    assert!(Daemon::start(options).is_err());
}
