//! Metrics of zones that come from other servers.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::metric;
use crate::snapshot::{Published, SecondaryStatus};

/// Reads them from the newest snapshot.
pub(super) struct SecondaryReadout(pub(super) Arc<Published>);

impl fmt::Debug for SecondaryReadout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecondaryReadout").finish_non_exhaustive()
    }
}

impl Collector for SecondaryReadout {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.0.snapshot();
        let zones: Vec<(String, &SecondaryStatus)> =
            snapshot.secondaries.iter().map(|(name, status)| (name.to_string(), status)).collect();
        if zones.is_empty() {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut each = |name: &str, help: &str, value: &dyn Fn(&SecondaryStatus) -> Option<f64>| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (zone, status) in &zones {
                if let Some(value) = value(status) {
                    metric(MetricType::Gauge, value, family.encode_family(&[("zone", zone.as_str())])?)?;
                }
            }
            fmt::Result::Ok(())
        };
        each("zone_age_seconds", "Time since a primary vouched for the zone", &|status| {
            status.confirmed.map(|confirmed| now.saturating_sub(confirmed) as f64)
        })?;
        each("zone_serial", "Serial of the zone as it came from a primary", &|status| status.serial.map(f64::from))?;
        each(
            "zone_expired",
            "1 if the zone has expired or never came, so that SERVFAIL is answered for it",
            &|status| Some(f64::from(u8::from(!status.is_served))),
        )?;
        let help = "Transfers of the zone from a primary, of all of it or of what had changed";
        let mut family = encoder.encode_descriptor("zone_transfers", help, None, MetricType::Counter)?;
        for (zone, status) in &zones {
            for (kind, count) in ["whole", "changes"].into_iter().zip(status.transfers) {
                let labels = [("zone", zone.as_str()), ("kind", kind)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
