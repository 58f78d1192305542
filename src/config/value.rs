//! What one key may be set to: each function reads one kind of value, or says what is wrong with it.
#![deny(clippy::disallowed_methods)]

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, nearest};
use crate::geo::{Position, Prefix, PrefixError};
use crate::name::Name;
use crate::pool::{Bitrate, Template};

use super::preset::Presets;
use super::tree::{Item, Value};
use super::units;

/// A value, or what is wrong with what was written.
pub(super) type Reading<T> = Result<T, Wrong>;

/// What is wrong with a value, and what to do: an error whose place the caller knows.
pub(super) struct Wrong {
    message: String,
    help: Option<String>,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub(super) fn help(self, text: impl Into<String>) -> Self {
        Self { help: Some(text.into()), ..self }
    }

    pub(super) fn maybe_help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }
}

impl From<Wrong> for Diagnostic {
    fn from(wrong: Wrong) -> Self {
        Self::error(wrong.message).maybe_help(wrong.help)
    }
}

/// Any string.
pub(super) fn text(item: &Item) -> Reading<String> {
    let found = string(item, "a string").map_err(|wrong| wrong.maybe_help(quoted(item)))?;
    Ok(found.to_owned())
}

/// A URL with placeholders in it.
pub(super) fn template(item: &Item) -> Reading<Template> {
    let text = text(item)?;
    Template::parse(&text).map_err(|wrong| {
        let known = Template::PLACEHOLDERS.map(|word| format!("{{{word}}}")).join(", ");
        Wrong::new(format!("`{wrong}` stands for nothing in a URL")).help(format!("what can stand there: {known}"))
    })
}

/// A string of 1 to `most` octets.
pub(super) fn short_text(item: &Item, most: usize) -> Reading<String> {
    let found = text(item)?;
    match found.len() {
        0 => Err(wrong(item, "a text").help("leave the key out to tell nothing")),
        length if length > most => Err(Wrong::new(format!("{length} octets, at most {most} are allowed"))),
        _ => Ok(found),
    }
}

/// A word of a list of areas.
pub(super) fn area(item: &Item) -> Reading<String> {
    match item.value {
        // The number of an autonomous system, as regions have it.
        Value::Integer(number) => Err(wrong(item, "an area").help(write(format!("AS{number}")))),
        _ => text(item),
    }
}

/// The path of a file or directory.
pub(super) fn path(item: &Item) -> Reading<PathBuf> {
    match string(item, "a path").map_err(|wrong| wrong.maybe_help(quoted(item)))? {
        "" => Err(wrong(item, "a path")),
        text => Ok(PathBuf::from(text)),
    }
}

/// A number or a boolean as the string that was meant.
fn quoted(item: &Item) -> Option<String> {
    let is_scalar = !matches!(item.value, Value::Array(_) | Value::Table(_));
    is_scalar.then(|| write(item.place.text()))
}

/// One of a few words.
pub(super) fn word<'a>(item: &Item, known: &[&'a str]) -> Reading<&'a str> {
    let quoted: Vec<String> = known.iter().map(|word| format!("`\"{word}\"`")).collect();
    let list = match quoted.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        few => few.concat(),
    };
    let found = string(item, &list)?;
    known.iter().find(|word| **word == found).copied().ok_or_else(|| {
        let meant = nearest(found, known.iter().copied());
        wrong(item, &list).maybe_help(meant.map(write))
    })
}

/// The name of a preset by which exporters are read.
pub(super) fn preset(item: &Item, presets: &Presets) -> Reading<String> {
    let found = string(item, "the name of a preset")?;
    if presets.contains_key(found) {
        return Ok(found.to_owned());
    }
    let names = presets.keys().map(String::as_str);
    let help = did_you_mean(found, names.clone())
        .unwrap_or_else(|| format!("there are {}", names.collect::<Vec<_>>().join(", ")));
    Err(Wrong::new(format!("there is no preset `{found}` to read the exporter by")).help(help))
}

