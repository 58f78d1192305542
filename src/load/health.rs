//! Whether a node serves at all: what its probes mean. A pure state machine.
#![deny(clippy::disallowed_methods)]

/// Failures in a row after which a node is down: one may be a lost packet.
const FALL: u32 = 2;
/// Good probes in a row after which it is up again: what flaps stays down.
const RISE: u32 = 3;

/// Whether a node serves; times are seconds on the clock of whoever observes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum State {
    /// Nothing is known yet, or nobody looks: it counts as up.
    #[default]
    Unknown,
    /// It serves.
    Up {
        /// When it came back; minus infinity if it was never seen down, so that nobody takes it for a newcomer.
        since: f64,
    },
    /// It does not.
    Down {
        /// When that was found.
        since: f64,
    },
}

impl State {
    /// Whether it may be named in answers.
    pub fn is_up(self) -> bool {
        match self {
            Self::Unknown | Self::Up { .. } => true,
            Self::Down { .. } => false,
        }
    }
}

/// The health of one node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Health {
    state: State,
    /// Probes in a row that contradict the state.
    against: u32,
}

impl Health {
    /// What is known now.
    pub fn state(&self) -> State {
        self.state
    }

    /// Takes the outcome of a probe that ended at `at`; the new state if the node went down or came back.
    pub fn observe(&mut self, at: f64, is_good: bool) -> Option<State> {
        if self.state == State::Unknown && is_good {
            self.state = State::Up { since: f64::NEG_INFINITY };
        }
        if is_good == self.state.is_up() {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let (enough, next) = if is_good { (RISE, State::Up { since: at }) } else { (FALL, State::Down { since: at }) };
        if self.against < enough {
            return None;
        }
        *self = Self { state: next, against: 0 };
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: State = State::Up { since: f64::NEG_INFINITY };

    /// The states after probes, five seconds apart from 5 on; `+` is a good one.
    fn states(probes: &str) -> Vec<State> {
        let mut health = Health::default();
        let mut at = 0.0;
        probes
            .chars()
            .map(|probe| {
                at += 5.0;
                let before = health.state();
                let news = health.observe(at, probe == '+');
                let is_news = before.is_up() != health.state().is_up();
                assert_eq!(news, is_news.then_some(health.state()), "{probes} at {at}");
                health.state()
            })
            .collect()
    }

    #[test]
    fn a_node_counts_as_up_until_two_probes_in_a_row_fail() {
        assert!(Health::default().state().is_up());
        assert_eq!(states("-+"), [State::Unknown, ALWAYS]);
        assert_eq!(states("--"), [State::Unknown, State::Down { since: 10.0 }]);
        assert_eq!(states("+-+-+-"), [ALWAYS; 6]);
        assert_eq!(states("+--"), [ALWAYS, ALWAYS, State::Down { since: 15.0 }]);
    }

    #[test]
    fn three_good_probes_in_a_row_bring_it_back_and_the_moment_is_kept() {
        let down = State::Down { since: 10.0 };
        assert_eq!(states("--++-++-")[2..], [down; 6]);
        let back = State::Up { since: 25.0 };
        assert_eq!(states("--+++++-+")[2..], [down, down, back, back, back, back, back]);
    }

    #[test]
    fn what_stays_down_keeps_the_moment_of_its_fall() {
        assert_eq!(states("-----").last(), Some(&State::Down { since: 10.0 }));
    }
}
