//! Maintenance: when which nodes get nobody new.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Node;

const DAY: u64 = 86_400;
const WEEK: u64 = 7 * DAY;
/// 1970-01-01 was a Thursday: so many seconds before it the week had begun, on Monday.
const BEFORE_EPOCH: u64 = 3 * DAY;

/// Nodes, by what they have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// By name.
    Nodes(Vec<String>),
    /// All at one place, by its name.
    Place(String),
    /// All that have these labels.
    Labels(BTreeMap<String, String>),
}

/// A time in which nodes get nobody new, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// Its key in the configuration.
    pub name: String,
    /// Which nodes.
    pub which: Selection,
    /// When.
    pub when: When,
    /// Seconds before it in which they get nobody new already, so that viewers can leave.
    pub lead: u64,
    /// Why.
    pub reason: String,
}

/// When maintenance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once; both in seconds since 1970.
    Once {
        /// The first second.
        from: u64,
        /// The first second after it.
        until: u64,
    },
    /// Every week.
    Weekly {
        /// Seconds since Monday, 00:00 UTC.
        begins: u64,
        /// Seconds, less than a week.
        lasts: u64,
    },
}

/// One time of maintenance, without its lead; seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first second.
    pub from: u64,
    /// The first second after it.
    pub until: u64,
}

impl Selection {
    /// Whether it means a node, of which the name of its place is given too.
    pub fn selects(&self, node: &Node, place: &str) -> bool {
        match self {
            Self::Nodes(names) => names.contains(&node.name),
            Self::Place(name) => name == place,
            Self::Labels(labels) => labels.iter().all(|(label, value)| node.labels.get(label) == Some(value)),
        }
    }
}

impl Maintenance {
    /// The time of maintenance that is on at `now`, or so near that its lead is; in seconds since 1970.
    pub fn span(&self, now: u64) -> Option<Span> {
        let is_on = |span: &Span| (span.from.saturating_sub(self.lead)..span.until).contains(&now);
        match self.when {
            When::Once { from, until } => Some(Span { from, until }).filter(is_on),
            When::Weekly { begins, lasts } => {
                // Counted from a Monday, nothing is negative.
                let week = (now + BEFORE_EPOCH) / WEEK * WEEK;
                // What began last week may last; what begins next week may have a lead.
                let spans = [week.checked_sub(WEEK), Some(week), Some(week + WEEK)].into_iter().flatten();
                let spans = spans.filter_map(|week| (week + begins).checked_sub(BEFORE_EPOCH));
                spans.map(|from| Span { from, until: from + lasts }).find(is_on)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maintenance(when: When, lead: u64) -> Maintenance {
        let which = Selection::Nodes(vec!["a".to_owned()]);
        Maintenance { name: "m".to_owned(), which, when, lead, reason: "disks".to_owned() }
    }

    #[test]
    fn a_window_begins_with_its_lead_and_ends_at_its_end() {
        let once = maintenance(When::Once { from: 1_000, until: 2_000 }, 100);
        for (now, is_on) in [(899, false), (900, true), (1_999, true), (2_000, false)] {
            assert_eq!(once.span(now), is_on.then_some(Span { from: 1_000, until: 2_000 }), "{now}");
        }
    }

    #[test]
    fn a_weekly_window_comes_back_and_may_reach_over_the_end_of_the_week() {
        // Sunday 23:00 to Monday 01:00; 2026-11-22 was a Sunday, `date -ud '2026-11-22 23:00' +%s`.
        let weekly = maintenance(When::Weekly { begins: 6 * DAY + 23 * 3_600, lasts: 7_200 }, 1_800);
        let sunday = 1_795_388_400;
        let span = Some(Span { from: sunday, until: sunday + 7_200 });
        for (after, expected) in [(-1_801, None), (-1_800, span), (0, span), (7_199, span), (7_200, None)] {
            assert_eq!(weekly.span(sunday.saturating_add_signed(after)), expected, "{after}");
        }
        let later = sunday + 5 * WEEK;
        assert_eq!(weekly.span(later + 60), Some(Span { from: later, until: later + 7_200 }));
        // Monday 00:10 with a lead begins on Sunday.
        let monday = maintenance(When::Weekly { begins: 600, lasts: 60 }, 1_200);
        assert_eq!(monday.span(sunday + 3_600 - 600), Some(Span { from: sunday + 4_200, until: sunday + 4_260 }));
        assert!(weekly.span(0).is_none());
    }
}
