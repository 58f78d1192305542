//! Files of keys, as BIND's `dnssec-keygen` writes them and other programs read them: `Kzone.+013+12345.key`, the DNSKEY record, and
//! `.private`, the private half and the times.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{Algorithm, KeyMaterial, Role, key_tag};
use super::timing::Times;
use crate::name::{Name, Printed};

/// What is wrong with a file of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1 on; 0 if it is about the file as a whole.
    pub line: usize,
    /// What it is.
    pub message: String,
}

/// The name that the files of a key have, without what is behind the last dot.
pub fn stem(zone: &Name, material: &KeyMaterial) -> String {
    let tag = key_tag(&material.dnskey());
    format!("K{}+{:03}+{tag:05}", Printed(&zone.lower_wire()), material.algorithm as u8)
}

/// The zone's name in the name of a file of a key; none if it is no such name.
pub fn zone_of(file: &str) -> Option<Name> {
    let stem = file.strip_prefix('K')?.strip_suffix(".private")?;
    let (rest, tag) = stem.rsplit_once('+')?;
    let (zone, algorithm) = rest.rsplit_once('+')?;
    let is_number = |text: &str, digits| text.len() == digits && text.bytes().all(|octet| octet.is_ascii_digit());
    (is_number(tag, 5) && is_number(algorithm, 3)).then(|| Name::parse(zone, None).ok()).flatten()
}

/// Reads both files of a key.
pub fn read(key: &str, private: &str) -> Result<(KeyMaterial, Times), Fault> {
    let whole = |message: &str| Fault { line: 0, message: message.to_owned() };
    let (role, algorithm, public) = read_public(key)?;
    let mut times = Times::default();
    let mut secret = None;
    for (line, text) in (1..).zip(private.lines()) {
        let fault = |message: String| Fault { line, message };
        let Some((word, value)) = text.split_once(':') else { continue };
        let (value, _comment) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        match word.trim() {
            "Algorithm" if value.parse() != Ok(algorithm as u8) => {
                return Err(fault(format!("algorithm {value} is not that of the public key, {}", algorithm as u8)));
            }
            "PrivateKey" => {
                secret = Some(STANDARD.decode(value).map_err(|error| fault(format!("the key is no base64: {error}")))?);
            }
            word => {
                if let Some(place) = time(&mut times, word) {
                    *place = Some(
                        read_time(value)
                            .ok_or_else(|| fault(format!("`{value}` is no time: write YYYYMMDDHHMMSS, in UTC")))?,
                    );
                }
            }
        }
    }
    let private = secret.ok_or_else(|| whole("there is no line `PrivateKey:`"))?.into();
    Ok((KeyMaterial { algorithm, role, public, private }, times))
}

fn read_public(key: &str) -> Result<(Role, Algorithm, Box<[u8]>), Fault> {
    let lines = (1..).zip(key.lines()).filter(|(_, text)| !text.trim_start().starts_with(';'));
    for (line, text) in lines {
        let fault = |message: String| Fault { line, message };
        let Some((_, data)) = text.split_once("DNSKEY") else { continue };
        let mut words = data.split_whitespace();
        let mut number = |what: &str| {
            let word = words.next().unwrap_or_default();
            word.parse::<u16>().map_err(|_| fault(format!("`{word}` is no {what}")))
        };
        let (flags, protocol, algorithm) = (number("flags")?, number("protocol")?, number("algorithm")?);
        let role = Role::of(flags).filter(|_| protocol == 3);
        let role =
            role.ok_or_else(|| fault(format!("flags {flags} are not those of a key that signs a zone: 256 or 257")))?;
        let known = u8::try_from(algorithm).ok().and_then(Algorithm::of);
        let algorithm = known.ok_or_else(|| {
            fault(format!("algorithm {algorithm} is not signed with here: take 13 (ECDSA P-256) or 15 (Ed25519)"))
        })?;
        let base64: String = words.collect();
        let public = STANDARD.decode(base64).map_err(|error| fault(format!("the key is no base64: {error}")))?;
        return Ok((role, algorithm, public.into()));
    }
    Err(Fault { line: 0, message: "there is no DNSKEY record".to_owned() })
}

