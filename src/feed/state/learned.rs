//! What was learned, from one run of the server to the next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Keeper, Store};
use crate::feed::run::Feed;
use crate::feed::unix_seconds;
use crate::steer::{Controller, Learned};

/// The file.
const LEARNED: &str = "learned";
/// Seconds for which it is as good as new, and in which half of it is lost afterwards: viewers bring something else in
/// the evening than they do in the morning.
const FRESH: u64 = 3_600;
/// Seconds after which nothing is made of it.
const OVER: u64 = 24 * 3_600;
/// Between two times at which it is written.
pub(in crate::feed) const SAVED: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
struct Dated {
    /// Seconds since 1970.
    at: u64,
    learned: Learned,
}

/// Gives a new controller what an earlier one had learned.
pub(in crate::feed) fn inherit(controller: &mut Controller, store: &Store, now: u64) {
    let Some(octets) = store.load(LEARNED) else { return };
    match serde_json::from_slice(&octets) {
        Ok(Dated { at, learned }) => {
            let trust = trust(now.saturating_sub(at));
            if trust > 0.0 {
                controller.inherit(learned, trust);
            }
        }
        Err(error) => store.set_aside(LEARNED, &error),
    }
}

/// How much of what was learned so many seconds ago counts, 0 to 1.
fn trust(age: u64) -> f64 {
    match age {
        0..=FRESH => 1.0,
        OVER.. => 0.0,
        age => 0.5_f64.powf((age - FRESH) as f64 / FRESH as f64),
    }
}

impl Feed {
    /// Remembers what is learned by now, and writes it. After a panic that is nothing, and what was learned before is better.
    pub(in crate::feed) fn save_learned(&mut self) {
        if self.is_anew {
            return;
        }
        self.learned = self.controller.learned(&self.inputs.fleet, self.inputs.geo.regions());
        if let Some(keeper) = &self.keeper {
            save(keeper, &Dated { at: unix_seconds(), learned: self.learned.clone() });
        }
    }
}

fn save(keeper: &Keeper, dated: &Dated) {
    match serde_json::to_vec(dated) {
        Ok(octets) => keeper.save(LEARNED, octets),
        Err(error) => tracing::error!("what is learned cannot be written down: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_fades_after_an_hour() {
        assert_eq!((trust(0), trust(3_600), trust(7_200), trust(86_400)), (1.0, 1.0, 0.5, 0.0));
        assert!(trust(86_399) < 1e-6);
    }
}