/// `true` or `false`.
pub(super) fn boolean(item: &Item) -> Reading<bool> {
    match &item.value {
        Value::Boolean(is_true) => Ok(*is_true),
        Value::Variable(text) => text.parse().map_err(|_| wrong(item, "`true` or `false`")),
        _ => Err(wrong(item, "`true` or `false`")),
    }
}

/// A whole number of a range.
pub(super) fn whole(item: &Item, range: &RangeInclusive<u32>) -> Reading<u32> {
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    let number = match &item.value {
        Value::Integer(number) => Some(*number),
        Value::Variable(text) => text.parse().ok(),
        _ => None,
    };
    let number = number.and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number));
    number.ok_or_else(|| wrong(item, &expected))
}

/// `"auto"` = none, or a whole number of a range.
pub(super) fn auto_or_whole(item: &Item, range: &RangeInclusive<u32>) -> Reading<Option<u32>> {
    if let Value::String(text) | Value::Variable(text) = &item.value
        && text == "auto"
    {
        return Ok(None);
    }
    let expected = format!("`\"auto\"` or a whole number from {} to {}", range.start(), range.end());
    whole(item, range).map(Some).map_err(|_| wrong(item, &expected))
}

/// A share of a capacity: more than 0, at most 1.
pub(super) fn share(item: &Item) -> Reading<f64> {
    let expected = "a share: a number above 0 and up to 1";
    let value = number(item).ok_or_else(|| {
        let percent = match &item.value {
            Value::String(text) | Value::Variable(text) => text.trim_end().strip_suffix('%'),
            _ => None,
        };
        let percent = percent.and_then(|digits| digits.trim().parse().ok());
        wrong(item, expected).maybe_help(percent.and_then(spell_percent))
    })?;
    if value > 0.0 && value <= 1.0 { Ok(value) } else { Err(wrong(item, expected).maybe_help(spell_percent(value))) }
}

fn spell_percent(percent: f64) -> Option<String> {
    // Below, it may as well be a share above 1.
    (5.0..=100.0).contains(&percent).then(|| format!("{percent} % is written `{}`", percent / 100.0))
}

/// A number from 0 to 1, both included.
pub(super) fn fraction(item: &Item) -> Reading<f64> {
    let expected = "a number from 0 to 1";
    match number(item) {
        Some(value) if (0.0..=1.0).contains(&value) => Ok(value),
        value => Err(wrong(item, expected).maybe_help(value.and_then(spell_percent))),
    }
}

/// A number of cores, a quota among them: above 0.
pub(super) fn cores(item: &Item) -> Reading<f64> {
    let found = number(item).filter(|value| *value > 0.0 && *value <= 4096.0);
    found.ok_or_else(|| wrong(item, "a number of cores, such as `4` or `1.5`"))
}

/// A distance in milliseconds, not negative: a number without a unit.
pub(super) fn milliseconds(item: &Item) -> Reading<f64> {
    // No round trip on earth is longer.
    const MOST: f64 = 10_000.0;
    let expected = "a number of milliseconds from 0 to 10000";
    match number(item) {
        Some(value) if (0.0..=MOST).contains(&value) => Ok(value),
        Some(_) => Err(wrong(item, expected)),
        None => {
            let time = string(item, expected).ok().and_then(|text| units::duration(text).ok());
            let bare = time.map(|time| format!("write `{}`, without a unit", time.as_millis()));
            Err(wrong(item, expected).maybe_help(bare))
        }
    }
}

/// How often the fair share may be exceeded: more than 1.
pub(super) fn bound(item: &Item) -> Reading<f64> {
    let help = "1.25 lets a node have a quarter more than its fair share; at 1 every key would move with every other";
    let found = number(item).filter(|value| *value > 1.0 && *value <= 100.0);
    found.ok_or_else(|| wrong(item, "a number above 1 and up to 100").help(help))
}

