//! Whether a node serves at all: what its probes mean, by pool and address family. A pure state machine.
#![deny(clippy::disallowed_methods)]

use crate::pool::{Family, PoolId};

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

    /// What follows where it takes both: the worse, and of two alike the one that is news.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Down { since }, Self::Down { since: other }) => Self::Down { since: since.min(other) },
            (down @ Self::Down { .. }, _) | (_, down @ Self::Down { .. }) => down,
            (Self::Up { since }, Self::Up { since: other }) => Self::Up { since: since.max(other) },
            (Self::Unknown, known) | (known, Self::Unknown) => known,
        }
    }

    /// What follows where either is enough: the better, and of two alike the older.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Down { since }, Self::Down { since: other }) => Self::Down { since: since.max(other) },
            (Self::Down { .. }, up) | (up, Self::Down { .. }) => up,
            (Self::Up { since }, Self::Up { since: other }) => Self::Up { since: since.min(other) },
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
        }
    }
}

/// What the checks of a node found, by pool and address family.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeHealth {
    /// What its own checks say, by `Family`.
    own: [State; 2],
    /// What the checks of pools say, by pool, where there are any.
    pools: Vec<(PoolId, [State; 2])>,
    /// The checks that fail.
    pub failures: Vec<Failure>,
}

/// A check that fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The check, as it is configured.
    pub check: String,
    /// What it asks: an address with a port, or a URL.
    pub target: String,
    /// The family for which it counts; none = both.
    pub family: Option<Family>,
    /// The pools for which it counts; none = all.
    pub pools: Option<Vec<PoolId>>,
    /// Since when it counts as failing.
    pub since: f64,
    /// What its last probe found.
    pub because: String,
}

impl Failure {
    /// Whether it counts for a pool and a family.
    pub fn counts_for(&self, pool: PoolId, family: Family) -> bool {
        self.family.is_none_or(|own| own == family) && self.pools.as_ref().is_none_or(|pools| pools.contains(&pool))
    }
}

impl NodeHealth {
    /// Takes the state of a check that counts for these pools (none = for all), and this family (none = for both).
    pub fn note(&mut self, pools: Option<&[PoolId]>, family: Option<Family>, state: State) {
        let add = |states: &mut [State; 2]| {
            for each in Family::ALL.into_iter().filter(|each| family.is_none_or(|family| family == *each)) {
                states[each as usize] = states[each as usize].and(state);
            }
        };
        let Some(pools) = pools else { return add(&mut self.own) };
        for pool in pools {
            match self.pools.iter_mut().find(|(known, _)| known == pool) {
                Some((_, states)) => add(states),
                None => {
                    let mut states = [State::Unknown; 2];
                    add(&mut states);
                    self.pools.push((*pool, states));
                }
            }
        }
    }

    /// What its own checks say of a family.
    pub fn own(&self, family: Family) -> State {
        self.own[family as usize]
    }

    /// What the checks of a pool say of it and a family; unknown if the pool has none.
    pub fn of_pool(&self, pool: PoolId, family: Family) -> State {
        let states = self.pools.iter().find(|(known, _)| *known == pool);
        states.map_or(State::Unknown, |(_, states)| states[family as usize])
    }

    /// Whether it serves a pool over a family: all checks that count there.
    pub fn at(&self, pool: PoolId, family: Family) -> State {
        self.own(family).and(self.of_pool(pool, family))
    }

    /// Whether no check fails anywhere.
    pub fn is_up_throughout(&self) -> bool {
        let is_up = |states: &[State; 2]| states.iter().all(|state| state.is_up());
        is_up(&self.own) && self.pools.iter().all(|(_, states)| is_up(states))
    }

    /// Whether pools have anything to say.
    pub fn has_pools(&self) -> bool {
        !self.pools.is_empty()
    }
}

/// The same everywhere.
impl From<State> for NodeHealth {
    fn from(state: State) -> Self {
        Self { own: [state; 2], ..Self::default() }
    }
}

/// What the probes of one check mean.
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

    /// Takes the outcome of a probe that ended at `at`; the new state if that changes it: `rise` good probes in a row, or
    /// `fall` that failed.
    pub fn observe(&mut self, at: f64, is_good: bool, rise: u32, fall: u32) -> Option<State> {
        if self.state == State::Unknown && is_good {
            self.state = State::Up { since: f64::NEG_INFINITY };
        }
        if is_good == self.state.is_up() {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let (enough, next) = if is_good { (rise, State::Up { since: at }) } else { (fall, State::Down { since: at }) };
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

    fn states(probes: &str) -> Vec<State> {
        states_by(probes, 3, 2)
    }

    /// The states after probes, five seconds apart from 5 on; `+` is a good one.
    fn states_by(probes: &str, rise: u32, fall: u32) -> Vec<State> {
        let mut health = Health::default();
        let mut at = 0.0;
        probes
            .chars()
            .map(|probe| {
                at += 5.0;
                let before = health.state();
                let news = health.observe(at, probe == '+', rise, fall);
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
    fn how_many_probes_it_takes_is_configured() {
        let (down, back) = (State::Down { since: 5.0 }, State::Up { since: 10.0 });
        assert_eq!(states_by("-+", 1, 1), [down, back]);
        assert_eq!(states_by("+---+", 1, 4)[4], ALWAYS);
    }

    #[test]
    fn a_node_is_down_where_one_of_its_checks_fails_and_nowhere_else() {
        let (up, down) = (State::Up { since: 7.0 }, State::Down { since: 9.0 });
        let [edge, whip] = [PoolId(0), PoolId(1)];
        let mut health = NodeHealth::default();
        health.note(None, Some(Family::V4), up);
        health.note(None, Some(Family::V6), down);
        health.note(Some(&[whip]), Some(Family::V4), down);
        health.note(Some(&[whip]), Some(Family::V4), up);
        assert_eq!((health.at(edge, Family::V4), health.at(whip, Family::V4)), (up, down));
        assert_eq!((health.at(edge, Family::V6), health.at(whip, Family::V6)), (down, down));
        // A check that does not ask at the node's address counts for both.
        health.note(Some(&[edge]), None, down);
        assert_eq!((health.at(edge, Family::V4), health.own(Family::V4)), (down, up));
    }

    #[test]
    fn of_two_states_the_worse_counts_where_both_must_hold_and_the_better_where_one_is_enough() {
        let (old, new) = (State::Up { since: 3.0 }, State::Up { since: 8.0 });
        let (first, second) = (State::Down { since: 4.0 }, State::Down { since: 6.0 });
        assert_eq!((old.and(new), old.or(new)), (new, old));
        assert_eq!((first.and(second), first.or(second)), (first, second));
        assert_eq!((old.and(second), old.or(second)), (second, old));
        assert_eq!((State::Unknown.and(new), State::Unknown.or(new)), (new, State::Unknown));
    }

    #[test]
    fn what_stays_down_keeps_the_moment_of_its_fall() {
        assert_eq!(states("-----").last(), Some(&State::Down { since: 10.0 }));
    }
}
