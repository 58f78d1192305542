//! The parameters of SVCB and HTTPS records (RFC 9460, RFC 9461, RFC 9540).

use super::octets::Base64;
use super::{Context, Problem};
use crate::diagnostic::{Diagnostic, nearest};
use crate::zone::layout::{Fault, name_length};
use crate::zone::lex::Word;

/// What the value of a key is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// Keys that the client must know (RFC 9460 §8).
    Keys,
    /// Protocols of TLS (RFC 9460 §7.1).
    Protocols,
    Nothing,
    Port,
    Ipv4,
    Ipv6,
    Base64,
    /// A template with the variable `dns` (RFC 9461 §5).
    Template,
    /// Any octets: keys without a name.
    Octets,
}

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
/// By number, from IANA's registry of service parameter keys.
const KEYS: [(&str, Value); 9] = [
    ("mandatory", Value::Keys),
    ("alpn", Value::Protocols),
    ("no-default-alpn", Value::Nothing),
    ("port", Value::Port),
    ("ipv4hint", Value::Ipv4),
    ("ech", Value::Base64),
    ("ipv6hint", Value::Ipv6),
    ("dohpath", Value::Template),
    ("ohttp", Value::Nothing),
];

/// The parameters, each key with its value; none if these are no parameters in ascending order (RFC 9460 §2.2).
pub(in crate::zone) fn split(octets: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut parameters = Vec::new();
    let mut rest = octets;
    while let [k0, k1, l0, l1, after @ ..] = rest {
        let key = u16::from_be_bytes([*k0, *k1]);
        let (value, after) = after.split_at_checked(usize::from(u16::from_be_bytes([*l0, *l1])))?;
        if parameters.last().is_some_and(|&(last, _)| last >= key) {
            return None;
        }
        parameters.push((key, value));
        rest = after;
    }
    rest.is_empty().then_some(parameters)
}

/// Whether the values are what their keys demand, and whether the keys are there that others need.
pub(in crate::zone) fn check(rdata: &[u8]) -> Result<(), Fault> {
    let parameters = of(rdata);
    let is_there = |key: u16| parameters.iter().any(|&(other, _)| other == key);
    for &(key, value) in &parameters {
        if !is_value(kind(key), value) {
            let fault = Fault::new(format!("the value of `{}` is not of its form", key_name(key)));
            return Err(match kind(key) {
                Value::Template => fault.help("it begins with `/` and has the variable `dns`: `/dns-query{?dns}`"),
                _ => fault,
            });
        }
        if key == MANDATORY {
            for wanted in value.chunks_exact(2).map(|wanted| u16::from_be_bytes([wanted[0], wanted[1]])) {
                if wanted == MANDATORY {
                    return Err(Fault::new("`mandatory` is never in its own list"));
                }
                if !is_there(wanted) {
                    return Err(Fault::new(format!("`{}` is mandatory, but it is not there", key_name(wanted))));
                }
            }
        }
    }
    // RFC 9460 §7.1.1: without the default there must be something else.
    if is_there(NO_DEFAULT_ALPN) && !is_there(ALPN) {
        return Err(Fault::new("`no-default-alpn` needs `alpn`").help("add `alpn=h2`"));
    }
    Ok(())
}

/// Whether a record in alias mode has parameters, which clients must ignore (RFC 9460 §2.4.2).
pub(super) fn are_idle(rdata: &[u8]) -> bool {
    rdata.starts_with(&[0, 0]) && !of(rdata).is_empty()
}

/// The parameters of a whole record.
fn of(rdata: &[u8]) -> Vec<(u16, &[u8])> {
    let rest = rdata.get(2..).unwrap_or_default();
    let parameters = rest.get(name_length(rest).unwrap_or(rest.len())..);
    parameters.and_then(split).unwrap_or_default()
}