/// A time of a range, with its unit.
pub(super) fn duration(item: &Item, range: &RangeInclusive<Duration>) -> Reading<Duration> {
    let expected = "a duration such as `\"30s\"`; the units are `ms`, `s`, `m` and `h`";
    let found = match &item.value {
        // A number without a unit is read only to spell it right.
        Value::Integer(_) | Value::Float(_) => units::duration(item.place.text()),
        _ => units::duration(string(item, expected)?),
    };
    let value = found.map_err(|spelling| wrong(item, expected).maybe_help(spelling.map(write)))?;
    if range.contains(&value) {
        return Ok(value);
    }
    let bounds = (units::print_duration(*range.start()), units::print_duration(*range.end()));
    Err(Wrong::new(format!("{} is not from {} to {}", shown(item), bounds.0, bounds.1)))
}

/// A TTL: whole seconds, from 1 to a day, with a unit.
pub(super) fn ttl(item: &Item) -> Reading<u32> {
    let day = Duration::from_secs(86_400);
    let value = duration(item, &(Duration::ZERO..=Duration::MAX))?;
    if value.subsec_nanos() != 0 {
        return Err(wrong(item, "a TTL: whole seconds, such as `\"3s\"`"));
    }
    if value.is_zero() || value > day {
        return Err(Wrong::new(format!("the TTL {} is not from 1s to 24h", shown(item))));
    }
    Ok(value.as_secs() as u32)
}

/// A bit rate above 0, with its unit.
pub(super) fn bitrate(item: &Item) -> Reading<Bitrate> {
    let expected = "a bit rate such as `\"950Mbit/s\"`";
    let units = "write it with one of the units bit/s, kbit/s, Mbit/s, Gbit/s, Tbit/s (a prefix is a factor of 1000)";
    let found = match &item.value {
        Value::Integer(_) | Value::Float(_) => units::bitrate(item.place.text()),
        _ => units::bitrate(string(item, expected)?),
    };
    let value =
        found.map_err(|spelling| wrong(item, expected).help(spelling.map_or_else(|| units.to_owned(), write)))?;
    if value.0 > 0.0 { Ok(value) } else { Err(Wrong::new("the bit rate must be above 0")) }
}

/// A size in memory of a range, in octets, with its unit.
pub(super) fn size(item: &Item, range: &RangeInclusive<u32>) -> Reading<u32> {
    let expected = "a size such as `\"64KiB\"`; the units are `KiB` and `MiB`";
    let found = match &item.value {
        Value::Integer(_) | Value::Float(_) => units::size(item.place.text()),
        _ => units::size(string(item, expected)?),
    };
    let value = found.map_err(|spelling| wrong(item, expected).maybe_help(spelling.map(write)))?;
    if range.contains(&value) {
        return Ok(value);
    }
    let bounds = (units::print_size(*range.start()), units::print_size(*range.end()));
    Err(Wrong::new(format!("{} is not from {} to {}", shown(item), bounds.0, bounds.1)))
}

/// A point on the globe: `[latitude, longitude]`.
pub(super) fn position(item: &Item) -> Reading<Position> {
    let expected = "`[latitude, longitude]` in degrees, such as `[50.1, 8.7]`";
    let Value::Array(items) = &item.value else { return Err(wrong(item, expected)) };
    let [latitude, longitude] = items.as_slice() else { return Err(wrong(item, expected)) };
    let (Some(latitude), Some(longitude)) = (number(latitude), number(longitude)) else {
        return Err(wrong(item, expected));
    };
    let is_latitude = |degrees: f64| (-90.0..=90.0).contains(&degrees);
    let is_longitude = |degrees: f64| (-180.0..=180.0).contains(&degrees);
    if is_latitude(latitude) && is_longitude(longitude) {
        return Ok(Position { latitude, longitude });
    }
    let found = Wrong::new(format!("latitude {latitude}, longitude {longitude} is no point on the globe"));
    Err(if is_latitude(longitude) && is_longitude(latitude) {
        found.help(format!("the latitude comes first: `[{longitude}, {latitude}]`?"))
    } else {
        found.help("latitudes go from -90 to 90, longitudes from -180 to 180")
    })
}

/// A country by its code of ISO 3166-1.
pub(super) fn country(item: &Item) -> Reading<String> {
    code(item, "a country: two capital letters, such as `\"DE\"`", |text| is_letters(text, 2))
}

