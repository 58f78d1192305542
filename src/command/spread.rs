//! Whom an order has reached, of several nameservers.

use std::path::Path;

use hyper::Method;

use super::admin::{Daemon, NoAnswer};
use super::{FAILURE, SUCCESS};
use crate::intake::Applied;
use crate::steer::Override;

/// Has the daemon tell the others what was ordered or lifted, and says where it applies now; a failure if it is not everywhere.
pub(super) fn spread(file: &Path, about: &[&Override]) -> u8 {
    let asked = Daemon::of(file).and_then(|daemon| {
        let about = serde_json::to_string(about).map_err(|error| error.to_string())?;
        Ok((daemon, about))
    });
    let asked = asked.map_err(NoAnswer::Unreachable);
    match asked.and_then(|(daemon, about)| daemon.ask::<Vec<Applied>>(&Method::POST, "/v1/cluster", &[], Some(about))) {
        Ok(applied) => {
            let (line, is_everywhere) = told(&applied);
            if let Some(line) = line {
                println!("{line}");
            }
            if is_everywhere { SUCCESS } else { FAILURE }
        }
        Err(NoAnswer::Refused(message) | NoAnswer::Unreachable(message)) => {
            eprintln!("thalweg: it is not known whether the other nameservers heard of it: {message}");
            FAILURE
        }
    }
}

/// `applied at A, B; not at C: no connection`, and whether it is everywhere; nothing to say with one nameserver.
fn told(applied: &[Applied]) -> (Option<String>, bool) {
    if applied.is_empty() {
        return (None, true);
    }
    let at: Vec<String> =
        applied.iter().filter(|each| each.because.is_none()).map(|each| each.server.to_string()).collect();
    let mut line = format!("applied at {}", at.join(", "));
    let missing = applied.iter().filter_map(|each| Some((each.server, each.because.as_ref()?)));
    let not: Vec<String> = missing.map(|(server, because)| format!("; not at {server}: {because}")).collect();
    line.push_str(&not.concat());
    if !not.is_empty() {
        line.push_str("\nthey take it over as soon as they hear of it and can follow it");
    }
    (Some(line), not.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_and_where_not() {
        let server = |last: u8| ([10, 0, last, 1], 8054).into();
        let all = [Applied { server: server(0), because: None }, Applied { server: server(1), because: None }];
        assert_eq!(told(&all), (Some("applied at 10.0.0.1:8054, 10.0.1.1:8054".to_owned()), true));
        let missing = Applied { server: server(2), because: Some("no connection".to_owned()) };
        let (line, is_everywhere) = told(&[all.as_slice(), &[missing]].concat());
        let expected = "applied at 10.0.0.1:8054, 10.0.1.1:8054; not at 10.0.2.1:8054: no connection\nthey ";
        assert!(line.is_some_and(|line| line.starts_with(expected)) && !is_everywhere);
        assert_eq!(told(&[]), (None, true));
    }
}
