//! What polling costs: `thalweg run` beside a farm of model exporters, each at an address of its own on loopback.
//!
//! `cargo bench --bench scrape -- [exporters=2000] [seconds=30] [hang=0] [gzip] [refuse] [binary=PATH]`. It shows the CPU time of
//! the threads and the memory of the process, and how late scrapes come; with `hang` again while so many never answer.
//! `gzip` packs all answers, `refuse` knows no `collect[]`, `binary` runs another build.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on is over")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What node_exporter answers to all questions, and to one for the collectors that we want.
const FULL: &str = include_str!("../tests/load/node_exporter_default.prom");
const NARROWED: &str = include_str!("../tests/load/node_exporter_collect_filtered.prom");
/// Time from scrape to scrape.
const INTERVAL: Duration = Duration::from_secs(5);
/// The kernel's clock ticks in a second of CPU time (USER_HZ).
const TICKS: f64 = 100.0;

struct Options {
    exporters: usize,
    seconds: u64,
    hang: usize,
    is_packed: bool,
    refuses: bool,
    binary: PathBuf,
}

fn main() {
    let options = options();
    let farm = Arc::new(Farm::new(&options));
    let directory = tempfile::tempdir().unwrap();
    let (sender, port) = std::sync::mpsc::channel();
    let serving = Arc::clone(&farm);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let port = serve(serving).await;
            sender.send(port).unwrap();
            std::future::pending::<()>().await;
        });
    });
    write_installation(directory.path(), options.exporters, port.recv().unwrap());
    let server = Server::start(&options.binary, directory.path());
    let Options { exporters, seconds, hang, is_packed, refuses, .. } = options;
    println!("{exporters} exporters every {} s, packed: {is_packed}, narrowing refused: {refuses}", INTERVAL.as_secs());
    // Every connection has been made by then, and every phase found.
    thread::sleep(INTERVAL * 3);
    observe("all answer", &server, &farm, seconds);
    if hang > 0 {
        farm.hanging.store(hang, Ordering::Relaxed);
        thread::sleep(INTERVAL * 2);
        observe(&format!("{hang} hang"), &server, &farm, seconds);
    }
}

fn options() -> Options {
    let mut options = Options {
        exporters: 2_000,
        seconds: 30,
        hang: 0,
        is_packed: false,
        refuses: false,
        binary: env!("CARGO_BIN_EXE_thalweg").into(),
    };
    for argument in std::env::args().skip(1) {
        match argument.split_once('=').unwrap_or((&argument, "")) {
            ("exporters", count) => options.exporters = count.parse().unwrap(),
            ("seconds", count) => options.seconds = count.parse().unwrap(),
            ("hang", count) => options.hang = count.parse().unwrap(),
            ("binary", path) => options.binary = path.into(),
            ("gzip", _) => options.is_packed = true,
            ("refuse", _) => options.refuses = true,
            // What `cargo bench` adds.
            ("--bench", _) => {}
            (other, _) => panic!("what is `{other}`?"),
        }
    }
    assert!(options.exporters <= 4_000 && options.seconds <= 120, "farms and runs are bounded");
    options
}

/// The model exporters.
struct Farm {
    exporters: usize,
    full: Vec<u8>,
    /// None if `collect[]` is refused.
    narrowed: Option<Vec<u8>>,
    /// The first so many never answer.
    hanging: AtomicUsize,
    /// When which exporter was asked.
    asked: Mutex<Vec<(usize, Instant)>>,
}

impl Farm {
    fn new(options: &Options) -> Self {
        let answer = |text: &str| {
            let (coding, body) = match options.is_packed {
                true => ("Content-Encoding: gzip\r\n", packed(text)),
                false => ("", text.as_bytes().to_vec()),
            };
            let kind = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
            let head = format!("HTTP/1.1 200 OK\r\n{kind}{coding}Content-Length: {}\r\n\r\n", body.len());
            [head.as_bytes(), &body].concat()
        };
        Self {
            exporters: options.exporters,
            full: answer(FULL),
            narrowed: (!options.refuses).then(|| answer(NARROWED)),
            hanging: AtomicUsize::new(0),
            asked: Mutex::default(),
        }
    }
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn address(exporter: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (exporter / 250) as u8, (exporter % 250 + 1) as u8)
}

/// Listens at every address, all on one port.
async fn serve(farm: Arc<Farm>) -> u16 {
    let mut port = 0;
    for exporter in 0..farm.exporters {
        let listener = TcpListener::bind(SocketAddr::V4(SocketAddrV4::new(address(exporter), port))).await.unwrap();
        port = listener.local_addr().unwrap().port();
        let farm = Arc::clone(&farm);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(Arc::clone(&farm), exporter, stream));
            }
        });
    }
    port
}