/// A part of a country by its code of ISO 3166-2.
pub(super) fn subdivision(item: &Item) -> Reading<String> {
    code(item, "a subdivision: country and part, such as `\"US-CA\"`", |text| {
        text.split_once('-').is_some_and(|(country, part)| {
            let is_part = part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            is_letters(country, 2) && (1..=3).contains(&part.len()) && is_part
        })
    })
}

/// A continent by its code.
pub(super) fn continent(item: &Item) -> Reading<String> {
    const CONTINENTS: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];
    code(item, "a continent: AF, AN, AS, EU, NA, OC or SA", |text| CONTINENTS.contains(&text))
}

fn code(item: &Item, expected: &str, is_right: impl Fn(&str) -> bool) -> Reading<String> {
    let found = string(item, expected)?;
    if is_right(found) {
        return Ok(found.to_owned());
    }
    let upper = found.to_uppercase();
    Err(wrong(item, expected).maybe_help(is_right(&upper).then(|| write(upper))))
}

fn is_letters(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// The number of an autonomous system.
pub(super) fn asn(item: &Item) -> Reading<u32> {
    whole(item, &(1..=u32::MAX)).map_err(|_| {
        let digits = match &item.value {
            Value::String(text) => text.trim_start_matches(['A', 'S', 'a', 's', ' ']).parse::<u32>().ok(),
            _ => None,
        };
        wrong(item, "the number of an autonomous system").maybe_help(digits.map(|number| format!("write `{number}`")))
    })
}

/// An address prefix of clients.
pub(super) fn prefix(item: &Item) -> Reading<Prefix> {
    let expected = "a prefix such as `\"192.0.2.0/24\"`";
    string(item, expected)?.parse().map_err(|error| match error {
        PrefixError::Address => wrong(item, expected),
        PrefixError::Length(_) => Wrong::new(format!("{} is not a prefix: {error}", shown(item))),
        PrefixError::HostBits(prefix) => {
            Wrong::new(format!("{} has bits behind the prefix", shown(item))).help(write(prefix.to_string()))
        }
    })
}

/// An absolute domain name, as a value.
pub(super) fn name(item: &Item) -> Reading<Name> {
    domain_name(string(item, "a domain name")?)
}

/// An absolute domain name, with or without the dot at its end.
pub(super) fn domain_name(text: &str) -> Reading<Name> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Wrong::new(format!("`{}` is not a domain name: it contains blanks", text.escape_debug())));
    }
    Name::parse(text, None).map_err(|error| Wrong::new(format!("`{text}` is not a domain name: {error}")))
}

/// What is wrong: not what was expected.
pub(super) fn wrong(item: &Item, expected: &str) -> Wrong {
    Wrong::new(format!("{} is not {expected}", shown(item)))
}

/// The word that was meant, as help.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|known| format!("did you mean `{known}`?"))
}

/// The right spelling of a string, as help.
pub(super) fn write(spelling: impl AsRef<str>) -> String {
    format!("write `\"{}\"`", spelling.as_ref())
}

/// The offending text, if it is short enough to be read in a sentence.
pub(super) fn shown(item: &Item) -> String {
    match &item.value {
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        _ => {
            let text = item.place.text();
            let is_short = text.chars().count() <= 60 && !text.contains('\n');
            if is_short { format!("`{text}`") } else { "this text".to_owned() }
        }
    }
}

/// The text of a string, or of a variable.
pub(super) fn string<'a>(item: &'a Item, expected: &str) -> Reading<&'a str> {
    match &item.value {
        Value::String(text) | Value::Variable(text) => Ok(text),
        _ => Err(wrong(item, expected)),
    }
}

pub(super) fn number(item: &Item) -> Option<f64> {
    let value = match &item.value {
        Value::Integer(number) => *number as f64,
        Value::Float(number) => *number,
        Value::Variable(text) => text.parse().ok()?,
        _ => return None,
    };
    value.is_finite().then_some(value)
}
