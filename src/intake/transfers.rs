//! Counts of zones that went out, and of what other nameservers were told of them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::answer::TransferKind;

/// What became of a query for a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferOutcome {
    /// It was sent.
    Sent(TransferKind),
    /// Whoever asked may not have it.
    Denied,
    /// There were too many at the time.
    Busy,
    /// Whoever asked did not read it to its end.
    Unread,
}

/// What became of telling a nameserver of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyOutcome {
    /// It answered.
    Answered,
    /// It answered with an error.
    Refused,
    /// It never answered.
    Unanswered,
}

impl TransferOutcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Sent(TransferKind::Whole),
        Self::Sent(TransferKind::Fallback),
        Self::Sent(TransferKind::Difference),
        Self::Sent(TransferKind::Nothing),
        Self::Denied,
        Self::Busy,
        Self::Unread,
    ];

    /// Its word in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sent(kind) => kind.word(),
            Self::Denied => "denied",
            Self::Busy => "busy",
            Self::Unread => "unread",
        }
    }

    fn number(self) -> usize {
        Self::ALL.iter().position(|outcome| *outcome == self).unwrap_or(Self::ALL.len() - 1)
    }
}

impl NotifyOutcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Answered, Self::Refused, Self::Unanswered];

    /// Its word in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
        }
    }
}

/// The counts; others read them at any time.
#[derive(Debug, Default)]
pub struct TransferCounts {
    outcomes: [AtomicU64; TransferOutcome::ALL.len()],
    notifies: [AtomicU64; NotifyOutcome::ALL.len()],
}

impl TransferCounts {
    /// Counts a transfer.
    pub fn count(&self, outcome: TransferOutcome) {
        self.outcomes[outcome.number()].fetch_add(1, Ordering::Relaxed);
    }

    /// Transfers with this outcome, since the start.
    pub fn transfers(&self, outcome: TransferOutcome) -> u64 {
        self.outcomes[outcome.number()].load(Ordering::Relaxed)
    }

    /// Counts a nameserver that was told, or not.
    pub fn count_notify(&self, outcome: NotifyOutcome) {
        self.notifies[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Nameservers that were told with this outcome, since the start.
    pub fn notifies(&self, outcome: NotifyOutcome) -> u64 {
        self.notifies[outcome as usize].load(Ordering::Relaxed)
    }
}
