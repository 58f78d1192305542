//! Files of TSIG keys: the secret in base64, or what `tsig-keygen` writes.

use crate::config::{key_octets, key_weakness};
use crate::diagnostic::{Diagnostic, Source};
use crate::name::Name;
use crate::wire::{Algorithm, TsigKey};

/// Makes a key of what stands in its file; nothing of the secret is shown.
pub(super) fn read_key(
    name: &Name,
    algorithm: Option<Algorithm>,
    source: &Source,
) -> (Option<TsigKey>, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let mut tell = |diagnostic: Diagnostic| problems.push(diagnostic.in_file(source.name.clone()));
    let Some(Written { name: there, algorithm: said, secret }) = parse(&source.text) else {
        let help = "it holds the secret in base64, as `openssl rand -base64 32` makes it, or what `tsig-keygen` writes";
        tell(Diagnostic::error("there is no key in it").help(help));
        return (None, problems);
    };
    let Some(secret) = key_octets(secret) else {
        tell(Diagnostic::error("the secret in it is not base64"));
        return (None, problems);
    };
    // Both sides must call it the same, and here are two names for it.
    if let Some(there) = there.filter(|there| Name::parse(there, None).as_ref() != Ok(name)) {
        tell(Diagnostic::error(format!("the key in it is called `{there}`, not `{name}`")));
        return (None, problems);
    }
    let said = match said.map(|word| (word, Algorithm::of_word(word))) {
        Some((word, None)) => {
            let known = Algorithm::ALL.map(Algorithm::word).join(", ");
            tell(Diagnostic::error(format!("the algorithm `{word}` is not known")).help(format!("known: {known}")));
            return (None, problems);
        }
        Some((_, said)) => said,
        None => None,
    };
    if let (Some(said), Some(algorithm)) = (said, algorithm)
        && said != algorithm
    {
        let message = format!("the key in it is for {}, not for {}", said.word(), algorithm.word());
        tell(Diagnostic::error(message).help("take `algorithm` out of the configuration, or write the same"));
        return (None, problems);
    }
    if let Some(warning) = key_weakness(&secret) {
        tell(warning);
    }
    let algorithm = algorithm.or(said).unwrap_or(Algorithm::Sha256);
    (Some(TsigKey::new(name.clone(), algorithm, &secret)), problems)
}

/// What a file says.
struct Written<'t> {
    name: Option<&'t str>,
    algorithm: Option<&'t str>,
    secret: &'t str,
}

/// Takes a file apart: `key "name" { algorithm hmac-sha256; secret "…"; };`, or the secret alone.
fn parse(text: &str) -> Option<Written<'_>> {
    let is_comment = |line: &&str| !line.trim_start().starts_with(['#', '/']);
    if !text.contains('{') {
        let mut lines = text.lines().filter(is_comment).map(str::trim).filter(|line| !line.is_empty());
        return lines.next().filter(|_| lines.next().is_none()).map(|secret| Written {
            name: None,
            algorithm: None,
            secret,
        });
    }
    let mut words = text.lines().filter(is_comment).flat_map(|line| {
        line.split(|c: char| c.is_whitespace() || "\"{};".contains(c)).filter(|word| !word.is_empty())
    });
    let (mut name, mut algorithm, mut secret) = (None, None, None);
    while let Some(word) = words.next() {
        let field = match word {
            "key" => &mut name,
            "algorithm" => &mut algorithm,
            "secret" => &mut secret,
            _ => return None,
        };
        // Of two keys nobody knows which is meant.
        if field.replace(words.next()?).is_some() {
            return None;
        }
    }
    Some(Written { name, algorithm, secret: secret? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIND: &str = "key \"tsig.example\" {\n\talgorithm hmac-sha512;\n\tsecret \"MDEyMzQ1Njc4OWFiY2RlZg==\";\n};\n";

    fn read(text: &str, algorithm: Option<Algorithm>) -> Result<Algorithm, String> {
        let name = Name::parse("tsig.example", None).unwrap();
        let (key, problems) = read_key(&name, algorithm, &Source::new("transfer.key", text));
        match key {
            Some(key) => Ok(key.algorithm()),
            None => Err(problems[0].message.clone()),
        }
    }

    #[test]
    fn secrets_alone_and_keys_as_bind_has_them_are_read() {
        let secret = "# ours\nMDEyMzQ1Njc4OWFiY2RlZg==\n";
        assert_eq!(read(secret, None), Ok(Algorithm::Sha256));
        assert_eq!(read(secret, Some(Algorithm::Sha384)), Ok(Algorithm::Sha384));
        assert_eq!(read(BIND, None), Ok(Algorithm::Sha512));
    }

    #[test]
    fn what_is_no_key_is_told_without_showing_it() {
        let two = BIND.repeat(2);
        let other = BIND.replace("tsig", "other");
        let unknown = BIND.replace("sha512", "md5");
        let broken = BIND.replace("==", "=");
        for (text, algorithm, told) in [
            ("", None, "there is no key in it"),
            ("MDEyMzQ1\nMDEyMzQ1\n", None, "there is no key in it"),
            (two.as_str(), None, "there is no key in it"),
            (&broken, None, "the secret in it is not base64"),
            (&other, None, "the key in it is called `other.example`, not `tsig.example.`"),
            (&unknown, None, "the algorithm `hmac-md5` is not known"),
            (BIND, Some(Algorithm::Sha256), "the key in it is for hmac-sha512, not for hmac-sha256"),
        ] {
            assert_eq!(read(text, algorithm), Err(told.to_owned()), "{text}");
        }
    }
}
