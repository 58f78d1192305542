//! A UDP worker makes two system calls for a batch of 32 datagrams, and no other: no clock, no lock, no wait.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use thalweg::intake::Counts;
use thalweg::serve::Learner;
use thalweg::serve::udp::{Worker, Workers, bind};
use thalweg::snapshot::Published;
use thalweg::wire::RecordType;

use super::support::installation::{Load, Use, inputs, snapshot};
use super::support::query::Query;

const BATCH: usize = 32;
/// Together fewer datagrams than wait in a socket whose buffer has the kernel's default limit.
const BATCHES: usize = 6;
/// Set where this program runs under strace.
const TRACED: &str = "THALWEG_TEST_IS_TRACED";

#[test]
fn a_batch_costs_two_system_calls() {
    if env::var_os(TRACED).is_some() {
        return answer_what_waits();
    }
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("strace")
        .args(["--follow-forks", "--output-separately", "--quiet=all", "--signal=none", "--output"])
        .arg(directory.path().join("thread"))
        .arg(env::current_exe().unwrap())
        .args(["--exact", "calls::a_batch_costs_two_system_calls", "--nocapture"])
        .env(TRACED, "yes")
        .stdin(Stdio::null())
        .output()
        .expect("strace is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!is_forbidden(&said), "{FORBIDDEN}\n{said}");
    assert!(output.status.success(), "{said}");
    let calls = calls_of_worker(directory.path());
    // The first batch makes what the worker keeps.
    let first = calls.iter().position(|(call, _)| call == "sendmmsg").expect("replies were sent");
    let last = calls.iter().rposition(|(call, _)| call == "sendmmsg").expect("replies were sent");
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (call, result) in &calls[first + 1..=last] {
        *counts.entry((call, result)).or_default() += 1;
    }
    // Where the kernel has no clock that can be read without a call, one a batch is what it takes.
    counts.retain(|&(call, _), count| call != "clock_gettime" || *count > BATCHES);
    let others = BATCHES - 1;
    assert_eq!(counts, BTreeMap::from([(("recvmmsg", "32"), others), (("sendmmsg", "32"), others)]));
}

/// What is missing where strace may not trace what it has started itself.
const FORBIDDEN: &str = "strace may trace nothing here: a container needs the capability CAP_SYS_PTRACE (`--cap-add SYS_PTRACE`) and a \
    seccomp profile that allows ptrace, a machine kernel.yama.ptrace_scope of 0 or 1";

fn is_forbidden(said: &str) -> bool {
    said.lines().any(|line| line.to_lowercase().contains("ptrace") && line.contains("Operation not permitted"))
}

/// Calls and results of the thread that receives batches.
fn calls_of_worker(directory: &Path) -> Vec<(String, String)> {
    let threads = fs::read_dir(directory).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    let texts = threads.map(|octets| String::from_utf8_lossy(&octets).into_owned());
    let mut workers = texts.filter(|text| text.contains("recvmmsg("));
    let text = workers.next().expect("a worker received");
    assert!(workers.next().is_none(), "one worker was started");
    let call = |line: &str| {
        let (call, _) = line.split_once('(')?;
        let (_, result) = line.rsplit_once(" = ")?;
        Some((call.to_owned(), result.split(' ').next()?.to_owned()))
    };
    text.lines().filter_map(call).collect()
}

/// Lets a worker begin when batches wait for it, so that no scheduler has a say in how many come together.
fn answer_what_waits() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("thalweg.toml");
    let inputs = inputs(&shipped).expect("the shipped example has no errors");
    let published = Arc::new(Published::new(snapshot(&inputs, |_| Load::Fresh(Use::Pressure(0.5)))));
    let mut sockets = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let socket = sockets.pop().unwrap();
    let server = socket.local_addr().unwrap();
    // One for each batch, so that all replies find room too.
    let clients: Vec<UdpSocket> = (0..BATCHES).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for client in &clients {
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        for number in 0..BATCH {
            let mut query = match number % 4 {
                0 => Query::new("www.live.example.", RecordType::A),
                1 => Query::new("play.live.example.", RecordType::A),
                2 => Query::new("play.live.example.", RecordType::AAAA).with_subnet("88.198.1.0/24".parse().unwrap()),
                _ => Query::new(&format!("nobody{number}.live.example."), RecordType::A),
            };
            if number == 0 {
                query.edns().options.push((10, b"a client".to_vec()));
            }
            client.send_to(&query.message(), server).unwrap();
        }
    }
    let (learner, _shelf) = Learner::new(1, 1);
    let worker = Worker { socket, counts: Arc::new(Counts::new()), learner, watch: Arc::default(), core: None };
    let _workers = Workers::start(vec![worker], 1, &published).unwrap();
    for client in &clients {
        for _ in 0..BATCH {
            assert!(client.recv(&mut [0; 1232]).unwrap() > 0);
        }
    }
}
