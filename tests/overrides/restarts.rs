//! What survives restarts: orders, what was learned, the last good inputs; and a state directory that is killed, broken, taken.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thalweg::command::daemon::Daemon;
use thalweg::feed::{Options, Store};

use super::support::child::Child;
use super::support::client::{get, wait_for};
use super::support::daemon::Served;
use super::support::installation::Installation;
use super::{answer_of, installation, thalweg};

/// Where the child of the kill test writes.
const DIRECTORY: &str = "THALWEG_TEST_STATE";
const DESCRIPTORS: u32 = 256;

/// An installation that keeps its state.
fn keeping() -> Installation {
    let installation = installation();
    let config = fs::read_to_string(installation.config()).unwrap();
    installation.write("thalweg.toml", &config.replacen("[server]\n", "[server]\nstate = \"state\"\n", 1));
    installation
}

fn state(installation: &Installation) -> PathBuf {
    installation.path("state")
}

#[test]
fn overrides_survive_the_death_of_the_server() {
    let installation = keeping();
    let child = Child::start(&installation.config(), DESCRIPTORS);
    let run = |child: &Child, arguments: &[&str]| thalweg(&installation, child.admin, arguments);
    let (status, text) = run(&child, &["drain", "fra1", "--reason", "kernel", "--for", "2h"]);
    assert!(status == Some(0) && text.contains("it survives a restart of the server"), "{text}");
    let (status, text) = run(&child, &["policy", "play.live.example", "failover", "--reason", "x", "--for", "forever"]);
    assert!(status == Some(0) && text.contains("it survives a restart"), "{text}");
    // SIGKILL.
    drop(child);
    let child = Child::start(&installation.config(), DESCRIPTORS);
    assert_eq!(answer_of(child.dns, "84.128.0.0/24"), "198.51.100.2");
    let (_, listed) = run(&child, &["overrides"]);
    assert!(listed.contains("drain fra1") && listed.contains("kernel"), "{listed}");
    assert!(listed.contains("failover"), "{listed}");
    let told = get(child.admin, "/v1/explain?name=play.live.example&client=84.128.0.9");
    assert!(told.contains("\"policy\":\"failover\""), "{told}");
    let (status, _) = run(&child, &["lift", "all"]);
    assert_eq!(status, Some(0));
    drop(child);
    let child = Child::start(&installation.config(), DESCRIPTORS);
    let (_, listed) = run(&child, &["overrides"]);
    assert!(listed.contains("no override stands"), "{listed}");
}

#[test]
fn broken_state_is_set_aside_and_the_server_starts() {
    let installation = keeping();
    fs::create_dir(state(&installation)).unwrap();
    for name in ["orders", "learned", "inputs"] {
        fs::write(state(&installation).join(name), "rubbish").unwrap();
    }
    let served = Served::start(&installation);
    assert_eq!(answer_of(served.dns(), "84.128.0.0/24"), "198.51.100.1");
    let aside = state(&installation).join("orders.broken");
    assert_eq!(fs::read_to_string(aside).unwrap(), "rubbish");
    let (status, text) = thalweg(&installation, served.admin(), &["status"]);
    assert!(status == Some(2) && text.contains("orders_lost") && text.contains("state/orders"), "{text}");
    let (status, text) = thalweg(&installation, served.admin(), &["drain", "fra1", "--reason", "x"]);
    assert!(status == Some(0) && text.contains("it survives"), "{text}");
}

#[test]
fn a_second_server_with_the_same_state_is_refused() {
    let installation = keeping();
    let _served = Served::start(&installation);
    let options = Options { file: installation.config(), environment: Vec::new(), is_watching: true, is_strict: false };
    let Err(refused) = Daemon::start(options) else { panic!("it was started") };
    let told = refused.diagnostics[0].to_string();
    assert!(told.contains("another server keeps its state there"), "{told}");
}

#[test]
fn a_directory_that_cannot_be_used_is_an_alarm_and_no_failed_start() {
    let installation = installation();
    let config = fs::read_to_string(installation.config()).unwrap();
    installation.write("thalweg.toml", &config.replacen("[server]\n", "[server]\nstate = \"thalweg.toml/x\"\n", 1));
    let served = started(&installation, false);
    let metrics = get(served.listening.admin, "/metrics");
    assert!(metrics.contains("thalweg_alarm{alarm=\"state\"} 1.0"), "{metrics}");
    let (status, text) = thalweg(&installation, served.listening.admin, &["status"]);
    assert!(status == Some(1) && text.contains("a restart forgets everything"), "{text}");
}