async fn answer(farm: Arc<Farm>, exporter: usize, mut stream: TcpStream) {
    let mut buffer = vec![0; 2048];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) => return,
            Ok(octets) => filled += octets,
        }
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        let is_narrow = buffer[..filled].starts_with(b"GET /metrics?collect");
        filled = 0;
        farm.asked.lock().unwrap().push((exporter, Instant::now()));
        if exporter < farm.hanging.load(Ordering::Relaxed) {
            continue;
        }
        let answer = match (&farm.narrowed, is_narrow) {
            (None, true) => b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            (Some(narrowed), true) => narrowed.as_slice(),
            (_, false) => &farm.full,
        };
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

fn write_installation(directory: &Path, exporters: usize, port: u16) {
    let mut text = format!(
        "[server]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nworkers = 1\n[geoip]\ndatabases = [{:?}]\n\
         [place.x]\nat = [50, 8]\n[defaults.node]\nplace = \"x\"\ncapacity.egress = \"1Gbit/s\"\n\
         exporters.node = \"http://{{address}}:{port}/metrics\"\n[service.\"play.live.example\"]\n",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/geoip/flat.mmdb"),
    );
    for exporter in 0..exporters {
        write!(text, "[node.n{exporter}]\naddresses = [\"{}\"]\n", address(exporter)).unwrap();
    }
    fs::write(directory.join("thalweg.toml"), text).unwrap();
    fs::create_dir(directory.join("zones")).unwrap();
    let zone = "@ 60 SOA ns1 host 1 2h 15m 2w 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";
    fs::write(directory.join("zones/live.example.zone"), zone).unwrap();
}

/// `thalweg run`, ended when it is dropped.
struct Server {
    process: Child,
}

impl Server {
    fn start(binary: &Path, directory: &Path) -> Self {
        let process = Command::new(binary)
            .args(["run", "--config"])
            .arg(directory.join("thalweg.toml"))
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process }
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.process.id())).unwrap()
    }

    /// Seconds of CPU time so far by the names of threads, those of the kernel beside those of the program.
    fn cpu(&self) -> BTreeMap<String, [f64; 2]> {
        let mut times: BTreeMap<String, [f64; 2]> = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap() {
            let text = fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
            let Some((head, tail)) = text.rsplit_once(')') else { continue };
            let name = head.split_once('(').unwrap().1.to_owned();
            let fields: Vec<&str> = tail.split_whitespace().collect();
            let time = times.entry(name).or_default();
            // proc_pid_stat(5): utime and stime are the 14th and 15th, the state behind the name the 3rd.
            for (sum, field) in time.iter_mut().zip([fields[11], fields[12]]) {
                *sum += field.parse::<f64>().unwrap() / TICKS;
            }
        }
        times
    }

    fn memory(&self, key: &str) -> f64 {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn observe(what: &str, server: &Server, farm: &Farm, seconds: u64) {
    farm.asked.lock().unwrap().clear();
    let (begun, before) = (Instant::now(), server.cpu());
    thread::sleep(Duration::from_secs(seconds));
    let (took, after) = (begun.elapsed().as_secs_f64(), server.cpu());
    let asked = std::mem::take(&mut *farm.asked.lock().unwrap());
    println!("-- {what}: {:.0} requests/s", asked.len() as f64 / took);
    for (name, [user, system]) in &after {
        let [old_user, old_system] = before.get(name).copied().unwrap_or_default();
        let (user, system) = ((user - old_user) / took * 100.0, (system - old_system) / took * 100.0);
        if user + system >= 0.1 {
            println!("   {name:8} {:5.1} % of a core ({user:.1} user, {system:.1} system)", user + system);
        }
    }
    println!("   memory   {:.0} MiB, at most {:.0} MiB", server.memory("VmRSS:"), server.memory("VmHWM:"));
    let late = lateness(farm, &asked);
    let at = |share: f64| late.get(((late.len() as f64 - 1.0) * share) as usize).copied().unwrap_or_default();
    println!("   late     median {:.1} ms, p99 {:.1} ms, at most {:.1} ms", at(0.5), at(0.99), at(1.0));
}

/// By how many milliseconds requests to those that do not hang came later than the earliest of the same exporter.
fn lateness(farm: &Farm, asked: &[(usize, Instant)]) -> Vec<f64> {
    let mut by_exporter: BTreeMap<usize, Vec<Instant>> = BTreeMap::new();
    let hanging = farm.hanging.load(Ordering::Relaxed);
    for (exporter, at) in asked.iter().filter(|(exporter, _)| *exporter >= hanging) {
        by_exporter.entry(*exporter).or_default().push(*at);
    }
    let interval = INTERVAL.as_secs_f64();
    let mut late = Vec::new();
    for times in by_exporter.values() {
        let offsets: Vec<f64> = times
            .iter()
            .map(|at| {
                let since = (*at - times[0]).as_secs_f64();
                since - (since / interval).round() * interval
            })
            .collect();
        let earliest = offsets.iter().copied().fold(f64::INFINITY, f64::min);
        late.extend(offsets.iter().map(|offset| (offset - earliest) * 1e3));
    }
    late.sort_by(f64::total_cmp);
    late
}
