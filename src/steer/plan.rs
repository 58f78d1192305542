//! The plan: which share of a region's clients goes to which site.

/// Site pressure below which a site takes everybody who is nearest to it.
const SPILL_FROM: f64 = 0.80;
/// Site pressure at which it takes nobody any more, and node pressure at which a node is not named.
pub(super) const FULL: f64 = 0.92;

/// A site's part of a region's clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Clients whose position, a 32-bit hash, is at most this, and above that of the share before, go there.
    pub until: u32,
    /// The site's place in the pool's list.
    pub site: u16,
}

/// What the plan needs to know of a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SiteRoom {
    /// Mean pressure of its nodes, weighted by capacity.
    pub(super) pressure: f64,
    /// It has a node below the limit.
    pub(super) has_room: bool,
    /// What it can carry in the worst case; above 0 if it has a node at all.
    pub(super) reserve: f64,
}

/// Shares of a region's clients by site: nearest first, each takes what it has room for; what
/// nobody has room for is spread by reserve. `nearest` lists sites with at least one node.
pub(super) fn shares(nearest: &[u16], rooms: &[SiteRoom]) -> Vec<Share> {
    let mut left = 1.0;
    let mut parts: Vec<(u16, f64)> = nearest
        .iter()
        .map(|&site| {
            let room = &rooms[usize::from(site)];
            let open = if room.has_room { ((FULL - room.pressure) / (FULL - SPILL_FROM)).clamp(0.0, 1.0) } else { 0.0 };
            let part = left * open;
            left -= part;
            (site, part)
        })
        .collect();
    let reserve: f64 = nearest.iter().map(|&site| rooms[usize::from(site)].reserve).sum();
    if left > 0.0 && reserve > 0.0 {
        for (site, part) in &mut parts {
            *part += left * rooms[usize::from(*site)].reserve / reserve;
        }
    }
    let mut sum = 0.0;
    let mut shares: Vec<Share> = parts
        .into_iter()
        .filter(|(_, part)| *part > 0.0)
        .map(|(site, part)| {
            sum += part;
            Share { until: (sum * f64::from(u32::MAX)) as u32, site }
        })
        .collect();
    // Sums of floating point numbers end near 1 only; no client may fall behind the last share.
    if let Some(last) = shares.last_mut() {
        last.until = u32::MAX;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(pressure: f64) -> SiteRoom {
        SiteRoom { pressure, has_room: pressure < FULL, reserve: (1.6 - pressure).max(0.0) * 100.0 }
    }

    fn parts(pressures: &[f64]) -> Vec<(u16, f64)> {
        let rooms: Vec<_> = pressures.iter().map(|&pressure| room(pressure)).collect();
        let nearest: Vec<u16> = (0..rooms.len() as u16).collect();
        let mut before = 0.0;
        shares(&nearest, &rooms)
            .into_iter()
            .map(|share| {
                let until = f64::from(share.until) / f64::from(u32::MAX);
                let part = until - before;
                before = until;
                (share.site, (part * 100.0).round() / 100.0)
            })
            .collect()
    }

    #[test]
    fn the_nearest_site_takes_all_until_it_fills() {
        assert_eq!(parts(&[0.5, 0.1]), [(0, 1.0)]);
        assert_eq!(parts(&[0.86, 0.1]), [(0, 0.5), (1, 0.5)]);
        assert_eq!(parts(&[0.95, 0.1]), [(1, 1.0)]);
        assert_eq!(parts(&[0.86, 0.86, 0.1]), [(0, 0.5), (1, 0.25), (2, 0.25)]);
    }

    #[test]
    fn with_every_site_full_all_are_used_by_reserve() {
        assert_eq!(parts(&[1.0, 1.3]), [(0, 0.67), (1, 0.33)]);
        assert_eq!(parts(&[2.0, 1.3]), [(1, 1.0)]);
    }

    #[test]
    fn every_client_is_placed() {
        for pressures in [&[0.3][..], &[0.85, 0.85, 0.85], &[3.0, 1.59]] {
            let rooms: Vec<_> = pressures.iter().map(|&pressure| room(pressure)).collect();
            let nearest: Vec<u16> = (0..rooms.len() as u16).collect();
            assert_eq!(shares(&nearest, &rooms).last().map(|share| share.until), Some(u32::MAX), "{pressures:?}");
        }
    }
}
