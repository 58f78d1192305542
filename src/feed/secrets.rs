//! Secrets of DNS cookies: read from a file that nameservers share, or drawn here and rolled each day.

use std::time::{Duration, Instant};

use crate::diagnostic::{Diagnostic, Source, has_errors};
use crate::wire::{MAX_SECRETS, Secret, Secrets};

/// How long a secret that was drawn here makes cookies. RFC 7873 §7.1 wants it to be for no more than 26 hours; cookies
/// live an hour, so that a day costs nobody more than the secret before it being known for as long.
const LIFE: Duration = Duration::from_secs(24 * 3_600);

/// Reads a file of secrets: a line of 32 hexadecimal digits each, the one to make cookies by first.
///
/// What is wrong is told by its line alone: the lines themselves are not for logs.
pub(super) fn read_secrets(source: &Source) -> (Option<Secrets>, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let mut secrets = Vec::new();
    let help = "each line is a secret of 32 hexadecimal digits, as `openssl rand -hex 16` writes it";
    for (number, line) in (1..).zip(source.text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match parse(line) {
            Some(secret) => secrets.push(secret),
            None => problems.push(error(source, format!("line {number} is no secret")).help(help)),
        }
    }
    if secrets.is_empty() && problems.is_empty() {
        problems.push(error(source, "there is no secret in it".to_owned()).help(help));
    }
    if secrets.len() > MAX_SECRETS {
        let message = format!("{} secrets, at most {MAX_SECRETS} are known at a time", secrets.len());
        problems.push(error(source, message).help("take out the oldest: a cookie lives an hour"));
    }
    let is_sound = !has_errors(&problems);
    (is_sound.then(|| Secrets::new(secrets)), problems)
}

fn error(source: &Source, message: String) -> Diagnostic {
    Diagnostic::error(message).in_file(source.name.clone())
}

fn parse(line: &str) -> Option<Secret> {
    if line.len() != 32 || !line.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(line, 16).ok().map(u128::to_be_bytes)
}

/// Secrets that were drawn here: that in use, and the one before it.
pub(super) struct Drawn {
    current: Secret,
    before: Option<Secret>,
    since: Instant,
}

impl Drawn {
    /// The first secret.
    pub(super) fn new(now: Instant) -> Result<Self, getrandom::Error> {
        Ok(Self { current: draw()?, before: None, since: now })
    }

    /// The secrets now, after a roll if it is time for one.
    pub(super) fn secrets(&mut self, now: Instant) -> Secrets {
        if now.saturating_duration_since(self.since) >= LIFE
            // Without randomness the secret goes on being used: an old one is better than none.
            && let Ok(next) = draw()
        {
            self.before = Some(std::mem::replace(&mut self.current, next));
            self.since = now;
        }
        Secrets::new(std::iter::once(self.current).chain(self.before))
    }
}

fn draw() -> Result<Secret, getrandom::Error> {
    let mut secret = Secret::default();
    getrandom::fill(&mut secret)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_line_by_line() {
        let text = "# ours\n000102030405060708090a0b0c0d0e0f\n\n  FFffffffffffffffffffffffffffffff \n";
        let (secrets, problems) = read_secrets(&Source::new("cookie.secrets", text));
        assert!(problems.is_empty());
        let first: Secret = std::array::from_fn(|at| at as u8);
        assert_eq!(secrets, Some(Secrets::new([first, [0xff; 16]])));
    }

    #[test]
    fn what_is_no_secret_is_told_without_showing_it() {
        let good = "000102030405060708090a0b0c0d0e0f\n";
        for (text, expected) in [
            ("", "there is no secret in it"),
            ("0102\n", "line 1 is no secret"),
            ("+00102030405060708090a0b0c0d0e0f\n", "line 1 is no secret"),
            (&good.repeat(5), "5 secrets, at most 4 are known at a time"),
        ] {
            let (secrets, problems) = read_secrets(&Source::new("cookie.secrets", text));
            assert_eq!(secrets, None, "{text}");
            assert_eq!(problems[0].message, expected);
            assert!(!problems[0].render(false).contains("0102"), "{}", problems[0].render(false));
        }
    }

    #[test]
    fn a_drawn_secret_is_rolled_after_a_day_and_known_for_another() {
        let start = Instant::now();
        let mut drawn = Drawn::new(start).unwrap();
        let (client, address, now) = ([1; 8], "192.0.2.1".parse().unwrap(), 1_000);
        let first = drawn.secrets(start + LIFE / 2);
        let made = first.make(&client, address, now).unwrap();
        let cookie = crate::wire::Cookie { client: &client, server: &made };
        let second = drawn.secrets(start + LIFE);
        assert_ne!(second.make(&client, address, now), Some(made), "another secret makes cookies");
        assert!(second.know(&cookie, address, now), "those of the one before are known");
        assert!(!drawn.secrets(start + 2 * LIFE).know(&cookie, address, now));
    }
}