pub(super) fn read(context: &Context<'_>, words: &[Word], out: &mut Vec<u8>, problems: &mut Vec<Diagnostic>) {
    let mut parameters: Vec<(u16, Vec<u8>)> = Vec::new();
    let mut rest = words;
    while let [word, after @ ..] = rest {
        rest = after;
        let text = context.text(*word);
        if word.is_quoted {
            let message = "a quoted string where a parameter is expected";
            let help = "quote the value alone, with no blank before it: `alpn=\"h2,h3\"`";
            problems.push(*context.error(*word, message, Some(help.to_owned())));
            continue;
        }
        let (key, mut value) = text.split_once('=').unwrap_or((text, ""));
        // The lexer ends a word where a quoted string begins.
        if let Some(&quoted) = after.first().filter(|next| next.is_quoted && next.span().start == word.span().end)
            && value.is_empty()
            && text.ends_with('=')
        {
            value = context.text(quoted);
            rest = &after[1..];
        }
        match key_number(key) {
            None => problems.push(*unknown_key(context, *word, key)),
            Some(number) if parameters.iter().any(|&(other, _)| other == number) => {
                problems.push(*context.error(*word, format!("`{key}` is given twice"), None));
            }
            Some(number) => match read_value(context, *word, number, key, value) {
                Ok(octets) => parameters.push((number, octets)),
                Err(problem) => problems.push(*problem),
            },
        }
    }
    // RFC 9460 §2.2: in the order of their numbers.
    parameters.sort_unstable_by_key(|&(key, _)| key);
    for (key, value) in parameters {
        match u16::try_from(value.len()) {
            Ok(length) => {
                out.extend(key.to_be_bytes());
                out.extend(length.to_be_bytes());
                out.extend(value);
            }
            Err(_) => {
                let message = format!("the value of `{}` has more than 65535 octets", key_name(key));
                problems.push(*context.error(context.type_word, message, None));
            }
        }
    }
}

fn unknown_key(context: &Context<'_>, word: Word, key: &str) -> Problem {
    let names = KEYS.iter().map(|(name, _)| *name);
    let help = match nearest(key, names) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "keys without a name are written `key65280=value`".to_owned(),
    };
    context.error(word, format!("unknown parameter `{key}`"), Some(help))
}

fn read_value(context: &Context<'_>, word: Word, number: u16, key: &str, text: &str) -> Result<Vec<u8>, Problem> {
    // A number instead of the name says that the value is in wire form.
    let kind = if key.starts_with("key") { Value::Octets } else { kind(number) };
    let mut value = Vec::new();
    let wrong = |what: &str, help: &str| {
        let message = format!("`{text}` is not {what}: the value of `{key}` is expected");
        context.error(word, message, Some(help.to_owned()))
    };
    match kind {
        Value::Keys => {
            let keys: Option<Vec<u16>> = text.split(',').map(|key| key_number(&key.to_ascii_lowercase())).collect();
            let mut keys = keys.ok_or_else(|| wrong("a list of keys", "write as in `mandatory=alpn,port`"))?;
            keys.sort_unstable();
            if keys.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(context.error(word, "`mandatory` names a key twice", None));
            }
            value.extend(keys.into_iter().flat_map(u16::to_be_bytes));
        }
        Value::Protocols => {
            context.unescape(word, text, &mut value)?;
            value = protocols(&value).ok_or_else(|| wrong("a list of protocols", "write as in `alpn=h2,h3`"))?;
        }
        Value::Nothing if !text.is_empty() => return Err(context.error(word, format!("`{key}` has no value"), None)),
        Value::Nothing => {}
        Value::Port => value.extend(context.u16_of(word, "port", text)?.to_be_bytes()),
        Value::Ipv4 => {
            for address in text.split(',') {
                value.extend(context.ipv4_of(word, address)?.octets());
            }
        }
        Value::Ipv6 => {
            for address in text.split(',') {
                value.extend(context.ipv6_of(word, address)?.octets());
            }
        }
        Value::Base64 => {
            let mut base64 = Base64::default();
            let is_good = text.bytes().all(|byte| base64.push(byte, &mut value)) && base64.is_whole();
            is_good.then_some(()).ok_or_else(|| wrong("base64", "write it without blanks, with `=` at its end"))?;
        }
        Value::Template | Value::Octets => context.unescape(word, text, &mut value)?,
    }
    Ok(value)
}

