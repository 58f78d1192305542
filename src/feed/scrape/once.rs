//! Every exporter once, for a look at what they tell.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::exchange::Exchange;
use crate::feed::client::Clients;
use crate::feed::inputs::Inputs;
use crate::feed::names::Names;
use crate::load::error::ScrapeError;
use crate::pool::{Exporter, Whence};

/// The longest time for one.
const LIMIT: Duration = Duration::from_secs(4);
/// Exporters that are asked at a time.
const AT_ONCE: usize = 64;

/// What an exporter answered.
#[derive(Debug)]
pub struct Answered {
    /// The node's name.
    pub node: String,
    /// Which of its exporters.
    pub exporter: Exporter,
    /// Its body, or why there is none.
    pub body: Result<Vec<u8>, ScrapeError>,
    /// How long that took.
    pub took: Duration,
}

/// Asks every exporter of every configured node, in their order.
pub fn scrape_once(inputs: &Inputs) -> io::Result<Vec<Answered>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answered = runtime.block_on(async {
        let (clients, room) = (Clients::new(0, Names::of_system()), Arc::new(Semaphore::new(AT_ONCE)));
        let mut tasks = JoinSet::new();
        for known in inputs.fleet.nodes.iter().filter(|known| known.is_configured) {
            let exporters = known.node.exporters.iter().filter(|exporter| matches!(exporter.whence(), Whence::Url(_)));
            for exporter in exporters {
                let (clients, room) = (clients.clone(), Arc::clone(&room));
                let (index, node, exporter) = (tasks.len(), known.node.name.clone(), exporter.clone());
                let credentials = inputs.keyring.of(&exporter.access);
                tasks.spawn(async move {
                    let _permit = room.acquire().await;
                    let begun = Instant::now();
                    let body = match credentials {
                        Some(credentials) => {
                            let mut exchange = Exchange::new(&exporter, &credentials, LIMIT, false);
                            let client = clients.of(&credentials);
                            let body = tokio::time::timeout(LIMIT, exchange.body(&client)).await;
                            body.unwrap_or(Err(ScrapeError::Timeout(LIMIT)))
                        }
                        None => Err(ScrapeError::Access),
                    };
                    (index, Answered { node, exporter, body, took: begun.elapsed() })
                });
            }
        }
        let mut answered: Vec<(usize, Answered)> = tasks.join_all().await;
        answered.sort_by_key(|(index, _)| *index);
        answered.into_iter().map(|(_, answered)| answered).collect()
    });
    // A look-up that hangs is left behind.
    runtime.shutdown_background();
    Ok(answered)
}
