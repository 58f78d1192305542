//! The script: says what to try, shows a row every two seconds, and overloads one node after the other.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::machine::Activity;
use super::node::Node;
use super::observer::{Observer, ROW};
use super::scene::{INTERVAL, SITES};
use super::viewer::{MEAN_VIEWERS, Told};
use super::world::World;
use crate::geo::Prefix;

/// How often the nodes are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// When the first batch job starts, and how long after that the next.
const FIRST_JOB: Duration = Duration::from_secs(20);
const NEXT_JOB: Duration = Duration::from_secs(60);
/// The nodes that get batch jobs in turn, in the order of the world's.
const JOBS: [usize; 3] = [0, 4, 2];
/// Rows from one head to the next.
const HEAD_EVERY: u64 = 15;
/// A rate takes two scrapes; if they do not come within this time, the story goes on without them.
const FIRST_SCRAPES: Duration = Duration::from_secs(10);

/// Waits until the load of every node can be known.
pub(super) async fn until_scraped(world: &World) {
    let all = async {
        for node in &world.nodes {
            node.scraped(2).await;
        }
    };
    let _or_not = tokio::time::timeout(FIRST_SCRAPES, all).await;
}

/// What there is, and what to try.
pub(super) fn introduce(world: &World, out: &mut impl Write) -> io::Result<()> {
    let World { dns, admin, config, nodes, .. } = world;
    let directory = world.directory().display();
    let cities = SITES.each_ref().map(|site| site.city).join(", ");
    let viewers = MEAN_VIEWERS * SITES.len() as f64;
    writeln!(out, "\nthalweg demo: a server, {} model nodes ({cities}), about {viewers} viewers.", nodes.len())?;
    writeln!(out, "Ctrl-C ends it. Its files are in {directory}")?;
    writeln!(out, "  and go with it, unless you edit them: the server takes what you save.")?;
    writeln!(out, "\nTry in another terminal:\n")?;

    let mut show = |what: &str, command: String| writeln!(out, "# {what}\n{command}");
    let (ip, port) = (dns.ip(), dns.port());
    let network = |client: Ipv4Addr| Prefix::of(client.into(), 24);
    let dig = |rest: &str| format!("dig @{ip} -p {port} {rest}");
    for (index, site) in SITES.iter().enumerate() {
        let what = format!("a viewer in {}: nodes in {}, 127.0.{}.x", site.country, site.city, index + 1);
        show(&what, dig(&format!("+subnet={} play.live.example", network(site.example()))))?;
    }
    let example = network(SITES[0].example());
    show("the same over TCP, and for IPv6", dig(&format!("+tcp +subnet={example} play.live.example AAAA")))?;
    show("a steered wildcard: every room", dig(&format!("+subnet={example} lobby.room.live.example")))?;
    show("not steered: an alias, as the zone file has it", dig("www.live.example"))?;
    show("a wildcard of the zone file", dig("anybody.customers.live.example"))?;
    show("no such name: NXDOMAIN, with the SOA that says for how long", dig("nobody.live.example"))?;
    let program = std::env::args().next().unwrap_or_else(|| "thalweg".to_owned());
    show(
        "why a viewer gets this answer",
        format!("{program} explain play.live.example --client {} --config {}", SITES[0].example(), config.display()),
    )?;
    show("the server's own metrics", format!("curl -s http://{admin}/metrics"))?;
    let [name, exporter] = [nodes[0].role.name(), nodes[0].exporter.to_string()];
    show(&format!("what {name} says of itself"), format!("curl -s http://{exporter}/metrics"))?;
    show(
        &format!("overload {name}: its share of the answers falls to zero, and comes back"),
        format!("curl -s -X POST 'http://{exporter}/overload?seconds=30'"),
    )?;
    writeln!(
        out,
        "\nEvery {} s a row: for each node the viewers on it (on), its pressure as its exporter\n\
         shows it (prs, 1 is overloaded), and its share of the answers that viewers of its\n\
         country got. Nodes are scraped every {INTERVAL} s. The first batch job comes after {} s.",
        ROW.as_secs(),
        FIRST_JOB.as_secs(),
    )
}

/// Tells what happens, and makes something happen; it ends only if nobody reads it any more.
pub(super) async fn play(world: &World, mut told: mpsc::Receiver<Told>, out: &mut impl Write) -> io::Error {
    let mut observer = Observer::new();
    let start = Instant::now();
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut rows = tokio::time::interval_at(start + ROW, ROW);
    rows.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut jobs = tokio::time::interval_at(start + FIRST_JOB, NEXT_JOB);
    let (mut row, mut job) = (0, 0);
    loop {
        let outcome = tokio::select! {
            Some(told) = told.recv() => {
                observer.hear(told);
                Ok(())
            }
            now = looks.tick() => {
                let sentences = observer.look(now, &activities(world));
                sentences.iter().try_for_each(|sentence| writeln!(out, "{}  {sentence}", clock(start, now)))
            }
            now = rows.tick() => {
                let head = if row % HEAD_EVERY == 0 { format!("\n{}\n", Observer::head()) } else { String::new() };
                row += 1;
                writeln!(out, "{head}{}{}", clock(start, now), observer.row(now, &activities(world)))
            }
            _ = jobs.tick() => {
                let node = &world.nodes[JOBS[job % JOBS.len()]];
                job += 1;
                // The user may have been quicker.
                if !node.activity().has_job {
                    node.overload_as_usual();
                }
                Ok(())
            }
        };
        if let Err(error) = outcome {
            return error;
        }
    }
}

fn activities(world: &World) -> Vec<Activity> {
    world.nodes.iter().map(Node::activity).collect()
}

fn clock(start: Instant, now: Instant) -> String {
    format!("{:>3} s", (now - start).as_secs())
}
