//! `thalweg explain`: why a client gets its answer, from the daemon that runs or from the inputs alone.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::{FAILURE, SUCCESS, USAGE, count, draw};
use crate::answer::{Explanation, explain as explain_answer};
use crate::config;
use crate::diagnostic::Source;
use crate::feed::{Feed, Options, StartError};
use crate::serve::admin::ExplainParameters;
use crate::steer::{NodeReason, SiteReason};

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Octets of the longest answer that is read.
const MAX_BODY: usize = 16 << 20;

/// Explains an answer, as a table or as JSON.
pub fn explain(file: &Path, parameters: &ExplainParameters, is_offline: bool, is_json: bool) -> u8 {
    let question = match parameters.question() {
        Ok(question) => question,
        Err(message) => {
            eprintln!("thalweg explain: {message}");
            return USAGE;
        }
    };
    let explanation = if is_offline {
        let options = Options { file: file.to_owned(), environment: std::env::vars().collect(), is_strict: false };
        match Feed::new(options) {
            Ok(feed) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
                Ok(explain_answer(&feed.published().snapshot(), &question, now))
            }
            Err(StartError { diagnostics }) => {
                draw(&diagnostics);
                Err(count(&diagnostics))
            }
        }
    } else {
        ask(file, parameters)
    };
    match explanation {
        Ok(explanation) if is_json => match serde_json::to_string_pretty(&explanation) {
            Ok(json) => println!("{json}"),
            Err(error) => {
                eprintln!("thalweg explain: {error}");
                return FAILURE;
            }
        },
        Ok(explanation) => print!("{}", table(&parameters.name, &explanation)),
        Err(message) => {
            eprintln!("thalweg explain: {message}");
            return FAILURE;
        }
    }
    SUCCESS
}

/// Asks the daemon of this configuration.
fn ask(file: &Path, parameters: &ExplainParameters) -> Result<Explanation, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let (config, diagnostics) = config::read(&Source::new(file.display().to_string(), text), &environment);
    let Some(config) = config else {
        draw(&diagnostics);
        return Err(count(&diagnostics));
    };
    let admin = config.server.admin.value;
    let given = [
        ("name", Some(&parameters.name)),
        ("type", parameters.qtype.as_ref()),
        ("client", parameters.client.as_ref()),
        ("resolver", parameters.resolver.as_ref()),
        ("ecs", parameters.ecs.as_ref()),
    ];
    let given: Vec<String> =
        given.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", encoded(value?)))).collect();
    let url = format!("http://{admin}/v1/explain?{}", given.join("&"));
    let unreachable = |error: String| {
        format!(
            "no daemon answers on {admin} (server.admin in {}): {error}\nIs `thalweg run` running? \
             `--offline` explains from the files alone, without load.",
            file.display()
        )
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let body = runtime.block_on(async {
        let fetched = tokio::time::timeout(TIMEOUT, fetch(&url)).await;
        fetched.map_err(|_| unreachable("it took too long".to_owned()))?.map_err(unreachable)
    })?;
    serde_json::from_slice(&body).map_err(|error| format!("the daemon's answer cannot be read: {error}"))
}

async fn fetch(url: &str) -> Result<Bytes, String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let url = url.parse::<hyper::Uri>().map_err(|error| error.to_string())?;
    let response = client.get(url).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|error| error.to_string())?;
    let body = body.to_bytes();
    if status.is_success() { Ok(body) } else { Err(format!("{status}: {}", String::from_utf8_lossy(&body).trim())) }
}

/// Percent-encodes what is not plain in a query string (RFC 3986 §2.3).
fn encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The explanation as people read it.
fn table(name: &str, explanation: &Explanation) -> String {
    let reasons = &explanation.reasons;
    let mut text = format!("{name}: {} (generation {})\n", explanation.rcode, explanation.generation);
    for record in &explanation.answer {
        text.push_str(&format!("  {record}\n"));
    }
    let mut line = |key: &str, value: &str| text.push_str(&format!("{key:<9}{value}\n"));
    if let Some(zone) = &reasons.zone {
        line("zone", zone);
    }
    for step in &reasons.steps {
        line("look-up", step);
    }
    if let Some(located) = &reasons.located {
        line(
            "client",
            &format!(
                "{} ({}) is in region {}, as all of {}",
                located.network, located.source, located.region, located.region_network
            ),
        );
    }
    if let (Some(service), Some(steering)) = (&reasons.service, &reasons.steering) {
        line("service", &format!("{service} from pool {}", steering.pool));
        line("TTL", &steering.ttl);
    }
    if let Some(scope) = &reasons.scope {
        line("scope", scope);
    }
    if let Some(steering) = &reasons.steering {
        let rows = steering.sites.iter().map(site_row);
        text.push('\n');
        text.push_str(&aligned(&["SITE", "DISTANCE", "PRESSURE", "SHARE", "WHY"], rows));
        let rows = steering.nodes.iter().map(node_row);
        text.push('\n');
        text.push_str(&aligned(
            &["", "NODE", "PLACE", "ADDRESS", "PRESSURE", "USES", "AGE", "WEIGHT", "CHANCE", "WHY"],
            rows,
        ));
    }
    text
}

fn site_row(site: &SiteReason) -> Vec<String> {
    vec![
        site.place.clone(),
        format!("{:.0} ms", site.distance),
        format!("{:.2}", site.pressure),
        percent(site.share),
        site.because.clone(),
    ]
}

fn node_row(node: &NodeReason) -> Vec<String> {
    let uses = node
        .uses
        .iter()
        .map(|each| format!("{} {:.0}% of {:.0}%", each.resource, each.share * 100.0, each.limit * 100.0));
    vec![
        if node.is_named { "*" } else { "" }.to_owned(),
        node.node.clone(),
        node.place.clone(),
        node.address.clone().unwrap_or_else(|| "-".to_owned()),
        node.pressure.map_or_else(|| "?".to_owned(), |pressure| format!("{pressure:.2}")),
        uses.collect::<Vec<_>>().join(", "),
        node.age.map_or_else(|| "-".to_owned(), |age| format!("{age:.0} s")),
        format!("{:.0}", node.weight),
        percent(node.chance),
        node.because.clone(),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// Columns as wide as their widest cell, the last one free.
fn aligned(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut cells = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    cells.extend(rows);
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in &cells {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}
