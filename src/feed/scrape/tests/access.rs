//! What is shown to exporters, and what they must show.

use std::collections::BTreeMap;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::pool::{Access, Authorization, ClientCertificate, Tls};

/// Files that accesses name, relative to here.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: TempDir::new().expect("a temporary directory") }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.directory.path().join(name), text).expect("a new file");
        self
    }

    fn read(&self, access: &Access) -> Result<Credentials, Vec<String>> {
        let read = Credentials::read(access, None, |name| {
            let path = self.directory.path().join(name);
            Some((name.display().to_string(), std::fs::read(path).ok()?))
        });
        read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    async fn outcome(&self, url: String, access: Access) -> Result<Counters, ScrapeError> {
        let credentials = Some(Arc::new(self.read(&access).expect("sound files")));
        let exporter = Exporter { preset: Arc::clone(&embedded_presets()["node"]), url, access: Arc::new(access) };
        let target = Target { node: NodeId(0), exporter, interval: Duration::from_secs(5), credentials };
        outcome_at(target).await
    }
}

fn bearer(file: &str) -> Access {
    Access { authorization: Some(Authorization::Bearer { file: file.into() }), ..Access::default() }
}

fn basic(user: &str, file: &str) -> Access {
    let authorization = Authorization::Basic { user: user.to_owned(), password_file: file.into() };
    Access { authorization: Some(authorization), ..Access::default() }
}

#[tokio::test(start_paused = true)]
async fn tokens_passwords_headers_and_parameters_are_sent() {
    let files = Files::new();
    files.write("token", "a.b-c_d~e+f/g==\n").write("password", "open sesame\r\n");
    let more = Access {
        params: BTreeMap::from([
            ("type".to_owned(), vec!["paths".to_owned(), "a b&c".to_owned()]),
            ("collect[]".to_owned(), vec!["cpu".to_owned()]),
        ]),
        headers: BTreeMap::from([("x-scope-orgid".to_owned(), "tenant 1".to_owned())]),
        ..Access::default()
    };
    for (access, expected) in [
        (bearer("token"), "authorization: Bearer a.b-c_d~e+f/g==\r\n"),
        // RFC 7617 §2 has this example.
        (basic("Aladdin", "password"), "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"),
        (more.clone(), "x-scope-orgid: tenant 1\r\n"),
        (more, "GET /metrics?collect%5B%5D=cpu&type=paths&type=a%20b%26c HTTP/1.1\r\n"),
    ] {
        let address = start(Server::Wants(expected.to_owned())).await;
        let outcome = files.outcome(format!("http://{address}/metrics"), access).await;
        assert!(outcome.is_ok(), "{expected}: {outcome:?}");
    }
    let address = start(Server::Wants("authorization: Bearer other\r\n".to_owned())).await;
    let outcome = files.outcome(format!("http://{address}/metrics"), bearer("token")).await;
    assert_eq!(outcome, Err(ScrapeError::Status(401)));
}

#[tokio::test(start_paused = true)]
async fn what_could_never_be_read_is_not_asked_with_something_else() {
    let address = start(Server::Wants(String::new())).await;
    let mut target = target(0, format!("http://{address}/metrics"), Duration::from_secs(5));
    target.credentials = None;
    assert_eq!(outcome_at(target).await, Err(ScrapeError::Access));
}

fn without_help(problem: &str) -> &str {
    problem.split_once(" (the file").map_or(problem, |(message, _)| message)
}

#[test]
fn broken_files_are_told_without_what_is_in_them() {
    let files = Files::new();
    files
        .write("empty", " \n")
        .write("lines", "hunter2\nhunter2\n")
        .write("octets", b"hunter2\x07")
        .write("text", "hunter2");
    let tls = |tls| Access { tls, ..Access::default() };
    let ca = |file: &str| tls(Tls { ca: Some(file.into()), ..Tls::default() });
    let identity = ClientCertificate { certificate: "text".into(), key: "lines".into() };
    for (access, expected) in [
        (bearer("empty"), vec!["empty: error: there is no token in it"]),
        (bearer("lines"), vec!["lines: error: the token has lines or control characters in it"]),
        (basic("me", "octets"), vec!["octets: error: the password has lines or control characters in it"]),
        // Whoever reads the file tells that.
        (bearer("gone"), vec![]),
        (ca("text"), vec!["text: error: has no certificate"]),
        (ca("gone"), vec![]),
        (
            tls(Tls { identity: Some(identity), ..Tls::default() }),
            vec!["text: error: has no certificate", "lines: error: has no private key that can be read"],
        ),
    ] {
        let found = files.read(&access).expect_err("broken files");
        assert_eq!(found.iter().map(|each| without_help(each)).collect::<Vec<_>>(), expected);
        assert!(!found.concat().contains("hunter2"), "{found:?}");
    }
}

