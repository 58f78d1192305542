//! Answers in gzip, sound and hostile.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::pool::Access;

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn answer_in(coding: &str, body: &[u8]) -> Server {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n", body.len());
    Server::Answers([head.as_bytes(), body].concat())
}

#[tokio::test(start_paused = true)]
async fn packed_answers_are_read() {
    let (first, second) = BODY.split_at(BODY.len() / 2);
    let whole = packed(BODY.as_bytes());
    // RFC 1952 §2.2: members follow each other, and mean one text.
    let members = [packed(first.as_bytes()), packed(second.as_bytes())].concat();
    for (coding, body) in [("gzip", &whole), ("X-GZIP", &whole), ("gzip", &members), ("identity", &BODY.into())] {
        let counters = outcome_of(answer_in(coding, body)).await.expect("counters");
        assert_eq!(counters.rules[1]["eth0"].value, 737263.0);
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_codings_are_errors() {
    let whole = packed(BODY.as_bytes());
    let bomb = packed(&vec![b'#'; 100 << 20]);
    assert!(bomb.len() < 200_000);
    // Empty members come to nothing, however many there are.
    let nothing = packed(b"").repeat(MAX_BODY / 20 + 1);
    let mut changed = whole.clone();
    changed[4_000] ^= 0x55;
    let mut wrong_sum = whole.clone();
    *wrong_sum.iter_mut().nth_back(6).expect("a checksum") ^= 1;
    let damaged = || ScrapeError::Encoding("its gzip is damaged".to_owned());
    let unasked = |coding: &str| ScrapeError::Encoding(format!("content coding `{coding}` was not asked for"));
    for (coding, body, expected) in [
        ("gzip", bomb.as_slice(), ScrapeError::TooLarge(MAX_BODY)),
        ("gzip", &nothing, ScrapeError::TooLarge(MAX_BODY)),
        ("gzip", &whole[..whole.len() - 9], ScrapeError::Truncated),
        ("gzip", &whole[..5], ScrapeError::Truncated),
        ("gzip", b"", ScrapeError::Truncated),
        ("gzip", &changed, damaged()),
        ("gzip", &wrong_sum, damaged()),
        ("gzip", BODY.as_bytes(), damaged()),
        ("gzip", &[&whole[..], b"more"].concat(), ScrapeError::Truncated),
        ("br", &whole, unasked("br")),
        ("gzip, gzip", &packed(&whole), unasked("gzip, gzip")),
        ("gzip\r\nContent-Encoding: gzip", &packed(&whole), unasked("gzip")),
    ] {
        assert_eq!(outcome_of(answer_in(coding, body)).await, Err(expected), "{coding}, {} octets", body.len());
    }
}

#[tokio::test]
async fn gzip_is_asked_for_where_octets_have_a_way_to_go() {
    for (host, is_asked) in [
        ("127.0.0.9", false),
        ("[::1]", false),
        ("LocalHost", false),
        ("192.0.2.1", true),
        ("[2001:db8::1]", true),
        ("exporter.example", true),
    ] {
        let exporter = Exporter {
            preset: Arc::clone(&embedded_presets()["node"]),
            url: format!("http://{host}:9100/metrics"),
            access: Arc::new(Access::default()),
        };
        let exchange = Exchange::new(&exporter, &Credentials::default(), MAX_TIMEOUT, true);
        assert_eq!(exchange.headers().contains_key("accept-encoding"), is_asked, "{host}");
    }
}
