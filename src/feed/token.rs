//! The token file: read, and what nameservers make alike of it: the secrets of DNS cookies.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::diagnostic::{Diagnostic, Source};
use crate::intake::Tokens;
use crate::wire::{MAX_SECRETS, Secret, Secrets};

/// Characters of the shortest token, and of the longest.
const SHORTEST: usize = 16;
const LONGEST: usize = 256;
/// The most tokens that are known at a time: the one that is shown, and one that comes or goes.
const MOST: usize = 2;
/// Seconds for which a secret of cookies makes them. RFC 7873 §7.1 wants it to be for no more than 26 hours.
const DAY: u64 = 24 * 3_600;

/// Reads a token file: a line each, the one to show first. What is wrong is told by its line alone: the lines themselves
/// are not for logs.
pub(super) fn read_tokens(source: &Source) -> (Option<Tokens>, Vec<Diagnostic>) {
    let error = |message: String| Diagnostic::error(message).in_file(source.name.clone());
    let help = "each line is a token, as `openssl rand -hex 32` makes it; all nameservers have the same file";
    let mut problems = Vec::new();
    let mut tokens: Vec<Box<str>> = Vec::new();
    for (number, line) in (1..).zip(source.text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // It stands in a header (RFC 6750 §2.1 has about these octets).
        if !(SHORTEST..=LONGEST).contains(&line.len()) || !line.bytes().all(|octet| octet.is_ascii_graphic()) {
            let message = format!("line {number} is no token of {SHORTEST} to {LONGEST} letters and digits");
            problems.push(error(message).help(help));
        }
        tokens.push(line.into());
    }
    if tokens.is_empty() {
        problems.push(error("there is no token in it".to_owned()).help(help));
    }
    if tokens.len() > MOST {
        let message = format!("{} tokens, at most {MOST} are known at a time", tokens.len());
        problems.push(error(message).help("take out those that nobody shows any more"));
    }
    (problems.is_empty().then(|| Tokens::new(tokens)), problems)
}

/// A warning if others than its owner can read a file that holds a secret.
pub(super) fn warn_of_readers(path: &Path) -> Option<Diagnostic> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let shown = path.display();
    (mode & 0o077 != 0).then(|| {
        Diagnostic::warning(format!("others than its owner can read it (mode {:04o})", mode & 0o7777))
            .in_file(shown.to_string())
            .help(format!("`chmod 600 {shown}`, and give it to the user whom the server runs as"))
    })
}

/// The secrets of cookies at `now` in seconds since 1970; none without a token.
///
/// Each day has its own (RFC 9018 §5), at the same moment everywhere. That of yesterday is known because cookies live an
/// hour, that of tomorrow because clocks differ. While the token is replaced, the other one's of today is known too.
pub(super) fn cookies(tokens: &Tokens, now: u64) -> Option<Secrets> {
    let today = now / DAY;
    let of = |day: u64| {
        let purpose = format!("thalweg: secret of DNS cookies, day {day}");
        let secret = |derived: [u8; 32]| -> Secret { std::array::from_fn(|at| derived[at]) };
        tokens.derive(&purpose).map(secret).collect::<Vec<_>>()
    };
    let secrets = of(today);
    let own = *secrets.first()?;
    let others = [today.wrapping_sub(1), today + 1].map(|day| of(day).first().copied());
    let known = std::iter::once(own).chain(others.into_iter().flatten()).chain(secrets.into_iter().skip(1));
    Some(Secrets::new(known.take(MAX_SECRETS)))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::wire::Cookie;

    const ONE: &str = "0123456789abcdef-one";
    const TWO: &str = "0123456789abcdef-two";

    fn tokens(text: &str) -> Tokens {
        read_tokens(&Source::new("peer.token", text)).0.unwrap()
    }

    #[test]
    fn tokens_are_read_line_by_line_and_what_is_none_is_told_without_showing_it() {
        assert_eq!(tokens(&format!("# ours\n{ONE}\n\n {TWO} \n")), Tokens::new([Box::from(ONE), Box::from(TWO)]));
        for (text, told) in [
            (String::new(), "there is no token in it"),
            ("short-secret\n".to_owned(), "line 1 is no token of 16 to 256 letters and digits"),
            (format!("{ONE}\nsecret with a blank inside\n"), "line 2 is no token of 16 to 256 letters and digits"),
            (format!("{ONE}\n").repeat(3), "3 tokens, at most 2 are known at a time"),
        ] {
            let (tokens, problems) = read_tokens(&Source::new("peer.token", text.clone()));
            assert_eq!((tokens, problems[0].message.as_str()), (None, told), "{text}");
            assert!(!problems[0].render(false).contains("secret"), "{}", problems[0].render(false));
        }
    }

    #[test]
    fn files_that_others_can_read_are_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("peer.token");
        std::fs::write(&path, ONE).unwrap();
        for (mode, is_warned) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(warn_of_readers(&path).is_some(), is_warned, "{mode:o}");
        }
    }

    #[test]
    fn cookies_of_one_nameserver_are_known_to_another_around_midnight_and_while_tokens_change() {
        let (client, address): ([u8; 8], IpAddr) = ([1; 8], "192.0.2.1".parse().unwrap());
        let midnight = 20_000 * DAY;
        let is_known = |made: (&str, u64), known: (&str, u64)| {
            let server = cookies(&tokens(made.0), made.1).unwrap().make(&client, address, made.1 as u32).unwrap();
            let cookie = Cookie { client: &client, server: &server };
            cookies(&tokens(known.0), known.1).unwrap().know(&cookie, address, known.1 as u32)
        };
        assert!(is_known((ONE, midnight - 3_000), (ONE, midnight + 500)), "yesterday's");
        assert!(is_known((ONE, midnight + 100), (ONE, midnight - 100)), "a clock that is behind");
        let (old, new) = (format!("{ONE}\n{TWO}"), format!("{TWO}\n{ONE}"));
        assert!(is_known((&old, midnight + 7_200), (&new, midnight + 7_300)));
        assert!(is_known((&new, midnight + 7_200), (&old, midnight + 7_300)));
        assert!(!is_known((ONE, midnight + 7_200), (TWO, midnight + 7_300)), "another token");
        let first = |now| cookies(&tokens(ONE), now).unwrap().make(&client, address, 1_000);
        assert_ne!(first(midnight - 1), first(midnight), "each day has its own");
        assert_eq!(cookies(&Tokens::default(), midnight), None);
    }
}