#[test]
fn nothing_that_is_printed_has_a_secret() {
    let files = Files::new();
    files.write("token", "hunter2");
    let mut access = bearer("token");
    access.headers = BTreeMap::from([("x-api-key".to_owned(), "hunter2".to_owned())]);
    access.params = BTreeMap::from([("key".to_owned(), vec!["hunter2".to_owned()])]);
    let credentials = Some(Arc::new(files.read(&access).expect("a token")));
    let exporter = Exporter {
        preset: Arc::clone(&embedded_presets()["node"]),
        url: "http://x/".to_owned(),
        access: Arc::new(access),
    };
    let target = Target { node: NodeId(0), exporter, interval: MIN_INTERVAL, credentials };
    let printed = format!("{target:?} {target:#?}");
    assert!(printed.contains("x-api-key") && !printed.contains("hunter2"), "{printed}");
    let exchange =
        Exchange::new(&target.exporter, target.credentials.as_ref().expect("credentials"), MAX_TIMEOUT, true);
    assert!(!format!("{:?}", exchange.headers()).contains("hunter2"));
}

/// An authority, and files of those it vouches for.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }

    /// A certificate for a name, and its key, in PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// An exporter for `exporter.example` that wants a client certificate of the authority.
async fn start_tls(authority: &Authority) -> SocketAddr {
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).expect("an authority");
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().expect("roots");
    let (certificate, key) = authority.issue("exporter.example");
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has its versions")
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
        )
        .expect("a certificate and its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await?);
                }
                stream.write_all(response("200 OK", "Connection: close\r\n", BODY).as_bytes()).await?;
                stream.shutdown().await
            });
        }
    });
    address
}

#[tokio::test(start_paused = true)]
async fn both_sides_must_show_what_the_other_trusts() {
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let files = Files::new();
    files.write("ca.pem", ours.issuer.pem()).write("other-ca.pem", other.issuer.pem());
    for (authority, names) in [(&ours, ["c.pem", "k.pem"]), (&other, ["other-c.pem", "other-k.pem"])] {
        let (certificate, key) = authority.issue("thalweg.example");
        files.write(names[0], certificate).write(names[1], key);
    }
    let url = format!("https://{}/metrics", start_tls(&ours).await);
    let path = |name: &str| Path::new(name).to_owned();
    let identity =
        |certificate: &str, key: &str| Some(ClientCertificate { certificate: path(certificate), key: path(key) });
    let right = Tls {
        ca: Some(path("ca.pem")),
        identity: identity("c.pem", "k.pem"),
        server_name: Some("exporter.example".to_owned()),
        is_unverified: false,
    };
    let access = |tls: &Tls| Access { tls: tls.clone(), ..Access::default() };
    let outcome = files.outcome(url.clone(), access(&right)).await;
    assert_eq!(outcome.expect("counters").rules[1]["eth0"].value, 737263.0);
    let unverified = Tls { ca: None, server_name: None, is_unverified: true, ..right.clone() };
    assert!(files.outcome(url.clone(), access(&unverified)).await.is_ok());

    for (wrong, why) in [
        (Tls { ca: None, ..right.clone() }, "UnknownIssuer"),
        (Tls { ca: Some(path("other-ca.pem")), ..right.clone() }, "UnknownIssuer"),
        (Tls { server_name: None, ..right.clone() }, "not valid for name"),
        (Tls { server_name: Some("other.example".to_owned()), ..right.clone() }, "not valid for name"),
        (Tls { identity: None, ..right.clone() }, "CertificateRequired"),
        (Tls { identity: identity("other-c.pem", "other-k.pem"), ..right.clone() }, "UnknownCA"),
    ] {
        let outcome = files.outcome(url.clone(), access(&wrong)).await;
        let Err(ScrapeError::Connect(found) | ScrapeError::Http(found)) = outcome else {
            panic!("{wrong:?}: {outcome:?}")
        };
        assert!(found.contains(why), "{wrong:?}: {found}");
    }
    let mixed = access(&Tls { identity: identity("c.pem", "other-k.pem"), ..right });
    let found = files.read(&mixed).expect_err("a key of another certificate").concat();
    assert!(found.starts_with("other-k.pem: error: the key cannot be used with the certificate: "), "{found}");
}
