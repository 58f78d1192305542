//! What takes more than two scrapes: counters that move in steps, long windows, the largest of several values.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, VecDeque};

use crate::load::counters::{Counted, Counters};
use crate::load::rate::{Amount, NoRates, has_restarted, is_frozen, measure, seconds};
use crate::load::steps::{Rate, Steps};
use crate::pool::{Preset, Rule};

/// By rule of the preset.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    rules: Vec<Kept>,
}

/// What one rule needs of earlier scrapes.
#[derive(Debug, Clone, Default)]
struct Kept {
    steps: Steps,
    /// Its last amounts.
    amounts: VecDeque<Amount>,
    /// Scrapes within its window, with their time.
    scrapes: VecDeque<(f64, BTreeMap<String, Counted>)>,
}

impl Recent {
    /// Takes a scrape.
    pub(super) fn observe(&mut self, preset: &Preset, at: f64, counters: &Counters) {
        self.rules.resize_with(preset.rules.len(), Kept::default);
        for ((kept, rule), groups) in self.rules.iter_mut().zip(&preset.rules).zip(&counters.rules) {
            if let Some(step) = rule.step {
                if !groups.is_empty() {
                    kept.steps.observe(at, groups.values().map(|group| group.value).sum(), step);
                }
            } else if let Some(window) = rule.window {
                kept.scrapes.push_back((at, groups.clone()));
                // The first one at its beginning or before it stays: the window reaches back to it.
                while kept.scrapes.get(1).is_some_and(|(second, _)| at - second >= window) {
                    kept.scrapes.pop_front();
                }
            }
            if rule.polls > 1 {
                let amount = measure(rule, &BTreeMap::new(), groups, 1.0).ok().flatten();
                kept.amounts.truncate(rule.polls - 1);
                if let Some(amount) = amount {
                    kept.amounts.push_front(amount);
                }
            }
        }
    }

    /// What a rule finds over all that it needs, of which two scrapes give this amount; with the middle and the length
    /// of its window if that is its own.
    pub(super) fn amount(&self, index: usize, rule: &Rule, of_two: Option<Amount>) -> (Option<Amount>, Option<Rate>) {
        let Some(kept) = self.rules.get(index) else { return (of_two, None) };
        if rule.step.is_some() {
            let rate = kept.steps.rate();
            let amount = rate.zip(of_two).map(|(rate, of_two)| Amount { used: rate.a_second * rule.scale, ..of_two });
            return (amount, rate);
        }
        if rule.polls > 1 {
            return (kept.amounts.iter().copied().max_by(|a, b| a.used.total_cmp(&b.used)), None);
        }
        (of_two, None)
    }

    /// The scrapes from which on a rule may look that has a longer window than from scrape to scrape, the first first.
    fn since(&self, index: usize) -> impl Iterator<Item = (f64, &BTreeMap<String, Counted>)> {
        let scrapes = self.rules.get(index).into_iter().flat_map(|kept| &kept.scrapes);
        scrapes.map(|(at, groups)| (*at, groups))
    }
}

/// What the rules of a preset find between two scrapes with their times, and in those before that some of them need;
/// and since when.
pub(super) fn amounts(
    preset: &Preset,
    recent: &Recent,
    (since, before): (f64, &Counters),
    (at, after): (f64, &Counters),
) -> Result<Vec<Option<(Amount, f64)>>, NoRates> {
    if has_restarted(before, after) {
        return Err(NoRates::Restarted);
    }
    let elapsed = seconds(before, after, at - since);
    let nothing = BTreeMap::new();
    let amount = |(index, rule): (usize, &Rule)| {
        let groups = after.rules.get(index).unwrap_or(&nothing);
        // By our clock: the node's is known of the last scrape only. Where something began within the window, all is measured
        // since then: what a server brings that was just started again must not wait for the window to pass.
        let earlier = || recent.since(index).filter(|(since, _)| at > *since);
        let whole = earlier().filter(|(_, earlier)| groups.keys().all(|group| earlier.contains_key(group)));
        for (since, earlier) in whole.chain(earlier()) {
            if let Some(amount) = measure(rule, earlier, groups, at - since)? {
                return Ok(Some((amount, since)));
            }
        }
        let of_two = measure(rule, before.rules.get(index).unwrap_or(&nothing), groups, elapsed)?;
        Ok(of_two.map(|amount| (amount, since)))
    };
    let found = preset.rules.iter().enumerate().map(amount).collect::<Result<_, _>>()?;
    if is_frozen(preset, before, after) { Err(NoRates::Frozen) } else { Ok(found) }
}
