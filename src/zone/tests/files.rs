//! Zones of several files, and records that are made from one line.

use super::super::{Inclusion, Records, Zone, read};
use super::{HEAD, lines, name, no_files, with_head};
use crate::diagnostic::{Diagnostic, Source};
use crate::name::Printed;

/// Reads the first of these files, which may include the others.
fn read_files(files: &[(&str, &str)]) -> (Records, Vec<Diagnostic>) {
    let sources: Vec<Source> = files.iter().map(|(name, text)| Source::new(*name, *text)).collect();
    let mut open = |inclusion: &Inclusion<'_>| match sources.iter().find(|it| it.name.as_bytes() == inclusion.path) {
        Some(source) => Ok(source.clone()),
        None => no_files(inclusion),
    };
    read(&sources[0], &name("live.example."), &mut open)
}

/// `owner TTL last-octet`, for records of addresses; the owner without the zone's name.
fn shown(records: &Records) -> Vec<String> {
    let record = |record: super::super::Record<'_>| {
        let owner = Printed(record.owner).to_string().replace(".live.example.", "");
        format!("{owner} {} {}", record.ttl, record.rdata.last().copied().unwrap_or_default())
    };
    records.iter().map(record).collect()
}

#[test]
fn an_included_file_gives_its_records_and_ttl_but_neither_origin_nor_owner() {
    let zone =
        "$TTL 5\na A 192.0.2.1\n$INCLUDE one\n A 192.0.2.2\nb A 192.0.2.3\n$INCLUDE \"two\" sub ; text\nc A 192.0.2.4";
    let one = " A 192.0.2.11\n$ORIGIN q\n$TTL 7\nx A 192.0.2.12";
    let two = "x A 192.0.2.21\n$INCLUDE one @\n A 192.0.2.22\n";
    let (records, problems) = read_files(&[("z", zone), ("one", one), ("two", two)]);
    assert_eq!(lines(&problems), [""; 0]);
    let expected = [
        "a 5 1",
        "a 5 11",
        "x.q 7 12",
        "a 7 2",
        "b 7 3",
        "x.sub 7 21",
        "x.sub 7 11",
        "x.q.sub 7 12",
        "x.sub 7 22",
        "c 7 4",
    ];
    assert_eq!(shown(&records), expected);
}

#[test]
fn messages_name_the_included_file_and_who_includes_it() {
    let (records, problems) = read_files(&[
        ("z", &with_head("$INCLUDE one\n\n$INCLUDE two\nq A x\n")),
        ("one", "a A 192.0.2.256\nb A 192.0.2.1\nb CNAME c\n"),
        ("two", "\n$INCLUDE one sub\n"),
    ]);
    let address = "(write four numbers from 0 to 255: `192.0.2.1`)";
    let expected = [
        format!("one:1:5: error: `192.0.2.256` is not an IPv4 address, included by z:8 {address}"),
        format!("one:1:5: error: `192.0.2.256` is not an IPv4 address, included by two:2, included by z:10 {address}"),
        format!("z:11:5: error: `x` is not an IPv4 address {address}"),
    ];
    assert_eq!(lines(&problems), expected);
    let (_, findings) = Zone::build(&records, &[]);
    let expected = ["live.example.", "sub.live.example."].map(|origin| {
        let by = if origin.starts_with("sub") { "two:2, included by z:10" } else { "z:8" };
        format!(
            "one:3:3: error: `b.{origin}` has a CNAME beside other data: A, included by {by} \
             (an alias has no other records; move one of the two to another name)"
        )
    });
    assert_eq!(lines(&findings), expected);
}

#[test]
fn what_cannot_be_included_is_said_at_the_directive() {
    let written = "(write `$INCLUDE file`, or `$INCLUDE file origin`)";
    for (text, expected) in [
        ("$INCLUDE", format!("z:1:1: error: `$INCLUDE` lacks its file {written}")),
        ("$INCLUDE a b c", format!("z:1:14: error: `$INCLUDE` takes a file and an origin {written}")),
        ("$INCLUDE a b..", "z:1:12: error: a label is empty".to_owned()),
        ("$INCLUDE a", "z:1:10: error: there is no such file (write it)".to_owned()),
        ("$INCLUDE z", "z:1:10: error: `z` includes itself (take one of the `$INCLUDE` lines out)".to_owned()),
        ("$INCLUD a", "z:1:1: error: unknown directive `$INCLUD` (did you mean `$INCLUDE`?)".to_owned()),
        ("$GENERAT a", "z:1:1: error: unknown directive `$GENERAT` (did you mean `$GENERATE`?)".to_owned()),
    ] {
        assert_eq!(lines(&read_files(&[("z", text)]).1), [expected], "{text}");
    }
}

