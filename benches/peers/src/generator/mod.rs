//! The load generator: one thread in a closed loop, which keeps as many queries waiting for their replies as servers can queue.

mod check;
mod client;
mod random;
mod readiness;
mod template;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::datagrams::{Inbox, Outbox, Wait};
use crate::geography::Geography;
use crate::measure::{Clock, Cpu, Memory};
use crate::sets::{Queries, Subnet};
use check::Checker;
pub use check::Truth;
use client::{CLIENTS, Client, TIMEOUT};
use random::Random;
pub use readiness::await_answer;
use template::{Subnets, Template};

/// What is asked of whom.
pub struct Load<'l> {
    /// The server.
    pub server: SocketAddr,
    /// Its processes, whose use of the machine is read; none if nobody wants to know.
    pub processes: &'l [u32],
    /// What is asked.
    pub queries: &'l Queries,
    /// The geography of clients.
    pub geography: &'l Geography,
    /// How true replies must be.
    pub truth: Truth,
    /// Time before the measurement.
    pub warm_up: Duration,
    /// Time of the measurement.
    pub duration: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Replies that came in time.
    pub answers: u64,
    /// Queries whose reply did not.
    pub lost: u64,
    /// Octets of the replies.
    pub octets: u64,
    /// What the server's processes used meanwhile.
    pub cpu: Cpu,
    /// Their memory at the end.
    pub memory: Memory,
    /// How long it was measured.
    pub elapsed: Duration,
}

impl Outcome {
    /// Part of the time in which the server had something to do; else it waited for queries, which makes them dearer.
    pub fn busy(&self) -> f64 {
        (self.cpu.total + self.cpu.held_up).as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

impl Load<'_> {
    /// Asks until the time is over. Wrong answers are an error.
    pub fn run(&self) -> Result<Outcome> {
        let mut generator = Generator::new(self)?;
        generator.run_for(self.warm_up)?;
        generator.reset();
        let (start, clock) = (Instant::now(), Clock::read(self.processes)?);
        generator.run_for(self.duration)?;
        let (cpu, elapsed) = (clock.used()?, start.elapsed());
        let memory = Memory::read(self.processes)?;
        let Generator { answers, lost, octets, checker, .. } = generator;
        checker.finish()?;
        if answers == 0 {
            bail!("no replies");
        }
        Ok(Outcome { answers, lost, octets, cpu, memory, elapsed })
    }
}

struct Generator<'l> {
    clients: Vec<Client>,
    inbox: Inbox,
    outbox: Outbox,
    templates: Vec<Template>,
    subnets: Subnets,
    random: Random,
    checker: Checker<'l>,
    answers: u64,
    lost: u64,
    octets: u64,
}

impl<'l> Generator<'l> {
    fn new(load: &Load<'l>) -> Result<Self> {
        let Queries { questions, sources, subnet, .. } = load.queries;
        let clients = (0..CLIENTS as u8).map(|number| Client::new(load.server, *sources, number));
        let subnets = match subnet {
            None => Subnets::None,
            Some(Subnet::Ipv4) => Subnets::Ipv4,
            Some(Subnet::Ipv6) => Subnets::Ipv6(load.geography.ipv6_networks()?),
        };
        Ok(Self {
            clients: clients.collect::<io::Result<_>>().context("sockets of the generator")?,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            templates: questions.iter().map(|question| Template::new(question, load.queries)).collect(),
            subnets,
            random: Random::new(std::process::id().into()),
            checker: Checker::new(load.truth, load.geography),
            answers: 0,
            lost: 0,
            octets: 0,
        })
    }

    /// Forgets what was counted, not what is on its way.
    fn reset(&mut self) {
        (self.answers, self.lost, self.octets) = (0, 0, 0);
        self.checker.reset();
    }

    /// Asks without ever sleeping: a thread that wakes up costs ten times a query, on both sides.
    fn run_for(&mut self, duration: Duration) -> Result<()> {
        let start = Instant::now();
        let mut next_sweep = start + TIMEOUT;
        loop {
            let now = Instant::now();
            if now - start >= duration {
                return Ok(());
            }
            if now >= next_sweep {
                next_sweep = now + TIMEOUT / 8;
                self.lost += self.clients.iter_mut().map(|client| client.give_up(now)).sum::<u64>();
            }
            // No client is always the first.
            let first = self.random.below(CLIENTS);
            for number in 0..CLIENTS {
                let number = (first + number) % CLIENTS;
                self.receive(number).context("the generator")?;
                self.send(number, now).context("the generator")?;
            }
        }
    }

    fn receive(&mut self, number: usize) -> io::Result<()> {
        let client = &mut self.clients[number];
        let received = match self.inbox.receive(&client.socket, Wait::Never) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        for index in 0..received {
            let reply = self.inbox.message(index);
            let Some(query) = client.end(reply) else { continue };
            self.answers += 1;
            self.octets += reply.len() as u64;
            self.checker.check(reply, &self.templates[usize::from(query.template)], query.client);
        }
        Ok(())
    }

    fn send(&mut self, number: usize, now: Instant) -> io::Result<()> {
        let client = &mut self.clients[number];
        loop {
            while !self.outbox.is_full() {
                let index = self.random.below(self.templates.len());
                let subnet = self.subnets.draw(&mut self.random);
                let Some((route, id)) = client.begin(index as u16, subnet, now, &mut self.random) else { break };
                let template = &self.templates[index];
                self.outbox.push(route, |out| template.write(id, subnet, &mut self.random, out));
            }
            if self.outbox.is_empty() {
                return Ok(());
            }
            // What the kernel does not take is given up later, and counted as lost.
            self.outbox.send(&client.socket)?;
        }
    }
}

/// Questions of a set, so many of them, one a line, for dnsperf.
pub fn list(queries: &Queries, count: usize) -> String {
    let mut random = Random::new(1);
    let templates: Vec<_> = queries.questions.iter().map(|question| Template::new(question, queries)).collect();
    let lines = (0..count).map(|_| templates[random.below(templates.len())].text(&mut random) + "\n");
    lines.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::limit;
    use crate::sets::Set;

    #[test]
    fn every_query_of_every_set_gets_its_reply_from_the_limit() {
        let directory = tempfile::tempdir().expect("a directory");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../geoip");
        let geography = Geography::build(&sources, &directory.path().join("test.mmdb")).expect("built");
        let socket = limit::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let server = socket.local_addr().expect("bound");
        std::thread::spawn(move || limit::work(&socket));
        for set in [Set::S, Set::SCookies, Set::G16, Set::G4096, Set::E, Set::EIpv6] {
            let (queries, processes) = (set.queries(100), [std::process::id()]);
            let (warm_up, duration, truth) = (Duration::ZERO, Duration::from_millis(50), Truth::None);
            let load = Load {
                server,
                processes: &processes,
                queries: &queries,
                geography: &geography,
                truth,
                warm_up,
                duration,
            };
            let outcome = load.run().expect("replies");
            assert!(outcome.answers > 100 && outcome.lost == 0, "{}: {outcome:?}", set.title());
            let made_up = Load { truth: Truth::Exact, ..load }.run().expect_err("what the limit says is wrong");
            assert!(made_up.to_string().contains("the first: RCODE 0"), "{made_up}");
        }
    }
}
