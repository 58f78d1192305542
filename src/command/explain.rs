//! `thalweg explain`: why a client gets its answer, from the daemon that runs or from the inputs alone.

mod sentence;
mod text;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::Method;

use super::admin::{Daemon, NoAnswer};
use super::{FAILURE, SUCCESS, USAGE, count, draw};
use crate::answer::{Explanation, explain as explain_answer};
use crate::feed::{Feed, Options, StartError};
use crate::serve::admin::ExplainParameters;

pub use text::text;

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
        let options = Options {
            file: file.to_owned(),
            environment: std::env::vars().collect(),
            is_watching: true,
            is_strict: false,
        };
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
        Ok(explanation) => print!("{}", text(&parameters.name, &explanation, parameters.viewers.is_some())),
        Err(message) => {
            eprintln!("thalweg explain: {message}");
            return FAILURE;
        }
    }
    SUCCESS
}

/// Asks the daemon of this configuration.
fn ask(file: &Path, parameters: &ExplainParameters) -> Result<Explanation, String> {
    let viewers = parameters.viewers.map(|viewers| viewers.to_string());
    let given = [
        ("name", Some(&parameters.name)),
        ("type", parameters.qtype.as_ref()),
        ("client", parameters.client.as_ref()),
        ("resolver", parameters.resolver.as_ref()),
        ("ecs", parameters.ecs.as_ref()),
        ("viewers", viewers.as_ref()),
    ];
    let given: Vec<(&str, &str)> = given.into_iter().filter_map(|(key, value)| Some((key, value?.as_str()))).collect();
    Daemon::of(file)?.ask(&Method::GET, "/v1/explain", &given, None).map_err(|no_answer| match no_answer {
        NoAnswer::Refused(message) => message,
        NoAnswer::Unreachable(message) => {
            format!("{message} `--offline` explains from the files alone, without load.")
        }
    })
}
