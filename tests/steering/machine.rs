//! Model nodes: an exporter whose counters follow what the test says, and a port that viewers would connect to.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

/// What a machine can send, in bit/s, and how much of its CPU and of that counts as pressure 1.
pub(crate) const CAPACITY: f64 = 100e9;
const LIMIT: f64 = 0.8;

/// A machine whose node_exporter tells how busy it is.
pub(crate) struct Machine {
    server: Server,
    counters: Arc<Mutex<Counters>>,
}

/// Counters that grow with time.
struct Counters {
    booted: Instant,
    counted: Instant,
    /// Shares of all cores and of the link.
    cpu: f64,
    egress: f64,
    /// Seconds and octets.
    busy: f64,
    idle: f64,
    sent: f64,
}

impl Machine {
    /// A machine at this pressure, by its egress.
    pub(crate) fn start(address: Ipv4Addr, pressure: f64) -> Self {
        let now = Instant::now();
        let (cpu, egress) = (0.05, pressure * LIMIT);
        let counters = Counters { booted: now, counted: now, cpu, egress, busy: 0.0, idle: 0.0, sent: 0.0 };
        let counters = Arc::new(Mutex::new(counters));
        let told = Arc::clone(&counters);
        let server = Server::start(address, move |stream| {
            answer(stream, "200 OK", || told.lock().unwrap().exposition());
        });
        Self { server, counters }
    }

    /// Where its metrics are.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/metrics", self.server.address)
    }

    /// Scrapes that it has answered.
    pub(crate) fn scrapes(&self) -> u64 {
        self.server.served()
    }

    /// From now on it sends so much that this is its pressure.
    pub(crate) fn set_egress(&self, pressure: f64) {
        self.change(|counters| counters.egress = pressure * LIMIT);
    }

    /// From now on its CPU is so busy that this is its pressure.
    pub(crate) fn set_cpu(&self, pressure: f64) {
        self.change(|counters| counters.cpu = pressure * LIMIT);
    }

    /// Its exporter ends.
    pub(crate) fn stop(&mut self) {
        self.server.stop();
    }

    /// Its exporter is there again; its counters went on.
    pub(crate) fn start_again(&mut self) {
        self.server.listen();
    }

    fn change(&self, change: impl FnOnce(&mut Counters)) {
        let mut counters = self.counters.lock().unwrap();
        counters.count();
        change(&mut counters);
    }
}

impl Counters {
    fn count(&mut self) {
        let now = Instant::now();
        let seconds = (now - self.counted).as_secs_f64();
        self.counted = now;
        self.busy += seconds * self.cpu;
        self.idle += seconds * (1.0 - self.cpu);
        self.sent += seconds * self.egress * CAPACITY / 8.0;
    }

    /// In the words of node_exporter, of one core.
    fn exposition(&mut self) -> String {
        self.count();
        let mut text = String::from("node_boot_time_seconds 1000000000\n");
        writeln!(text, "node_cpu_seconds_total{{cpu=\"0\",mode=\"idle\"}} {:.3}", self.idle).unwrap();
        writeln!(text, "node_cpu_seconds_total{{cpu=\"0\",mode=\"user\"}} {:.3}", self.busy).unwrap();
        writeln!(text, "node_network_transmit_bytes_total{{device=\"eth0\"}} {:.0}", self.sent).unwrap();
        let clock = 1e9 + (self.counted - self.booted).as_secs_f64();
        writeln!(text, "node_time_seconds {clock:.6}").unwrap();
        text
    }
}

/// Answers one request with what `body` then is.
pub(super) fn answer(mut stream: TcpStream, status: &str, body: impl FnOnce() -> String) {
    let (mut request, mut octet) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut octet) {
            Ok(1) => request.push(octet[0]),
            _ => return,
        }
    }
    let body = body();
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    // A scraper that is gone has its own reasons.
    let _sent = stream.write_all((head + &body).as_bytes());
}

/// A port that accepts connections and says nothing.
pub(crate) struct Port(Server);

impl Port {
    /// Any port of the address.
    pub(crate) fn open(address: Ipv4Addr) -> Self {
        Self(Server::start(address, drop))
    }

    /// Its number.
    pub(crate) fn number(&self) -> u16 {
        self.0.address.port()
    }

    /// Connections that it has accepted.
    pub(crate) fn probes(&self) -> u64 {
        self.0.served()
    }

    /// Connections are refused.
    pub(crate) fn close(&mut self) {
        self.0.stop();
    }

    /// They are accepted again.
    pub(crate) fn reopen(&mut self) {
        self.0.listen();
    }
}

/// A TCP server on an address that stays the same, which can be stopped and started.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    serve: Arc<dyn Fn(TcpStream) + Send + Sync>,
    served: Arc<AtomicU64>,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Server {
    /// At any port of the address.
    pub(super) fn start(address: impl Into<IpAddr>, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::start_at((address.into(), 0).into(), serve)
    }

    pub(super) fn start_at(address: SocketAddr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let mut server = Self { address, serve: Arc::new(serve), served: Arc::default(), running: None };
        server.listen();
        server
    }

    fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    pub(super) fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        self.address = listener.local_addr().unwrap();
        let should_stop = Arc::new(AtomicBool::new(false));
        let (serve, served, stops) = (Arc::clone(&self.serve), Arc::clone(&self.served), Arc::clone(&should_stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stops.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    serve(stream);
                    served.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        self.running = Some((should_stop, thread));
    }

    pub(super) fn stop(&mut self) {
        if let Some((should_stop, thread)) = self.running.take() {
            should_stop.store(true, Ordering::SeqCst);
            // Wakes it; whoever else connects at this moment does as well.
            let _woken = TcpStream::connect(self.address);
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