#[test]
fn files_that_include_each_other_are_found_out() {
    let (_, problems) = read_files(&[("z", "$INCLUDE a"), ("a", "\n$INCLUDE b"), ("b", "$INCLUDE a")]);
    let expected =
        "b:1:10: error: `a` includes itself, included by a:2, included by z:1 (take one of the `$INCLUDE` lines out)";
    assert_eq!(lines(&problems), [expected]);
}

#[test]
fn depth_and_number_of_included_files_are_bounded() {
    // Each time another text, as if the file had changed.
    let mut open = |_: &Inclusion<'_>| Ok(Source::new("deeper", "$INCLUDE deeper\n"));
    let (_, problems) = read(&Source::new("z", "$INCLUDE deeper\n"), &name("live.example."), &mut open);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().starts_with("deeper:1:10: error: files include each other more than 16 deep"));

    let many = "$INCLUDE a\n".repeat(10_001);
    let (_, problems) = read_files(&[("z", &many), ("a", "")]);
    assert_eq!(lines(&problems), ["z:10001:10: error: more than 10000 files are included (join some of them)"]);
}

#[test]
fn a_line_generates_records() {
    let text = "$TTL 5\nq A 192.0.2.9\n$GENERATE 1-5/2 h${10,3}.$ 60 IN A 192.0.2.$\n A 192.0.2.8\n\
                $ORIGIN sub\n$GENERATE 1-1 $ TXT \"a\\\"b $\\\" c\"\n";
    let (records, problems) = read_files(&[("z", text)]);
    assert_eq!(lines(&problems), [""; 0]);
    let expected = ["q 5 9", "h011.1 60 1", "h013.3 60 3", "h015.5 60 5", "q 5 8", "1.sub 5 99"];
    assert_eq!(shown(&records), expected);
    let text = records.iter().last().map(|record| record.rdata.to_vec());
    assert_eq!(text.as_deref(), Some(&b"\x01a\x03b 1\x01c"[..]));
}

#[test]
fn what_cannot_be_generated_is_said_once() {
    let written = "write `$GENERATE start-stop[/step] owner [TTL] [class] type data`, data of several words in quotes";
    let counter = "write `$`, `${offset}`, `${offset,width}` or `${offset,width,base}`, the base one of d, o, x, X, n, N; \
                   `\\$` for a dollar sign";
    for (text, expected) in [
        ("", format!("z:8:1: error: `$GENERATE` lacks its range or its owner ({written})")),
        ("1-2 a$", format!("z:8:1: error: `$GENERATE` lacks its type or its data ({written})")),
        ("1-2 a$ MX 1 m$", format!("z:8:23: error: the data of `$GENERATE` are one word ({written})")),
        (
            "2-1 a$ A 192.0.2.$",
            "z:8:11: error: `2-1` is not a range (write `start-stop` or `start-stop/step`, the step at least 1)"
                .to_owned(),
        ),
        (
            "255-300 a$ A 192.0.2.$",
            "z:8:24: error: `192.0.2.256` is not an IPv4 address, when the counter is 256 \
             (write four numbers from 0 to 255: `192.0.2.1`)"
                .to_owned(),
        ),
        ("1-2 a${0,2,q} A 192.0.2.$", format!("z:8:15: error: this is no counter ({counter})")),
        ("1-2 a${2147483646} A 192.0.2.$", format!("z:8:11: error: the counter 2 gets out of range ({counter})")),
        (
            "1-2 $. A 192.0.2.$",
            "z:8:15: error: `1.` is outside the zone `live.example.` (a name that ends with a dot is not continued)"
                .to_owned(),
        ),
        ("1-2 $..a A 192.0.2.$", "z:8:15: error: a label is empty, when the counter is 1".to_owned()),
        ("1-2 $ OPT x", "z:8:17: error: `OPT` is a type of messages, not of records".to_owned()),
        (
            "0-1048576 $ A 192.0.2.1",
            "z:8:11: error: more than 1048576 records are generated in this zone (generate fewer records)".to_owned(),
        ),
    ] {
        let text = format!("{HEAD}$GENERATE {text}\n");
        assert_eq!(lines(&read_files(&[("z", &text)]).1), [expected], "{text}");
    }
}
