//! Orders over restarts; and the answers to those who give them, once the disk has them.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Orders, Standing};
use crate::feed::run::Feed;
use crate::feed::state::{Done, Store};
use crate::feed::unix_seconds;
use crate::intake::{DrainWish, Drained, Lift, Ordered, Wish};
use crate::pool::Selection;
use crate::steer::Order;

/// The file.
const ORDERS: &str = "orders";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    last: u64,
    orders: Vec<Order>,
}

impl Orders {
    /// Those that were kept, without those whose time is over by the clock on the wall.
    pub(in crate::feed) fn restored(store: &Store) -> Self {
        let Some(octets) = store.load(ORDERS) else { return Self::default() };
        match serde_json::from_slice(&octets) {
            Ok(kept) => Self::of_kept(kept, Instant::now(), unix_seconds()),
            Err(error) => {
                store.set_aside(ORDERS, &error);
                Self::default()
            }
        }
    }

    fn of_kept(kept: Kept, now: Instant, unix: u64) -> Self {
        let standing = kept.orders.into_iter().filter_map(|order| {
            let expires = match order.until {
                Some(until) if until <= unix => {
                    tracing::warn!(
                        id = order.id,
                        who = order.who,
                        "override expired while the server was down: {}",
                        order.what
                    );
                    return None;
                }
                // One that clocks cannot count ends with the process.
                Some(until) => now.checked_add(Duration::from_secs(until - unix)),
                None => None,
            };
            tracing::warn!(id = order.id, "override goes on: {} {}", order.what, order.told(unix));
            Some(Standing { order, expires })
        });
        Self { standing: standing.collect(), last: kept.last, code: None }
    }

    fn kept(&self) -> Kept {
        Kept { last: self.last, orders: self.standing.iter().map(|standing| standing.order.clone()).collect() }
    }
}

impl Feed {
    /// Orders, and answers once it is known whether the disk has it.
    pub(in crate::feed) fn answer_order(&mut self, wish: &Wish, answer: oneshot::Sender<Result<Ordered, String>>) {
        match self.order(wish) {
            // Who asked may have gone away meanwhile, here as below.
            Err(because) => drop(answer.send(Err(because))),
            Ok(order) => {
                self.save_orders(Some(Box::new(move |is_kept| drop(answer.send(Ok(Ordered { order, is_kept }))))));
            }
        }
    }

    /// Lifts, and answers.
    pub(in crate::feed) fn answer_lift(&mut self, which: &Lift, answer: oneshot::Sender<Result<Vec<Order>, String>>) {
        match self.lift(which) {
            Err(because) => drop(answer.send(Err(because))),
            Ok(lifted) => self.save_orders(Some(Box::new(move |_| drop(answer.send(Ok(lifted)))))),
        }
    }

    /// Drains, and answers.
    pub(in crate::feed) fn answer_drain(&mut self, wish: &DrainWish, answer: oneshot::Sender<Result<Drained, String>>) {
        match self.drain(wish) {
            Ok(drained) if !drained.is_dry_run => {
                self.save_orders(Some(Box::new(move |is_kept| drop(answer.send(Ok(Drained { is_kept, ..drained }))))));
            }
            outcome => drop(answer.send(outcome)),
        }
    }

    /// Ends drains, and answers.
    pub(in crate::feed) fn answer_undrain(
        &mut self,
        which: &Selection,
        answer: oneshot::Sender<Result<Vec<Order>, String>>,
    ) {
        match self.undrain(which) {
            Err(because) => drop(answer.send(Err(because))),
            Ok(lifted) => self.save_orders(Some(Box::new(move |_| drop(answer.send(Ok(lifted)))))),
        }
    }

    /// Writes the orders that stand; `done` hears whether the disk has them.
    pub(in crate::feed) fn save_orders(&self, done: Option<Done>) {
        let octets = serde_json::to_vec(&self.orders.kept())
            .inspect_err(|error| tracing::error!("the overrides cannot be written down: {error}"));
        match (&self.keeper, octets, done) {
            (Some(keeper), Ok(octets), Some(done)) => keeper.save_then(ORDERS, octets, done),
            (Some(keeper), Ok(octets), None) => keeper.save(ORDERS, octets),
            (_, _, Some(done)) => done(false),
            (_, _, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::Override;

    #[test]
    fn what_is_left_of_an_order_counts_on_the_wall() {
        let order = |id, until| Order {
            id,
            what: Override::Freeze,
            who: "karl".to_owned(),
            reason: "a test".to_owned(),
            since: 0,
            until,
        };
        let now = Instant::now();
        let kept = Kept { last: 9, orders: vec![order(7, Some(1_000)), order(8, Some(1_060)), order(9, None)] };
        let orders = Orders::of_kept(kept, now, 1_000);
        let expires: Vec<_> = orders.standing.iter().map(|each| (each.order.id, each.expires)).collect();
        assert_eq!(expires, [(8, Some(now + Duration::from_secs(60))), (9, None)]);
        assert_eq!(orders.last, 9, "numbers are not given twice");
    }
}
