//! `random`: any node of any site, each as likely.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::Query;

pub(super) struct Random;

impl Rule for Random {
    fn choose(&mut self, view: &View<'_>, _query: &Query, dice: &mut Dice) -> Option<(usize, u32)> {
        Some((view.weighted(&view.all(), dice, |_| 1.0)?, view.ttl))
    }
}
