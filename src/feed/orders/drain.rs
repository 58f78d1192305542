//! Drains of several nodes at once: all or nothing, and not if it would overload a place, unless that is wanted.

use super::super::run::Feed;
use super::super::unix_seconds;
use super::check;
use crate::intake::{DrainWish, Drained, Wish};
use crate::pool::{NodeId, Selection};
use crate::steer::{Order, Override, SiteForecast, forecast};

impl Feed {
    /// Drains nodes, or only says what would come of it.
    pub(super) fn drain(&mut self, wish: &DrainWish) -> Result<Drained, String> {
        let nodes = check::nodes_of(&wish.which, &self.inputs)?;
        let fleet = &self.inputs.fleet;
        let ids: Vec<NodeId> = nodes.iter().filter_map(|node| fleet.find_node(node)).collect();
        let forecast = forecast(fleet, &self.published.snapshot().tables, &ids);
        let mut drained =
            Drained { orders: Vec::new(), nodes: nodes.clone(), forecast, is_kept: false, is_dry_run: wish.is_dry_run };
        if wish.is_dry_run {
            return Ok(drained);
        }
        let overfull: Vec<&SiteForecast> = drained.forecast.iter().filter(|site| site.is_overfull()).collect();
        if !overfull.is_empty() && !wish.is_forced {
            return Err(refusal(&overfull));
        }
        let wishes = nodes.into_iter().map(|node| Wish {
            what: Override::Drain { node },
            who: wish.who.clone(),
            reason: wish.reason.clone(),
            seconds: wish.seconds,
        });
        drained.orders = self.order_all(&wishes.collect::<Vec<_>>())?;
        Ok(drained)
    }

    /// Ends the drains of these nodes, of which one at least must be drained.
    pub(super) fn undrain(&mut self, which: &Selection) -> Result<Vec<Order>, String> {
        let nodes = check::nodes_of(which, &self.inputs)?;
        let is_meant = |order: &Order| matches!(&order.what, Override::Drain { node } if nodes.contains(node));
        let lifted = self.lift_all(is_meant)?;
        if lifted.is_empty() {
            let snapshot = self.published.snapshot();
            let told = |node: &String| match snapshot.tables.drain_told(node, unix_seconds()) {
                Some(told) => format!("{node} is drained {told}: that is ended where it is configured"),
                None => format!("{node} is not drained"),
            };
            return Err(nodes.iter().map(told).collect::<Vec<_>>().join("\n"));
        }
        Ok(lifted)
    }
}

fn refusal(overfull: &[&SiteForecast]) -> String {
    let told = |site: &&SiteForecast| {
        let SiteForecast { pool, place, before, after, .. } = site;
        let now = before.map_or_else(|| "no node serves".to_owned(), |before| format!("{before:.2}"));
        match after {
            _ if !site.unserved.is_empty() => {
                format!("pool {pool}: no node is left to serve it over {}", site.unserved.join(" and "))
            }
            Some(after) => format!("pool {pool} at {place}: predicted pressure {now} → {after:.2}, above 1"),
            None => format!("pool {pool} at {place}: no node is left"),
        }
    };
    let mut lines: Vec<String> = overfull.iter().map(told).collect();
    lines.dedup();
    format!(
        "not drained, for it would overload others:\n  {}\nhelp: `--dry-run` shows all places, `--force` does it",
        lines.join("\n  ")
    )
}
