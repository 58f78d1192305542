//! TSIG against what kdig 3.2 and BIND 9.18 wrote, and both sides against each other.

use std::sync::Arc;

use super::{
    Algorithm, BADKEY, BADTIME, BEFORE_MAC, BEHIND_MAC, Keys, Rejection, SignatureError, Signer, TsigKey, Verifier,
    sign_request,
};
use crate::name::{LookupName, Name};
use crate::wire::query::last_tsig;
use crate::wire::{MAX_STREAM, Query};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A query that kdig signed, and BIND's signed reply.
struct Exchange {
    algorithm: Algorithm,
    /// Seconds since 1970.
    at: u64,
    query: &'static str,
    reply: &'static str,
}

const EXCHANGES: [Exchange; 4] = [
    Exchange {
        algorithm: Algorithm::Sha1,
        at: 1795487209,
        query: "b7b90120000100000000000101650000060001016b04736861310000fa00ff00000000002f09686d61632d7368613100\
                00006b04f5e9012c0014d6800d31690e955802a4cb216cdca5fff8ac489ab7b900000000",
        reply: "b7b98500000100010000000101650000060001c00c000600010000003c001d026e73c00c0168c00c0000000100000001\
                000000010000000100000001016b04736861310000fa00ff00000000002f09686d61632d736861310000006b04f5e901\
                2c0014ce15539a1eb698f23eedae303fe6438405a04896b7b900000000",
    },
    Exchange {
        algorithm: Algorithm::Sha256,
        at: 1795487209,
        query: "73270120000100000000000101650000060001016b067368613235360000fa00ff00000000003d0b686d61632d736861\
                3235360000006b04f5e9012c0020516a91ff7f5cf47918f1a57f2a055187e2b48d629be0c7005e0cb8d20a118f897327\
                00000000",
        reply: "73278500000100010000000101650000060001c00c000600010000003c001d026e73c00c0168c00c0000000100000001\
                000000010000000100000001016b067368613235360000fa00ff00000000003d0b686d61632d7368613235360000006b\
                04f5e9012c00205bd07d39fb32c6b1a44b36dc1736315c3e9e1990d46e4e9dec32f0d1da30de77732700000000",
    },
    Exchange {
        algorithm: Algorithm::Sha384,
        at: 1795487209,
        query: "6ee10120000100000000000101650000060001016b067368613338340000fa00ff00000000004d0b686d61632d736861\
                3338340000006b04f5e9012c0030845198efd9dbb95366fe91a2eeb6885873c8e5fb6edc5ddaffdb3c4ddae98377e0a0\
                6633ecdf8d930e8c9cfb206531396ee100000000",
        reply: "6ee18500000100010000000101650000060001c00c000600010000003c001d026e73c00c0168c00c0000000100000001\
                000000010000000100000001016b067368613338340000fa00ff00000000004d0b686d61632d7368613338340000006b\
                04f5e9012c0030a1c61ad7c9ce8bb46319a6fc6fae7751189a3a3988c6254cf8e7fc471089dcb364fd539467c3c1b709\
                a5ca179e942e9d6ee100000000",
    },
    Exchange {
        algorithm: Algorithm::Sha512,
        at: 1795487209,
        query: "df890120000100000000000101650000060001016b067368613531320000fa00ff00000000005d0b686d61632d736861\
                3531320000006b04f5e9012c004061710079fba00571be25039e30dd2f7ce8efc1b73ab93fdfc581bbd7cc0d13ddc2c0\
                9155e7614df5119d5a670a63c4dfebfcf50ebd12f949d4dc5e158d7e32f8df8900000000",
        reply: "df898500000100010000000101650000060001c00c000600010000003c001d026e73c00c0168c00c0000000100000001\
                000000010000000100000001016b067368613531320000fa00ff00000000005d0b686d61632d7368613531320000006b\
                04f5e9012c0040479dd98a5968bf49e6fdfc64eb22b08cff8b4898db4608eb425ecda963de4b4dc2d7e277a1d462a1b7\
                1b3fae4e200c72ff04054ef04401780ec84236830660f4df8900000000",
    },
];

fn octets(hex: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn key(algorithm: Algorithm) -> TsigKey {
    let name = format!("k.{}.", algorithm.word().trim_start_matches("hmac-"));
    TsigKey::new(Name::parse(&name, None).unwrap(), algorithm, SECRET)
}

fn keys() -> Keys {
    Keys::new(Algorithm::ALL.map(key))
}

/// What the check says of a message, in a word.
fn judge(keys: &Keys, message: &[u8], now: u64) -> &'static str {
    let mut name = LookupName::new();
    let query = Query::read(message, &mut name).unwrap();
    if query.tsig.is_none() {
        return "unread";
    }
    match keys.check(&query, now) {
        Ok(_) => "good",
        Err(Rejection::Malformed) => "malformed",
        Err(Rejection::BadKey(_)) => "bad key",
        Err(Rejection::BadSignature(_)) => "bad signature",
        Err(Rejection::BadTime(_)) => "bad time",
    }
}

