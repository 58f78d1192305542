//! The guard: a list that is suddenly much shorter is rather a fault of whoever writes it than the wish of an operator.

use std::collections::BTreeSet;

use super::files::now;
use super::{Pending, Taken};

/// The part of an inventory's nodes that may go at once.
const MOST_GONE: f64 = 0.30;
/// So few may always go.
const FEW: usize = 1;

/// Whether a list loses more nodes than may go at once.
pub(in crate::feed) fn shrinks_suddenly(before: usize, after: usize) -> bool {
    let lost = before.saturating_sub(after);
    lost > FEW && lost as f64 > MOST_GONE * before as f64
}

/// What has to be confirmed before a list of these nodes takes the place of the old one, if anything.
///
/// What was confirmed is a list; one that has at least its nodes may be taken too.
pub(super) fn shrinks(old: &Taken, new: &BTreeSet<String>, confirmed: Option<&BTreeSet<String>>) -> Option<Pending> {
    if !shrinks_suddenly(old.nodes.len(), new.len()) {
        return None;
    }
    if confirmed.is_some_and(|confirmed| confirmed.is_subset(new)) {
        return None;
    }
    let since = old.pending.as_ref().map_or_else(now, |pending| pending.since);
    let gone = old.nodes.difference(new).cloned().collect();
    Some(Pending { since, nodes: new.clone(), gone })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: usize) -> BTreeSet<String> {
        (0..count).map(|index| format!("n{index:04}")).collect()
    }

    #[test]
    fn a_list_waits_when_more_than_three_tenths_and_at_least_two_are_gone() {
        for (before, after, waits) in [
            (10, 7, false),
            (10, 6, true),
            (2, 1, false),
            (2, 0, true),
            (1, 0, false),
            (3, 2, false),
            (3, 1, true),
            (1000, 700, false),
            (1000, 699, true),
            (5, 9, false),
            (0, 0, false),
        ] {
            let old = Taken { nodes: nodes(before), ..Taken::default() };
            let pending = shrinks(&old, &nodes(after), None);
            assert_eq!(pending.is_some(), waits, "{before} {after}");
            if let Some(pending) = pending {
                assert_eq!((pending.gone.len(), pending.nodes.len()), (before - after, after));
            }
        }
    }

    #[test]
    fn what_was_confirmed_may_be_taken_and_what_is_shorter_still_may_not() {
        let old = Taken { nodes: nodes(10), ..Taken::default() };
        let confirmed = nodes(4);
        for (after, waits) in [(4, false), (5, false), (3, true), (0, true)] {
            assert_eq!(shrinks(&old, &nodes(after), Some(&confirmed)).is_some(), waits, "{after}");
        }
    }
}