/// A list with commas as strings behind their lengths; a backslash keeps a comma or itself (RFC 9460 appendix A.1).
fn protocols(text: &[u8]) -> Option<Vec<u8>> {
    let mut value = vec![0];
    let mut start = 0;
    let mut octets = text.iter();
    loop {
        let octet = octets.next();
        match octet {
            None | Some(b',') => {
                value[start] = u8::try_from(value.len() - start - 1).ok().filter(|&length| length > 0)?;
                if octet.is_none() {
                    return Some(value);
                }
                start = value.len();
                value.push(0);
            }
            Some(b'\\') => value.push(*octets.next()?),
            Some(&octet) => value.push(octet),
        }
    }
}

fn is_value(kind: Value, value: &[u8]) -> bool {
    match kind {
        Value::Keys => {
            let keys: Vec<&[u8]> = value.chunks(2).collect();
            !value.is_empty() && value.len().is_multiple_of(2) && keys.is_sorted_by(|a, b| a < b)
        }
        Value::Protocols => {
            let mut rest = value;
            while let [length, after @ ..] = rest {
                match after.get(usize::from(*length)..) {
                    Some(after) if *length > 0 => rest = after,
                    _ => return false,
                }
            }
            !value.is_empty() && rest.is_empty()
        }
        Value::Nothing => value.is_empty(),
        Value::Port => value.len() == 2,
        Value::Ipv4 => !value.is_empty() && value.len().is_multiple_of(4),
        Value::Ipv6 => !value.is_empty() && value.len().is_multiple_of(16),
        Value::Template => is_template(value),
        Value::Base64 | Value::Octets => true,
    }
}

/// Whether this is a relative URI template with the variable `dns` (RFC 9461 §5, RFC 6570).
fn is_template(value: &[u8]) -> bool {
    let Some(text) = std::str::from_utf8(value).ok().filter(|text| text.starts_with('/')) else {
        return false;
    };
    let mut has_dns = false;
    for (index, part) in text.split('{').enumerate() {
        let literal = match (index, part.split_once('}')) {
            (0, _) => part,
            (_, Some((expression, literal))) => {
                let variables = expression.strip_prefix(['+', '#', '.', '/', ';', '?', '&']).unwrap_or(expression);
                for variable in variables.split(',') {
                    let name = variable_name(variable);
                    if !is_variable(name) {
                        return false;
                    }
                    has_dns |= name == "dns";
                }
                literal
            }
            (_, None) => return false,
        };
        if !are_percents_whole(literal) {
            return false;
        }
    }
    has_dns
}

/// A variable without its modifier: `*`, or `:` and up to four digits (RFC 6570 §2.4).
fn variable_name(variable: &str) -> &str {
    match variable.split_once(':') {
        Some((name, length))
            if (1..=4).contains(&length.len())
                && !length.starts_with('0')
                && length.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        _ => variable.strip_suffix('*').unwrap_or(variable),
    }
}

fn is_variable(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'%' | b'.');
    !name.starts_with('.')
        && !name.ends_with('.')
        && !name.is_empty()
        && name.bytes().all(is_letter)
        && are_percents_whole(name)
}

/// Whether two hexadecimal digits follow each percent sign.
fn are_percents_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|after| after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

fn kind(key: u16) -> Value {
    KEYS.get(usize::from(key)).map_or(Value::Octets, |&(_, kind)| kind)
}

/// The number of a key: its name, or `key` and a number without zeros before it (RFC 9460 §2.1).
fn key_number(text: &str) -> Option<u16> {
    if let Some(number) = KEYS.iter().position(|(name, _)| *name == text) {
        return Some(number as u16);
    }
    let digits = text.strip_prefix("key")?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if is_number { digits.parse().ok() } else { None }
}

fn key_name(key: u16) -> String {
    KEYS.get(usize::from(key)).map_or_else(|| format!("key{key}"), |(name, _)| (*name).to_owned())
}