#[test]
fn queries_of_kdig_and_replies_of_bind_are_verified_and_changed_ones_are_not() {
    let keys = keys();
    for Exchange { algorithm, at, query, reply } in EXCHANGES {
        let (query, reply) = (octets(query), octets(reply));
        assert_eq!(judge(&keys, &query, at), "good");
        // Any octet that is signed: flags, question, time, fudge. An id that a relay changed is none of them.
        let end = query.len() - 6 - algorithm.mac_length() - 2;
        for place in [2, 13, end - 1, end - 3] {
            let mut changed = query.clone();
            changed[place] ^= 1;
            assert_eq!(judge(&keys, &changed, at), "bad signature", "octet {place}");
        }
        let relayed = [&[9, 9], &query[2..]].concat();
        assert_eq!(judge(&keys, &relayed, at), "good");
        let tsig = last_tsig(&query).unwrap().unwrap();
        let verifier = || Verifier::after(&Arc::new(key(algorithm)), tsig.mac);
        let mut sound = verifier();
        assert_eq!(sound.verify(&reply, at), Ok(()));
        assert!(sound.is_proven());
        let mut changed = reply.clone();
        changed[40] ^= 1;
        assert_eq!(verifier().verify(&changed, at), Err(SignatureError::BadSignature));
        assert_eq!(verifier().verify(&reply, at + 301), Err(SignatureError::BadTime));
        assert_eq!(verifier().verify(&octets("b2d985000000000000000000"), at), Err(SignatureError::Missing));
    }
}

#[test]
fn clocks_may_differ_by_five_minutes_and_keys_by_nothing() {
    let Exchange { at, query, .. } = &EXCHANGES[1];
    let query = octets(query);
    for (now, expected) in [(at - 301, "bad time"), (at - 300, "good"), (at + 300, "good"), (at + 301, "bad time")] {
        assert_eq!(judge(&keys(), &query, now), expected);
    }
    assert_eq!(judge(&Keys::default(), &query, *at), "bad key");
    let name = Name::parse("k.sha256.", None).unwrap();
    let other_algorithm = Keys::new([TsigKey::new(name.clone(), Algorithm::Sha512, SECRET)]);
    assert_eq!(judge(&other_algorithm, &query, *at), "bad key");
    let other_secret = Keys::new([TsigKey::new(name, Algorithm::Sha256, b"another")]);
    assert_eq!(judge(&other_secret, &query, *at), "bad signature");
}

#[test]
fn macs_may_be_cut_to_a_half_and_ten_octets() {
    for Exchange { algorithm, at, query, .. } in EXCHANGES {
        let (query, whole) = (octets(query), algorithm.mac_length());
        let least = (whole / 2).max(10);
        for (length, expected) in [(whole, "good"), (least, "good"), (least - 1, "malformed"), (0, "malformed")] {
            assert_eq!(judge(&keys(), &with_mac_of(&query, whole, length), at), expected, "{algorithm:?} {length}");
        }
        assert_eq!(judge(&keys(), &with_mac_of(&query, whole, whole + 1), at), "malformed");
    }
}

/// The same with a MAC of another length.
fn with_mac_of(query: &[u8], whole: usize, length: usize) -> Vec<u8> {
    let mac = query.len() - BEHIND_MAC - whole;
    let mut changed = query[..mac].to_vec();
    changed.extend(query[mac..].iter().chain(&[0]).take(length.min(whole)));
    changed.resize(mac + length, 0);
    changed.extend(&query[mac + whole..]);
    changed[mac - 2..mac].copy_from_slice(&(length as u16).to_be_bytes());
    let data = BEFORE_MAC + algorithm_length(query, mac) + length + BEHIND_MAC;
    let place = mac - BEFORE_MAC - algorithm_length(query, mac) - 2;
    changed[place..place + 2].copy_from_slice(&(data as u16).to_be_bytes());
    changed
}

fn algorithm_length(query: &[u8], mac: usize) -> usize {
    let tsig = last_tsig(query).unwrap().unwrap();
    assert_eq!(&query[mac..mac + tsig.mac.len()], tsig.mac);
    tsig.algorithm.len()
}

const NOW: u64 = 1_800_000_000;
/// `e. SOA`, as a client would send it.
const QUERY: [u8; 19] = [7, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'e', 0, 0, 6, 0, 1];

