//! Resolvers that renew an answer when it is asked for shortly before its TTL is over: by which rule.

use super::memory::CLOCK_SLACK;

/// When resolvers do so: in which part of the TTL, in how many last seconds, and from which TTL on. All in whole seconds.
///
/// Unbound in the last tenth (`prefetch: yes`), and PowerDNS Recursor (`refresh-on-ttl-perc`); BIND in the last two seconds of
/// nine or more (`prefetch 2 9`, its default); Knot Resolver in the last five and a hundredth (its module `prefetch`).
const RULES: [(f32, f32, f32); 3] = [(0.1, 0.0, 0.0), (0.0, 2.0, 9.0), (0.01, 5.0, 0.0)];
/// Part of the TTL by which a key may be early to be taken for one that follows a rule: of two caches, one asks in the first half
/// of what the other holds.
pub(super) const MOST: f32 = 0.45;

/// The rules that explain all early queries of a key, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead(u8);

impl Ahead {
    /// It waits for the end of the TTL.
    pub const NEVER: Self = Self(0);
    /// Nothing is known yet.
    pub(super) const ANY: Self = Self((1 << RULES.len()) - 1);

    /// Seconds before the end of a TTL from which it renews an answer: by the rule that does so last.
    #[inline]
    pub fn lead(self, ttl: f32) -> f32 {
        if self == Self::NEVER {
            return 0.0;
        }
        let followed = (0..).zip(RULES).filter(|(rule, _)| self.0 & 1 << rule != 0);
        followed.map(|(_, rule)| lead(rule, ttl)).fold(ttl, f32::min)
    }

    /// Those of the rules by which it may ask `early` seconds before the end of a TTL.
    #[inline]
    pub(super) fn that_explain(self, early: f32, ttl: f32) -> Self {
        let explains = |rule| early <= lead(rule, ttl) + CLOCK_SLACK;
        Self(self.0 & (0..).zip(RULES).map(|(bit, rule)| u8::from(explains(rule)) << bit).sum::<u8>())
    }

    /// Whether one cache may be so early, whatever its rule.
    #[inline]
    pub(super) fn may_be(early: f32, ttl: f32) -> bool {
        early <= MOST * ttl
    }
}

#[inline]
fn lead((part, seconds, least): (f32, f32, f32), ttl: f32) -> f32 {
    if ttl < least { 0.0 } else { (part * ttl) as u32 as f32 + seconds }
}
