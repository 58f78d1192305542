//! `thalweg status` and `thalweg nodes`, with a daemon that is well, that hangs, and that is not there.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::support::child::Child;
use super::support::client::wait_for;
use super::support::daemon::Served;
use super::{installation, thalweg};

#[test]
fn nodes_are_listed_the_worst_first_and_can_be_filtered() {
    let installation = installation();
    let served = Served::start(&installation);
    let run = |arguments: &[&str]| thalweg(&installation, served.admin(), arguments);
    let (status, text) = run(&["nodes"]);
    assert_eq!(status, Some(0), "{text}");
    for part in ["NODE", "fra1", "nyc1", "its load was never read", "gets viewers"] {
        assert!(text.contains(part), "{text}");
    }
    let (_, text) = run(&["nodes", "--place", "fra"]);
    assert!(text.contains("fra1") && !text.contains("nyc1"), "{text}");
    let (_, text) = run(&["nodes", "nyc1", "--pool", "default", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(report["nodes"][0]["standing"], "new");
    let (status, text) = run(&["nodes", "fra2"]);
    assert!(status == Some(1) && text.contains("did you mean `fra1`?"), "{text}");
    let (status, text) = run(&["nodes", "--pool", "defaul"]);
    assert!(status == Some(1) && text.contains("did you mean `default`?"), "{text}");
}

#[test]
fn status_fits_on_a_screen_and_tells_what_happened() {
    let installation = installation();
    let served = Served::start(&installation);
    let run = |arguments: &[&str]| thalweg(&installation, served.admin(), arguments);
    let (status, text) = run(&["status"]);
    assert!(status == Some(0) && text.starts_with("thalweg ") && text.contains("OK; 2 of 2 nodes serve"), "{text}");
    assert!(
        text.contains("room     default") && text.contains("blind    fra1") && text.lines().count() <= 24,
        "{text}"
    );
    assert_eq!(run(&["drain", "fra1", "--reason", "a test"]).0, Some(0));
    let (_, text) = run(&["status"]);
    assert!(text.contains("override drain fra1 by karl") && text.contains("node: fra1 drained"), "{text}");
    assert!(text.contains("1 of 2 nodes serve"), "{text}");
    let (_, text) = run(&["status", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((report["grade"].as_str(), report["overrides"][0]["node"].as_str()), (Some("note"), Some("fra1")));
    // A pool without any node that serves is critical.
    assert_eq!(run(&["drain", "nyc1", "--reason", "a test", "--force"]).0, Some(0));
    let (status, text) = run(&["status"]);
    assert!(status == Some(2) && text.contains("CRITICAL") && text.contains("none of 2 nodes serves"), "{text}");
    // A reload that is refused shows as an alarm until it is mended.
    assert_eq!(run(&["lift", "all"]).0, Some(0));
    let config = std::fs::read_to_string(installation.config()).unwrap();
    installation.write("thalweg.toml", &format!("{config}rubbish"));
    assert!(served.reload().is_err());
    let (status, text) = run(&["status"]);
    assert!(status == Some(1) && text.contains("broken_inputs") && text.contains("event    "), "{text}");
    installation.write("thalweg.toml", &config);
    wait_for("the mended inputs", || (run(&["status"]).0 == Some(0)).then_some(()));
}

#[test]
fn a_daemon_that_hangs_or_is_gone_is_critical_within_bounded_time() {
    let installation = installation();
    // It accepts, as the kernel does for a process that is stopped, and never answers.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let begun = Instant::now();
    let (status, text) = thalweg(&installation, hanging.local_addr().unwrap(), &["status"]);
    assert!(status == Some(2) && text.contains("CRITICAL: ") && text.contains("it hangs"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(15));
    let gone = hanging.local_addr().unwrap();
    drop(hanging);
    let (status, text) = thalweg(&installation, gone, &["status"]);
    assert!(status == Some(2) && text.contains("no daemon answers"), "{text}");
    let (status, text) = thalweg(&installation, gone, &["status", "--json"]);
    assert!(status == Some(2) && text.contains("\"grade\":\"critical\""), "{text}");
}

#[test]
fn what_is_watched_ends_when_its_reader_is_gone() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let installation = installation();
    let child = Child::start(&installation.config(), 256);
    let mut watching = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(["nodes", "--json", "--watch=100ms", "--config"])
        .arg(installation.config())
        .env("THALWEG_SERVER__ADMIN", child.admin.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let line = lines.next().unwrap().unwrap();
        assert!(line.starts_with("{\"now\":"), "one document a line: {line}");
    }
    drop(lines);
    assert_eq!(watching.wait().unwrap().code(), Some(0));
}
