//! Keys and signed zones that cannot be used: what is said, and that all else goes on.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use thalweg::feed::inputs::load;

use super::answers::{ZONE, command, configuration, installation, thalweg};
use super::programs::{new_key, sign};
use super::support::installation::Installation;

/// All that is said of an installation.
fn told(installation: &Installation) -> String {
    let loaded = load(&installation.config(), &[], None);
    loaded.diagnostics.iter().map(|diagnostic| diagnostic.render(false)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let installation = installation("keys = \"keys\"", ZONE);
    assert!(!told(&installation).contains("error"), "{}", told(&installation));
    let entries = fs::read_dir(installation.path("keys")).unwrap();
    let private =
        entries.map(|entry| entry.unwrap().path()).find(|path| path.extension().unwrap() == "private").unwrap();
    assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&private, Permissions::from_mode(0o644)).unwrap();
    let told = told(&installation);
    assert!(
        told.contains("others than its owner can read this key (mode 0644)") && told.contains("chmod 600"),
        "{told}"
    );
    assert!(told.contains("is not signed as long as 1 of its keys cannot be used"), "{told}");
}

#[test]
fn without_keys_the_way_to_one_is_told() {
    let text = configuration("keys = \"keys\"");
    let installation = Installation::new([("thalweg.toml", text.as_str()), ("zones/live.example.zone", ZONE)]);
    let told = told(&installation);
    assert!(told.contains("make it and a key in it with `thalweg keys generate live.example.`"), "{told}");
}

#[test]
fn a_service_in_a_zone_that_is_signed_in_its_file_is_refused_with_a_way_out() {
    let installation = installation("keys = \"keys\"", ZONE);
    let config = fs::read_to_string(installation.config()).unwrap();
    let key = new_key(&installation.path("zones"), "live.example.");
    let signed = sign(&format!("$ORIGIN live.example.\n{ZONE}"), &key, &[]);
    installation.write("zones/live.example.zone", &signed);
    let both = told(&installation);
    assert!(both.contains("is to be signed here, but has") && both.contains("take `dnssec` out"), "{both}");
    installation
        .write("thalweg.toml", &config.replace("dnssec = { keys = \"keys\" }", "file = \"zones/live.example.zone\""));
    let told = told(&installation);
    assert!(told.contains("its zone comes signed") && told.contains("delegate a child zone"), "{told}");
}

#[test]
fn keys_are_listed_with_what_they_do() {
    let installation = installation("keys = \"keys\"", ZONE);
    let listed = thalweg(&installation, &["list", "live.example"]);
    assert!(listed.contains("ECDSAP256SHA256") && listed.contains("active"), "{listed}");
}

#[test]
fn the_old_key_does_not_go_before_the_parent_can_know_the_new_one() {
    let installation = installation("keys = \"keys\"", ZONE);
    let early = ["rollover", "live.example", "--ksk", "--parent-points"];
    thalweg(&installation, &early[..3]);
    let refused = command(&installation, &early).output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && told.contains("the parent is not told of"), "{told}");
    let listed = thalweg(&installation, &["list", "live.example"]);
    assert_eq!(listed.matches("active").count() - listed.matches("inactive").count(), 2, "{listed}");
}

#[test]
fn keys_belong_to_whom_their_directory_belongs_to() {
    let installation = installation("keys = \"keys\"", ZONE);
    let directory = installation.path("keys");
    // Root alone can give anything away, and needs this.
    if chown(&directory, Some(4_711), Some(4_712)).is_err() {
        return;
    }
    thalweg(&installation, &["rollover", "live.example", "--ksk"]);
    let owners = |file: &fs::DirEntry| {
        let known = file.metadata().unwrap();
        (known.uid(), known.gid())
    };
    let files: Vec<fs::DirEntry> = fs::read_dir(&directory).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.iter().filter(|file| owners(file) == (4_711, 4_712)).count(), 2, "the new ones");
    assert_eq!(files.iter().filter(|file| owners(file) == (0, 0)).count(), 2, "the old ones as they were");
}