/// A client's verifier and a server's signer, after the query.
fn sides(algorithm: Algorithm) -> (Verifier, Signer) {
    let mut query = QUERY.to_vec();
    let verifier = sign_request(&Arc::new(key(algorithm)), &mut query, NOW);
    let mut name = LookupName::new();
    let read = Query::read(&query, &mut name).unwrap();
    let Ok(signer) = keys().check(&read, NOW) else { panic!("the query is signed") };
    assert_eq!(read.verified().problem, None);
    (verifier, signer)
}

/// A reply, and the same signed.
fn reply(signer: Option<&mut Signer>, number: u8) -> Vec<u8> {
    let mut out = vec![0; MAX_STREAM];
    out[..QUERY.len()].copy_from_slice(&QUERY);
    (out[2], out[14 - 1]) = (0x84, b'a' + number);
    let end = signer.map_or(Some(QUERY.len()), |signer| {
        let end = signer.sign(&mut out, QUERY.len(), NOW);
        assert_eq!(end, Some(QUERY.len() + signer.room()), "the room that was asked for");
        end
    });
    out.truncate(end.unwrap());
    out
}

#[test]
fn messages_of_a_reply_are_verified_in_their_order() {
    for algorithm in Algorithm::ALL {
        let (mut verifier, mut signer) = sides(algorithm);
        let messages: Vec<_> = (0..3).map(|number| reply(Some(&mut signer), number)).collect();
        for message in &messages {
            assert_eq!(verifier.verify(message, NOW), Ok(()));
        }
        assert!(verifier.is_proven());
        let (mut other, mut signer) = sides(algorithm);
        let messages: Vec<_> = (0..3).map(|number| reply(Some(&mut signer), number)).collect();
        assert_eq!(other.verify(&messages[0], NOW), Ok(()));
        assert_eq!(other.verify(&messages[2], NOW), Err(SignatureError::BadSignature), "one is missing");
    }
}

#[test]
fn at_most_99_messages_in_a_row_are_unsigned_and_the_next_signature_proves_them() {
    for (unsigned, expected) in [(1, Ok(())), (99, Ok(())), (100, Err(SignatureError::Missing))] {
        let (mut verifier, mut signer) = sides(Algorithm::Sha256);
        assert_eq!(verifier.verify(&reply(None, 0), NOW), Err(SignatureError::Missing), "the first is signed");
        assert_eq!(verifier.verify(&reply(Some(&mut signer), 0), NOW), Ok(()));
        let mut found = Ok(());
        for _ in 0..unsigned {
            let message = reply(None, 1);
            signer.add_unsigned(&message);
            found = found.and(verifier.verify(&message, NOW));
        }
        assert_eq!(found, expected, "{unsigned}");
        assert!(!verifier.is_proven());
        if found.is_ok() {
            assert_eq!(verifier.verify(&reply(Some(&mut signer), 2), NOW), Ok(()));
            assert!(verifier.is_proven());
        }
    }
}

#[test]
fn who_signs_at_another_time_hears_ours_signed() {
    let mut query = QUERY.to_vec();
    let mut verifier = sign_request(&Arc::new(key(Algorithm::Sha256)), &mut query, NOW - 1_000);
    let mut name = LookupName::new();
    let read = Query::read(&query, &mut name).unwrap();
    let Err(Rejection::BadTime(mut signer)) = keys().check(&read, NOW) else { panic!("the time is wrong") };
    let message = reply(Some(&mut signer), 0);
    assert_eq!(verifier.verify(&message, NOW - 1_000), Err(SignatureError::Told(BADTIME)));
    let tsig = last_tsig(&message).unwrap().unwrap();
    assert_eq!((tsig.signed_at(), tsig.other), (NOW - 1_000, &NOW.to_be_bytes()[2..]));
}

#[test]
fn errors_of_keys_and_signatures_come_unsigned() {
    let strange = Arc::new(TsigKey::new(Name::parse("Strange.Key", None).unwrap(), Algorithm::Sha256, SECRET));
    let mut query = QUERY.to_vec();
    let mut verifier = sign_request(&strange, &mut query, NOW);
    let mut name = LookupName::new();
    let read = Query::read(&query, &mut name).unwrap();
    let Err(Rejection::BadKey(record)) = keys().check(&read, NOW) else { panic!("the key is not known") };
    let mut out = vec![0; 512];
    out[..QUERY.len()].copy_from_slice(&QUERY);
    let end = record.append(&mut out, QUERY.len()).unwrap();
    assert_eq!(end, QUERY.len() + record.room());
    assert_eq!(verifier.verify(&out[..end], NOW), Err(SignatureError::Told(BADKEY)));
}
