//! What the keys of a region have in common: a crowd comes to all of them at once.
//!
//! A key alone needs several of its own gaps to learn that a crowd has come, and each gap is a TTL long. All keys of the region
//! together are asked many times a second: what is new about one is in part new about all. The tide is that common part of
//! ln(seconds beyond the TTL); a key that was not heard of since rises and falls with it.

use crate::geo::RegionId;
use crate::pool::ServiceId;

/// Tides that are kept apart; more uses of services by regions share some.
const CELLS: usize = 4096;
/// Part of what is new about one key that is taken to be new about all.
const SHARED_PART: f32 = 0.01;
/// Seconds of a key between which it has a full say: no single key makes a tide.
const FULL_SAY: f32 = 10.0;
/// The most that one gap says.
const MOST_NEWS: f32 = 1.5;
/// Seconds in which a tide ebbs away, as keys learn for themselves.
const EBB: f32 = 300.0;
/// The highest and lowest tide: a fifty-fold crowd.
const HIGHEST: f32 = 4.0;

/// The tides of a key table.
pub(super) struct Tides(Box<[Tide; CELLS]>);

#[derive(Debug, Clone, Copy, Default)]
struct Tide {
    value: f32,
    /// When it was right, in milliseconds that wrap.
    at: u32,
}

impl Tides {
    pub(super) fn new() -> Self {
        Self(Box::new([Tide::default(); CELLS]))
    }

    /// The place of a service's tide in a region.
    #[inline]
    pub(super) fn place(service: ServiceId, region: RegionId) -> usize {
        (usize::from(region.0) + 257 * usize::from(service.0)) % CELLS
    }

    /// The tide now.
    #[inline]
    pub(super) fn at(&mut self, place: usize, now: u32) -> f32 {
        let tide = &mut self.0[place];
        let elapsed = now.wrapping_sub(tide.at) as i32;
        if elapsed >= 1000 || elapsed < 0 {
            let left = (1.0 - elapsed as f32 / (1000.0 * EBB)).clamp(0.0, 1.0);
            (tide.value, tide.at) = (tide.value * left, now);
        }
        tide.value
    }

    /// Learns from what was new about a key, `gap` seconds after it was heard of before.
    #[inline]
    pub(super) fn learn(&mut self, place: usize, news: f32, gap: f32) {
        let part = SHARED_PART * (gap / FULL_SAY).min(1.0);
        let tide = &mut self.0[place].value;
        *tide = (*tide + part * news.clamp(-MOST_NEWS, MOST_NEWS)).clamp(-HIGHEST, HIGHEST);
    }
}
