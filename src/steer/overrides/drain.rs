//! Drains that nobody ordered: by an inventory, or for maintenance.

use super::order::clock;
use crate::pool::{Maintenance, Span};

/// A node that gets nobody new, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// The node's name.
    pub node: String,
    /// Who says so.
    pub cause: Cause,
    /// Why.
    pub reason: String,
}

/// Who says that a node gets nobody new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The inventory that has it.
    Inventory,
    /// Maintenance of this name.
    Maintenance(String, Span),
}

impl Drain {
    /// For maintenance that is on, or near.
    pub fn of_maintenance(node: &str, maintenance: &Maintenance, span: Span) -> Self {
        let cause = Cause::Maintenance(maintenance.name.clone(), span);
        Self { node: node.to_owned(), cause, reason: maintenance.reason.clone() }
    }

    /// As its inventory says.
    pub fn of_inventory(node: &str, reason: &str) -> Self {
        Self { node: node.to_owned(), cause: Cause::Inventory, reason: reason.to_owned() }
    }

    /// `for the maintenance disks until 04:00 UTC: new disks`, as of `now` in seconds since 1970.
    pub fn told(&self, now: u64) -> String {
        let reason = &self.reason;
        match &self.cause {
            Cause::Inventory => format!("by its inventory: {reason}"),
            Cause::Maintenance(name, Span { from, until }) => {
                let begins = if *from > now { format!(" from {}", clock(*from, now)) } else { String::new() };
                format!("for the maintenance {name}{begins} until {}: {reason}", clock(*until, now))
            }
        }
    }

    /// Seconds since 1970 when it ends, if that is known.
    pub fn until(&self) -> Option<u64> {
        match &self.cause {
            Cause::Inventory => None,
            Cause::Maintenance(_, span) => Some(span.until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintenance_says_when_it_begins_until_it_has_begun() {
        let cause = Cause::Maintenance("disks".to_owned(), Span { from: 7_200, until: 14_400 });
        let drain = Drain { node: "a".to_owned(), cause, reason: "new disks".to_owned() };
        assert_eq!(drain.told(3_600), "for the maintenance disks from 02:00 UTC until 04:00 UTC: new disks");
        assert_eq!(drain.told(7_200), "for the maintenance disks until 04:00 UTC: new disks");
        assert_eq!(Drain::of_inventory("a", "rack moves").told(0), "by its inventory: rack moves");
    }
}
