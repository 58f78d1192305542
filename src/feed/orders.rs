//! Orders: the overrides that operators gave, checked when they are given and forgotten when their time is over. They
//! survive reloads, and restarts too if there is a state directory.

pub(super) mod check;
mod drain;
mod kept;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::CODES;
use super::inputs::Inputs;
use super::run::Feed;
use super::unix_seconds;
use crate::config::policy_of_word;
use crate::intake::{Grade, Idle, Lift, Wish};
use crate::name::Name;
use crate::pool::{Bitrate, Capacity, Node, Policy, Selection};
use crate::steer::{Decree, Limited, Order, Override, Overrides, clock};

/// The most orders at a time.
const MAX_ORDERS: usize = 1_000;

/// The largest number that ours follow, half of what readers of JSON bear: a peer whose number is broken must not leave
/// ours without room.
const MAX_LAST: u64 = 1 << 52;

/// What operators want for the time being, oldest first.
#[derive(Debug, Default)]
pub(super) struct Orders {
    standing: Vec<Standing>,
    /// The number of the last one.
    last: u64,
    /// What our numbers end with, if there are other nameservers.
    code: Option<u64>,
    /// What was kept over a restart and cannot be read; another version may be able to.
    unread: Vec<Value>,
    /// What nameservers had said of orders before a restart, and the numbers that this one had.
    recalled: (Vec<u64>, Vec<Decree>),
}

#[derive(Debug, Clone)]
struct Standing {
    order: Order,
    /// On the clock that nobody sets; the order has what people read.
    expires: Option<Instant>,
}

impl Orders {
    /// As ticks take them.
    pub(super) fn overrides<'r>(&self, regions: impl Iterator<Item = &'r str>) -> Overrides {
        let orders: Arc<[Order]> = self.standing.iter().map(|standing| standing.order.clone()).collect();
        Overrides::of_orders(orders, regions)
    }

    /// Each of them.
    pub(super) fn standing(&self) -> Vec<Order> {
        self.standing.iter().map(|standing| standing.order.clone()).collect()
    }

    /// Ends the numbers of orders with this, so that nameservers that hear nothing of each other choose different ones.
    pub(super) fn set_code(&mut self, code: u64) {
        self.code = Some(code);
    }

    /// What nameservers had said of orders before a restart, given and lifted; and the numbers that this one had.
    pub(super) fn recall(&mut self) -> (Vec<u64>, Vec<Decree>) {
        std::mem::take(&mut self.recalled)
    }

    /// Takes an order that was given at another nameserver, in place of one about the same thing.
    pub(super) fn adopt(&mut self, order: Order) {
        self.standing.retain(|standing| !order.what.replaces(&standing.order.what));
        self.last = self.last.max(if order.id <= MAX_LAST { order.id } else { 0 });
        let left = order.until.map(|until| Duration::from_secs(until.saturating_sub(unix_seconds())));
        let expires = left.and_then(|left| Instant::now().checked_add(left));
        self.standing.push(Standing { order, expires });
    }

    /// Lets go what was lifted at another nameserver.
    pub(super) fn withdraw(&mut self, what: &Override) -> Vec<Order> {
        self.take(|standing| what.replaces(&standing.order.what))
    }

    /// Services with the policies that were ordered for them.
    pub(super) fn policies(&self) -> Vec<(Name, Policy)> {
        let policy = |standing: &Standing| match &standing.order.what {
            Override::Policy { service, policy } => Some((Name::parse(service, None).ok()?, policy_of_word(policy)?)),
            _ => None,
        };
        self.standing.iter().filter_map(policy).collect()
    }

    /// What a node can do, for the time being.
    pub(super) fn capacity_of(&self, node: &Node) -> Capacity {
        let limit = self.standing.iter().find_map(|standing| match &standing.order.what {
            Override::Limit { node: name, capacity } if *name == node.name => Some(*capacity),
            _ => None,
        });
        let limit = limit.filter(|limit| limit.load() > 0.0);
        match limit {
            Some(Limited::Egress(megabits)) => Capacity { egress: Some(Bitrate(megabits * 1e6)), ..node.capacity },
            Some(Limited::Clients(clients)) => Capacity { clients: Some(clients), ..node.capacity },
            None => node.capacity,
        }
    }

    /// Says which orders are about what is no longer there.
    pub(super) fn report_idle(&self, inputs: &Inputs) {
        for Standing { order, .. } in &self.standing {
            if let Err(because) = check::check(order.what.clone(), inputs) {
                tracing::warn!(override_id = order.id, "`{}` does nothing now: {because}", order.what);
            }
        }
    }

    /// The same for other nameservers.
    pub(super) fn idle(&self, inputs: &Inputs) -> Vec<Idle> {
        let idle = |Standing { order, .. }: &Standing| {
            let because = check::check(order.what.clone(), inputs).err()?;
            Some(Idle { what: order.what.word().to_owned(), subject: order.what.subject().to_owned(), because })
        };
        self.standing.iter().filter_map(idle).collect()
    }

    fn add(&mut self, what: Override, wish: &Wish, now: Instant, unix: u64) -> Result<Order, String> {
        self.standing.retain(|standing| !what.replaces(&standing.order.what));
        if self.standing.len() >= MAX_ORDERS {
            return Err(format!("there are {MAX_ORDERS} overrides already: lift some"));
        }
        let too_long = || "it would hold for longer than clocks count; leave the time out for no end".to_owned();
        let expires = match wish.seconds {
            Some(0) => return Err("it would hold for no time at all".to_owned()),
            Some(seconds) => Some(now.checked_add(Duration::from_secs(seconds)).ok_or_else(too_long)?),
            None => None,
        };
        let until = match wish.seconds {
            Some(seconds) => Some(unix.checked_add(seconds).ok_or_else(too_long)?),
            None => None,
        };
        self.last = match self.code {
            Some(code) => (self.last / CODES + 1) * CODES + code,
            None => self.last + 1,
        };
        let Wish { who, reason, .. } = wish;
        let order = Order { id: self.last, what, who: who.clone(), reason: reason.clone(), since: unix, until };
        self.standing.push(Standing { order: order.clone(), expires });
        Ok(order)
    }

    /// Makes the time of all that have one be over.
    #[cfg(test)]
    pub(super) fn let_expire(&mut self) {
        self.standing.iter_mut().for_each(|standing| standing.expires = standing.expires.map(|_| Instant::now()));
    }

    fn take(&mut self, is_over: impl Fn(&Standing) -> bool) -> Vec<Order> {
        let (over, standing) = std::mem::take(&mut self.standing).into_iter().partition(is_over);
        self.standing = standing;
        over.into_iter().map(|standing: Standing| standing.order).collect()
    }
}

