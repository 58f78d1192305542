//! Orders over restarts; and the answers to those who give them, once the disk has them.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use super::{MAX_LAST, Orders, Standing};
use crate::feed::cluster::Cluster;
use crate::feed::run::Feed;
use crate::feed::state::{Done, Store};
use crate::feed::unix_seconds;
use crate::intake::{Board, DrainWish, Drained, Lift, Ordered, Wish};
use crate::pool::Selection;
use crate::steer::{Agreement, Decree, Order};

/// The file.
const ORDERS: &str = "orders";
/// The word of the alarm that some cannot be read, and how many kinds it shows.
const UNREAD: &str = "overrides_unread";
const SHOWN: usize = 5;

/// Orders one by one as JSON: another version may have kinds that this one does not read.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    last: u64,
    orders: Vec<Value>,
    /// What nameservers said of orders, and when: that something was lifted, above all.
    decrees: Vec<Value>,
    /// The numbers of this nameserver.
    servers: Vec<u64>,
}

impl Orders {
    /// Those that were kept, without those whose time is over by the clock on the wall.
    pub(in crate::feed) fn restored(store: &Store, board: &Board) -> Self {
        let Some(octets) = store.load(ORDERS) else { return Self::default() };
        match serde_json::from_slice(&octets) {
            Ok(kept) => {
                let orders = Self::of_kept(kept, Instant::now(), unix_seconds());
                orders.tell_unread(board);
                orders
            }
            Err(error) => {
                store.set_aside(ORDERS, &error);
                Self::default()
            }
        }
    }

    fn of_kept(kept: Kept, now: Instant, unix: u64) -> Self {
        let (mut standing, mut unread) = (Vec::new(), Vec::new());
        for value in kept.orders {
            let Ok(order) = Order::deserialize(&value) else {
                unread.push(value);
                continue;
            };
            let expires = match order.until {
                Some(until) if until <= unix => {
                    tracing::warn!(
                        id = order.id,
                        who = order.who,
                        "override expired while the server was down: {}",
                        order.what
                    );
                    continue;
                }
                // One that clocks cannot count ends with the process.
                Some(until) => now.checked_add(Duration::from_secs(until - unix)),
                None => None,
            };
            tracing::warn!(id = order.id, "override goes on: {} {}", order.what, order.told(unix));
            standing.push(Standing { order, expires });
        }
        // What is said of an order that cannot be read is no use without it.
        let decrees = kept.decrees.iter().filter_map(|value| Decree::deserialize(value).ok()).collect();
        let recalled = (kept.servers, decrees);
        Self { standing, last: kept.last.min(MAX_LAST), code: None, unread, recalled }
    }

    /// With what a cluster agrees on, if there is one.
    fn kept(&self, agreement: Option<&Agreement>) -> Result<Kept, serde_json::Error> {
        let orders = self.standing.iter().map(|standing| serde_json::to_value(&standing.order));
        let orders = orders.chain(self.unread.iter().cloned().map(Ok)).collect::<Result<_, _>>()?;
        let decrees = agreement.into_iter().flat_map(Agreement::decrees);
        let decrees = decrees.map(serde_json::to_value).collect::<Result<_, _>>()?;
        let servers = agreement.map_or_else(Vec::new, |agreement| agreement.own().to_vec());
        Ok(Kept { last: self.last, orders, decrees, servers })
    }

    /// Says which orders do nothing because this version cannot read them.
    fn tell_unread(&self, board: &Board) {
        if self.unread.is_empty() {
            return;
        }
        let word = |order: &Value| order.get("what").and_then(Value::as_str).unwrap_or("of no kind").to_owned();
        let words: Vec<String> = self.unread.iter().take(SHOWN).map(word).collect();
        let told = format!(
            "{} of the overrides that were kept cannot be read by this version and do nothing ({}): a newer one may have \
             written them; they stay for it until `thalweg lift all`",
            self.unread.len(),
            words.join(", ")
        );
        tracing::error!(alarm = UNREAD, "{told}");
        board.raise(UNREAD, "", &told);
    }

    /// Lets go those that cannot be read.
    pub(super) fn forget_unread(&mut self, board: &Board) {
        self.unread.clear();
        board.clear(UNREAD, "");
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

    /// Writes the orders that stand, and what is known of those that do not; `done` hears whether the disk has them.
    pub(in crate::feed) fn save_orders(&mut self, done: Option<Done>) {
        self.observe_orders();
        let kept = self.orders.kept(self.cluster.as_ref().map(Cluster::agreement));
        let octets = kept
            .and_then(|kept| serde_json::to_vec(&kept))
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
        let standing = [order(7, Some(1_000)), order(8, Some(1_060)), order(9, None)];
        let standing = standing.map(|order| Standing { order, expires: None }).to_vec();
        let kept = Orders { standing, last: 9, ..Orders::default() }.kept(None).unwrap();
        let orders = Orders::of_kept(kept, now, 1_000);
        let expires: Vec<_> = orders.standing.iter().map(|each| (each.order.id, each.expires)).collect();
        assert_eq!(expires, [(8, Some(now + Duration::from_secs(60))), (9, None)]);
        assert_eq!(orders.last, 9, "numbers are not given twice");
    }

    #[test]
    fn an_order_of_a_kind_that_is_not_known_is_told_and_kept_and_loses_no_other() {
        let kept = serde_json::json!({"last": 9, "orders": [
            {"id": 7, "what": "teleport", "node": "fra1", "who": "karl", "reason": "a test", "since": 0, "until": null},
            {"id": 8, "what": "freeze", "who": "karl", "reason": "a test", "since": 0, "until": null},
        ]});
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.save(ORDERS, kept.to_string().as_bytes()).unwrap();
        let board = Board::new();
        let mut orders = Orders::restored(&store, &board);
        assert_eq!(orders.standing().iter().map(|order| order.id).collect::<Vec<_>>(), [8]);
        let alarms = board.alarms();
        assert!(
            alarms.len() == 1 && alarms[0].told.contains("1 of the overrides") && alarms[0].told.contains("teleport")
        );
        let again = orders.kept(None).unwrap();
        assert!(again.orders.len() == 2 && again.orders[1]["node"] == "fra1", "{again:?}");
        orders.forget_unread(&board);
        assert!(board.alarms().is_empty() && orders.kept(None).unwrap().orders.len() == 1);
    }

    #[test]
    fn the_number_of_a_broken_peer_leaves_room_for_ours() {
        let wish = Wish { what: Override::Freeze, who: "karl".to_owned(), reason: "a test".to_owned(), seconds: None };
        let mut orders = Orders::default();
        orders.set_code(7);
        let now = Instant::now();
        let given = orders.add(Override::Freeze, &wish, now, 1_000).unwrap();
        orders.adopt(Order { id: 2 << 52, ..given.clone() });
        let next = orders.add(Override::Freeze, &wish, now, 1_000).unwrap();
        assert_eq!((given.id, next.id), (1_007, 2_007));
        orders.adopt(Order { id: 5_003, ..given });
        assert_eq!(orders.add(Override::Freeze, &wish, now, 1_000).unwrap().id, 6_007, "later than others' as ever");
    }
}
