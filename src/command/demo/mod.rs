//! `thalweg demo`: server, model nodes and viewers on loopback, so that one sees it steer.
//!
//! The server is a real one, started from files. Nodes and viewers share nothing with it but sockets.

mod ask;
mod directory;
mod machine;
mod node;
mod observer;
mod scene;
mod script;
mod viewer;
mod world;

use std::io::{self, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

pub use ask::ask;
pub use machine::Activity;
pub use node::Node;
pub use scene::{Role, SERVICE, SITES, Site};
pub use viewer::Told;
pub use world::World;

use super::{FAILURE, SUCCESS, count, draw};
use crate::feed::StartError;

/// Port of the DNS server unless another is wanted.
pub const PORT: u16 = 5300;

/// Runs the demonstration until a signal or after so many seconds.
pub fn demo(port: u16, seconds: Option<u64>) -> u8 {
    let world = match World::start(port) {
        Ok(world) => world,
        Err(StartError { diagnostics }) => {
            draw(&diagnostics);
            eprintln!("thalweg demo: not started: {}", count(&diagnostics));
            return FAILURE;
        }
    };
    let outcome = world.block_on(async {
        tokio::select! {
            stopped = until_stopped(seconds) => stopped,
            error = tell(&world) => Err(error),
        }
    });
    if world.is_edited() {
        // On the standard error: whoever read the other may have gone.
        eprintln!("thalweg demo: you edited files, so they stay: {}", world.directory().display());
    }
    match outcome {
        Ok(()) => SUCCESS,
        // `thalweg demo | head` has seen what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => SUCCESS,
        Err(error) => {
            eprintln!("thalweg demo: {error}");
            FAILURE
        }
    }
}

/// Tells the whole story; returns only why it cannot be told any more.
async fn tell(world: &World) -> io::Error {
    let mut out = io::stdout();
    let told = world.invite();
    script::until_scraped(world).await;
    match script::introduce(world, &mut out).and_then(|()| out.flush()) {
        Ok(()) => script::play(world, told, &mut out).await,
        Err(error) => error,
    }
}

async fn until_stopped(seconds: Option<u64>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let time = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = time => {}
    }
    Ok(())
}
