//! Zone files: the same zone of any size, with its steered names as each server wants them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use crate::geography::{PLACES, Place};
use crate::sets::{PLAIN, STEERED, ZONE};

/// TTL of steered names in seconds, the same for all servers.
pub const STEERED_TTL: u32 = 30;

/// What stands at the steered names.
#[derive(Debug, Clone, Copy)]
pub enum Steering {
    /// The addresses of one place: for servers that cannot steer, that steer aside of the zone, or that have a zone a place.
    At(&'static Place),
    /// References to gdnsd's plugin.
    Gdnsd,
}

/// Writes the zone with so many host names, each with an A and an AAAA record.
pub fn write(path: &Path, names: u32, steering: Steering) -> io::Result<()> {
    let mut zone = BufWriter::new(File::create(path)?);
    write!(
        zone,
        "$ORIGIN {ZONE}.\n\
         $TTL 300\n\
         @ SOA ns1 hostmaster 1 3600 600 86400 60\n\
         @ NS ns1\n\
         @ NS ns2\n\
         ns1 A 192.0.2.53\n\
         ns1 AAAA 2001:db8::53\n\
         ns2 A 198.51.100.53\n\
         ns2 AAAA 2001:db8:1::53\n\
         @ A 192.0.2.80\n\
         @ TXT \"v=spf1 -all\"\n\
         *.wild A 192.0.2.99\n\
         www CNAME h000000\n"
    )?;
    for number in 1..=3 {
        writeln!(zone, "{PLAIN} {STEERED_TTL} A 192.0.2.{number}")?;
    }
    for steered in STEERED {
        let label = steered.label;
        match steering {
            Steering::Gdnsd => writeln!(zone, "{label} {STEERED_TTL} DYNA geoip!{label}")?,
            Steering::At(place) => {
                for address in place.addresses(steered) {
                    writeln!(zone, "{label} {STEERED_TTL} A {address}")?;
                }
            }
        }
    }
    for number in 0..names {
        let address = Ipv4Addr::from(0x0a00_0000 + number);
        writeln!(
            zone,
            "h{number:06} A {address}\nh{number:06} AAAA 2001:db8:{:x}:{:x}::1",
            number >> 16,
            number & 0xffff
        )?;
    }
    zone.flush()
}

/// Writes the zone of servers that know nothing of places.
pub fn write_plain(path: &Path, names: u32) -> io::Result<()> {
    write(path, names, Steering::At(&PLACES[0]))
}
