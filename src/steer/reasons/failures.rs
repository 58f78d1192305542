//! The checks that a node fails, in words.

use super::super::fleet::Fleet;
use crate::load::health::{Failure, NodeHealth};
use crate::pool::{Family, PoolId};

/// The checks that a node fails.
pub(super) struct Failing {
    /// Those that count for the pool and family in question.
    pub(super) here: Vec<String>,
    /// The others.
    pub(super) elsewhere: Vec<String>,
}

impl Failing {
    /// Of what its checks found, at a moment.
    pub(super) fn of(fleet: &Fleet, checks: &NodeHealth, pool: PoolId, family: Family, at: f64) -> Self {
        let (here, elsewhere): (Vec<&Failure>, Vec<&Failure>) =
            checks.failures.iter().partition(|failure| failure.counts_for(pool, family));
        let told = |failures: Vec<&Failure>| failures.into_iter().map(|failure| told(fleet, failure, at)).collect();
        Self { here: told(here), elsewhere: told(elsewhere) }
    }
}

fn told(fleet: &Fleet, failure: &Failure, at: f64) -> String {
    let Failure { check, target, family: _, pools, since, because } = failure;
    // A URL says itself where it asks.
    let what = if target.contains("://") { target.clone() } else { format!("{check} at {target}") };
    let pool = pools.as_ref().and_then(|pools| fleet.pools.get(usize::from(pools.first()?.0)));
    let of_pool = pool.map_or_else(String::new, |used| format!(", a check of pool {},", used.pool.name));
    format!("{what}{of_pool} has failed for {:.0} s: {because}", (at - since).max(0.0))
}