fn started(installation: &Installation, is_strict: bool) -> Daemon {
    let options = Options { file: installation.config(), environment: Vec::new(), is_watching: true, is_strict };
    Daemon::start(options).unwrap_or_else(|error| panic!("{:?}", error.diagnostics))
}

/// Waits until inputs are kept, which is done beside the answers.
fn keep(installation: &Installation) {
    drop(started(installation, false));
    assert!(state(installation).join("inputs").exists(), "what waits is written before the end");
}

#[test]
fn broken_inputs_at_a_start_are_those_that_were_sound_last_with_an_alarm() {
    let installation = keeping();
    keep(&installation);
    let config = fs::read_to_string(installation.config()).unwrap();
    // Syntax that nobody can read, but for the beginning.
    installation.write("thalweg.toml", &format!("{config}[node.fra1\nrubbish = = 1\n"));
    let served = started(&installation, false);
    assert_eq!(answer_of(served.listening.dns[0], "84.128.0.0/24"), "198.51.100.1");
    assert!(get(served.listening.admin, "/metrics").contains("thalweg_alarm{alarm=\"kept_inputs\"} 1.0"));
    let (status, text) = thalweg(&installation, served.listening.admin, &["status"]);
    assert!(status == Some(2) && text.contains("kept_inputs") && text.contains("thalweg.toml"), "{text}");
    drop(served);
    let options = Options { file: installation.config(), environment: Vec::new(), is_watching: true, is_strict: true };
    assert!(Daemon::start(options).is_err(), "`--strict` refuses");

    // A broken zone alone: the rest is as it is on disk.
    let zone = fs::read_to_string(installation.path("zones/live.example.zone")).unwrap();
    installation.write("zones/live.example.zone", &format!("{zone}x 60 A 300.1.1.1\n"));
    installation.write("thalweg.toml", &config.replace("198.51.100.1\"", "198.51.100.77\""));
    let served = started(&installation, false);
    assert_eq!(answer_of(served.listening.dns[0], "84.128.0.0/24"), "198.51.100.77");
    assert!(get(served.listening.admin, "/metrics").contains("thalweg_alarm{alarm=\"kept_inputs\"} 1.0"));
    installation.replace("zones/live.example.zone", &zone);
    wait_for("the mended zone", || (!get(served.listening.admin, "/metrics").contains("kept_inputs")).then_some(()));
    drop(served);
    // Without anything kept there is nothing to serve.
    fs::remove_dir_all(state(&installation)).unwrap();
    installation.write("thalweg.toml", "rubbish = = 1");
    let options = Options { file: installation.config(), environment: Vec::new(), is_watching: true, is_strict: false };
    assert!(Daemon::start(options).is_err());
}

/// Not a test of its own: the child of the next one, which writes until it is killed.
#[test]
fn child_that_writes_state() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = Store::open(Path::new(&directory)).unwrap();
    let first = store.load("numbers").map_or(0, |octets| number(&octets));
    let mut output = std::io::stdout().lock();
    for number in first + 1.. {
        store.save("numbers", &octets(number)).unwrap();
        writeln!(output, "saved {number}").unwrap();
        output.flush().unwrap();
    }
}

/// A number, as many times as makes a file that takes a while.
fn octets(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(20_000 + number as usize % 7)
}

fn number(octets: &[u8]) -> u64 {
    let number = u64::from_le_bytes(octets[..8].try_into().unwrap());
    assert!(octets == self::octets(number), "half of one number and half of another");
    number
}

#[test]
fn state_is_the_old_one_or_the_new_one_whenever_the_writer_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut saved = 0;
    for round in 0..100_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "restarts::child_that_writes_state", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut numbers = lines.filter_map(|line| line.rsplit_once("saved ")?.1.parse::<u64>().ok());
        // Some way into the next write: a different one each time.
        for _ in 0..=round * 7 % 5 {
            saved = numbers.next().expect("the child writes");
        }
        (0..round * 7_919 % 200_000).for_each(|count| {
            std::hint::black_box(count);
        });
        child.kill().unwrap();
        child.wait().unwrap();
        saved = numbers.last().unwrap_or(saved);
        let store = Store::open(directory.path()).unwrap();
        let found = number(&store.load("numbers").expect("it is never broken"));
        assert!(found == saved || found == saved + 1, "round {round}: {found} after {saved}");
        assert!(
            fs::read_dir(directory.path())
                .unwrap()
                .flatten()
                .all(|file| { !file.file_name().to_string_lossy().ends_with("broken") })
        );
        saved = found;
    }
}
