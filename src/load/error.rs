//! Why a scrape gave no counters.
#![deny(clippy::disallowed_methods)]

use std::fmt;
use std::time::Duration;

/// Why a scrape gave no counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScrapeError {
    /// The URL cannot be asked.
    Url(String),
    /// What is shown to the exporter, or what vouches for it, could never be read.
    Access,
    /// No whole answer within this time.
    Timeout(Duration),
    /// No connection: refused, no such host, no trust in the certificate.
    Connect(String),
    /// The connection broke, or what came is no HTTP.
    Http(String),
    /// A status other than 200; redirects are not followed.
    Status(u16),
    /// A content coding that was not asked for, or is damaged.
    Encoding(String),
    /// A content type that cannot be metrics.
    ContentType(String),
    /// More octets than this.
    TooLarge(usize),
    /// More wanted samples than this.
    TooManySamples(usize),
    /// Wanted samples with more labels than this.
    TooManyLabels(usize),
    /// Wanted samples of more octets than this.
    TooMuchWanted(usize),
    /// The body does not end with a line's end, so its last value may be cut.
    Truncated,
    /// An answer without one usable wanted sample; `refused` lines had the name of one.
    NothingWanted {
        /// Lines with a wanted name that could not be read or held no possible value.
        refused: usize,
    },
    /// Two samples of one metric with the same labels.
    Duplicate(String),
    /// Prometheus has no target that is up and is the node's, by this label.
    NoTarget(String),
    /// Prometheus has the node's target, and none of these metrics of it: the target's label, and the metrics.
    NotOfTarget {
        /// The target's label; of several the first.
        target: String,
        /// What was looked for.
        metrics: String,
    },
    /// A heartbeat without what the server does.
    NoSummaries,
    /// The exporter runs, its server does not; the series that says so.
    ServerDown(String),
}

impl fmt::Display for ScrapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(why) => write!(f, "the URL cannot be asked: {why}"),
            Self::Access => f.write_str("a file of its access cannot be read, as the log of the inputs says"),
            Self::Timeout(limit) => write!(f, "no whole answer within {} s", limit.as_secs_f64()),
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::Http(why) => write!(f, "the exchange broke: {why}"),
            Self::Status(status @ 300..=399) => write!(f, "status {status}, and redirects are not followed"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Encoding(why) => f.write_str(why),
            Self::ContentType(found) => write!(f, "content type `{found}` is no metrics text"),
            Self::TooLarge(limit) => write!(f, "the answer is larger than {limit} octets"),
            Self::TooManySamples(limit) => write!(f, "more than {limit} wanted samples"),
            Self::TooManyLabels(limit) => write!(f, "the wanted samples have more than {limit} labels"),
            Self::TooMuchWanted(limit) => write!(f, "the wanted samples are larger than {limit} octets"),
            Self::Truncated => f.write_str("the answer is cut: it does not end with a line's end"),
            Self::NothingWanted { refused: 0 } => f.write_str("the answer has no wanted metric"),
            Self::NothingWanted { refused } => {
                write!(f, "the answer has no usable wanted metric, {refused} samples were refused")
            }
            Self::Duplicate(name) => write!(f, "two samples of `{name}` have the same labels"),
            Self::NoTarget(label) => {
                write!(f, "Prometheus has no target of the node that is up, by its label `{label}`")
            }
            Self::NotOfTarget { target, metrics } => write!(f, "the target `{target}` in Prometheus has no {metrics}"),
            Self::NoSummaries => f.write_str(
                "its heartbeats say nothing of its load: write `summaries on;` in `heartbeat` of its configuration",
            ),
            Self::ServerDown(series) => write!(f, "the exporter does not reach its server: `{series}` is 0"),
        }
    }
}

impl std::error::Error for ScrapeError {}