/// The text of the file with the DNSKEY record.
pub fn write_public(zone: &Name, material: &KeyMaterial) -> String {
    let tag = key_tag(&material.dnskey());
    let what = match material.role {
        Role::KeySigning => "key-signing",
        Role::ZoneSigning => "zone-signing",
    };
    format!(
        "; This is a {what} key, keyid {tag}, for {zone}\n{zone} IN DNSKEY {} 3 {} {}\n",
        material.role.flags(),
        material.algorithm as u8,
        STANDARD.encode(&material.public)
    )
}

/// The text of the file with the private half and the times.
pub fn write_private(material: &KeyMaterial, times: &Times) -> String {
    let mut text = format!(
        "Private-key-format: v1.3\nAlgorithm: {} ({})\nPrivateKey: {}\n",
        material.algorithm as u8,
        material.algorithm.mnemonic(),
        STANDARD.encode(&material.private)
    );
    let mut times = *times;
    for word in TIMES {
        if let Some(at) = time(&mut times, word).and_then(|place| *place) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{word}: {}", write_time(at));
        }
    }
    text
}

const TIMES: [&str; 7] = ["Created", "Publish", "Activate", "Inactive", "Delete", "SyncPublish", "SyncDelete"];

/// Where the time is kept that a file calls so.
fn time<'t>(times: &'t mut Times, word: &str) -> Option<&'t mut Option<u64>> {
    match word {
        "Created" => Some(&mut times.created),
        "Publish" => Some(&mut times.publish),
        "Activate" => Some(&mut times.activate),
        "Inactive" => Some(&mut times.inactive),
        "Delete" => Some(&mut times.delete),
        "SyncPublish" => Some(&mut times.sync_publish),
        "SyncDelete" => Some(&mut times.sync_delete),
        _ => None,
    }
}

/// Days from 1970 to the first day of a month of the Gregorian calendar (Hinnant: chrono-compatible low-level date algorithms).
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, month) = (year.div_euclid(400), (month + 9) % 12);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Seconds since 1970 of YYYYMMDDHHMMSS.
pub fn read_time(text: &str) -> Option<u64> {
    if text.len() != 14 || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().ok();
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(8..10)?, part(10..12)?, part(12..14)?);
    let is_time = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    let seconds = days_of(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    is_time.then(|| u64::try_from(seconds).ok()).flatten()
}

/// YYYYMMDDHHMMSS of seconds since 1970.
pub fn write_time(seconds: u64) -> String {
    let (days, rest) = ((seconds / 86_400) as i64 + 719_468, seconds % 86_400);
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_written_is_read_as_it_was() {
        let zone = Name::parse("live.example.", None).unwrap();
        for algorithm in Algorithm::ALL {
            let material = KeyMaterial::generate(algorithm, Role::KeySigning).unwrap();
            let times = Times { publish: Some(1_795_484_400), delete: Some(951_782_400), ..Times::default() };
            let (read, read_times) = read(&write_public(&zone, &material), &write_private(&material, &times)).unwrap();
            assert_eq!((read.dnskey(), &read.private, read_times), (material.dnskey(), &material.private, times));
            let stem = stem(&zone, &material);
            assert_eq!(zone_of(&format!("{stem}.private")), Some(zone.clone()), "{stem}");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (text, seconds) in
            [("19700101000000", 0), ("20000229000000", 951_782_400), ("20261124014000", 1_795_484_400)]
        {
            assert_eq!((read_time(text), &*write_time(seconds)), (Some(seconds), text));
        }
        for wrong in ["", "2026", "20261324014000", "2026112401400x"] {
            assert_eq!(read_time(wrong), None, "{wrong}");
        }
    }
}