impl Feed {
    /// Takes a wish, if it can be done, and steers by it at once.
    pub(super) fn order(&mut self, wish: &Wish) -> Result<Order, String> {
        let mut ordered = self.order_all(std::slice::from_ref(wish))?;
        Ok(ordered.pop().expect("a wish that can be done is an order"))
    }

    /// Takes all of these wishes, if each can be done.
    fn order_all(&mut self, wishes: &[Wish]) -> Result<Vec<Order>, String> {
        let (before, unix) = (self.orders.standing.clone(), unix_seconds());
        let ordered = self.add_all(wishes, unix).and_then(|ordered| {
            self.follow(&ordered)?;
            Ok(ordered)
        });
        match &ordered {
            Ok(ordered) => {
                for order in ordered {
                    let until = order.until.map_or_else(|| "it is lifted".to_owned(), |at| clock(at, unix));
                    let (id, who, reason) = (order.id, &order.who, &order.reason);
                    tracing::warn!(id, who, reason, "override: {} until {until}", order.what);
                    let told = format!("{}: {who} until {until}: {reason}", order.what);
                    self.board.note("override", Grade::Note, &told);
                }
            }
            Err(_) => self.orders.standing = before,
        }
        ordered
    }

    fn add_all(&mut self, wishes: &[Wish], unix: u64) -> Result<Vec<Order>, String> {
        let now = Instant::now();
        let mut ordered = Vec::with_capacity(wishes.len());
        for wish in wishes {
            check::told(&wish.who, &wish.reason)?;
            let what = check::check(wish.what.clone(), &self.inputs)?;
            ordered.push(self.orders.add(what, wish, now, unix)?);
        }
        Ok(ordered)
    }

    /// Steers as before the orders.
    pub(super) fn lift(&mut self, which: &Lift) -> Result<Vec<Order>, String> {
        let lifted = match which {
            Lift::One(id) => self.lift_all(|order| order.id == *id)?,
            Lift::Drain(node) => return self.undrain(&Selection::Nodes(vec![node.clone()])),
            Lift::All => {
                self.orders.forget_unread(&self.board);
                self.lift_all(|_| true)?
            }
        };
        match which {
            Lift::One(id) if lifted.is_empty() => {
                Err(format!("there is no override {id}; `thalweg overrides` lists them"))
            }
            _ => Ok(lifted),
        }
    }

    fn lift_all(&mut self, is_meant: impl Fn(&Order) -> bool) -> Result<Vec<Order>, String> {
        let before = self.orders.standing.clone();
        let lifted = self.orders.take(|standing| is_meant(&standing.order));
        if lifted.is_empty() {
            return Ok(lifted);
        }
        if let Err(because) = self.follow(&lifted) {
            self.orders.standing = before;
            return Err(because);
        }
        for Order { id, what, who, .. } in &lifted {
            tracing::warn!(id, who, "override lifted: {what}");
            self.board.note("override", Grade::Note, &format!("{what}: lifted"));
        }
        Ok(lifted)
    }

    /// Forgets orders whose time is over.
    pub(super) fn expire_orders(&mut self) {
        let now = Instant::now();
        let expired = self.orders.take(|standing| standing.expires.is_some_and(|expires| expires <= now));
        if expired.is_empty() {
            return;
        }
        for Order { id, what, who, .. } in &expired {
            tracing::warn!(id, who, "override expired: {what}");
            self.board.note("override", Grade::Note, &format!("{what}: its time is over"));
        }
        if let Err(because) = self.follow(&expired) {
            tracing::error!("{because}");
        }
        self.save_orders(None);
    }

    /// Steers by the orders as they are now, of which these came or went.
    pub(super) fn follow(&mut self, changed: &[Order]) -> Result<(), String> {
        let has = |is: fn(&Override) -> bool| changed.iter().any(|order| is(&order.what));
        if has(|what| matches!(what, Override::Limit { .. })) {
            self.set_targets();
        }
        if has(|what| matches!(what, Override::Policy { .. })) {
            // Pools are numbered anew, so answers that are booked in the old numbers must be told apart.
            return self.take_inputs(self.inputs.steered_by(&self.orders.policies()));
        }
        self.tick();
        Ok(())
    }
}
