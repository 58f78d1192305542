//! Certificates that are renewed, broken, or at their end.

use std::fs;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use thalweg::feed::inputs::load;

use super::clients::{ask, exchange, is_play, is_served, play, quic, quic_query, shown, tls};
use super::support::installation::Installation;
use super::{Installed, clients, installed};

/// Writes a certificate and its key, which counts in these years.
pub(crate) fn renew(installation: &Installation, name: &str, (from, until): (i32, i32)) {
    let (chain, key) = made(name, (from, until));
    installation.replace("cert.pem", &chain);
    installation.replace("key.pem", &key);
}

fn made(name: &str, (from, until): (i32, i32)) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn a_renewed_certificate_is_shown_from_the_next_handshake_on() {
    let Installed { installation, served } = installed("");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut before, mut web_before) = (tls(served.tls(), b"dot"), tls(served.https(), b"h2"));
    let endpoint = runtime.block_on(async { clients::endpoint() });
    let quic_before = runtime.block_on(quic(&endpoint, served.quic()));
    assert!(is_play(ask(&mut before, &play())));
    renew(&installation, "ns2.live.example", (2020, 2049));
    let told = served.reload().expect("a good certificate");
    assert!(told.contains("certificate"), "{told}");
    let after = tls(served.tls(), b"dot");
    assert_ne!(shown(&after), shown(&before));
    assert_eq!(shown(&tls(served.https(), b"h2")), shown(&after));
    let quic_after = runtime.block_on(quic(&endpoint, served.quic()));
    let of_quic = |connection: &quinn::Connection| {
        let chain = connection.peer_identity().unwrap().downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>();
        chain.unwrap()[0].to_vec()
    };
    assert_eq!((of_quic(&quic_before), of_quic(&quic_after)), (shown(&web_before), shown(&after)));
    // What is open goes on.
    assert!(is_play(ask(&mut before, &play())));
    assert!(runtime.block_on(is_served(&quic_before)));
    assert!(runtime.block_on(exchange(&quic_after, &quic_query(&play()))).is_some());
    web_before.conn.send_close_notify();
}

#[test]
fn a_broken_certificate_leaves_the_one_before() {
    let Installed { installation, served } = installed("");
    let before = shown(&tls(served.tls(), b"dot"));
    let [chain, key] = ["cert.pem", "key.pem"].map(|name| fs::read_to_string(installation.path(name)).unwrap());
    let (other, _) = made("ns2.live.example", (2020, 2049));
    for (broken_chain, broken_key) in [(other.as_str(), key.as_str()), ("", &key), (&chain, "no key")] {
        installation.replace("cert.pem", broken_chain);
        installation.replace("key.pem", broken_key);
        // Whatever it says: who connects sees no difference.
        let told = served.reload();
        let told = told.unwrap_or_else(|error| error);
        assert!(!told.is_empty());
        let mut stream = tls(served.tls(), b"dot");
        assert_eq!(shown(&stream), before, "{told}");
        assert!(is_play(ask(&mut stream, &play())));
    }
    renew(&installation, "ns2.live.example", (2020, 2049));
    served.reload().unwrap();
    assert_ne!(shown(&tls(served.tls(), b"dot")), before);
}

#[test]
fn a_certificate_that_has_expired_is_shown_with_a_warning() {
    let Installed { installation, served } = installed("");
    let before = shown(&tls(served.tls(), b"dot"));
    renew(&installation, "ns1.live.example", (2020, 2021));
    let told: Vec<String> =
        load(&installation.config(), &[], None).diagnostics.iter().map(|diagnostic| diagnostic.render(false)).collect();
    let warning = told.iter().find(|told| told.contains("cert.pem")).unwrap_or_else(|| panic!("{told:#?}"));
    for part in ["warning: the certificate has expired ", "--> ", "cert.pem", "renew it"] {
        assert!(warning.contains(part), "{warning}");
    }
    served.reload().unwrap();
    let mut stream = tls(served.tls(), b"dot");
    assert_ne!(shown(&stream), before);
    assert!(is_play(ask(&mut stream, &play())));
}
