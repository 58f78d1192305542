//! `thalweg check` as an operator meets it: each directory in `tests/check/` is an installation, and `NAME.expected`
//! holds what is said of it. `UPDATE=1` rewrites that.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a run of the program came to.
struct Outcome {
    status: Option<i32>,
    output: String,
    errors: String,
}

/// Runs the program, with nothing of our own environment.
fn thalweg(directory: &Path, arguments: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .output()
        .unwrap();
    let outcome = Outcome {
        status: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!outcome.errors.contains("panicked"), "{}", outcome.errors);
    outcome
}

fn installations() -> Vec<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/check");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut installations: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    installations.sort();
    assert!(!installations.is_empty());
    // Version control keeps no modes, and secrets that others can read are warned of.
    for secret in installations.iter().map(|path| path.join("transfer.key")).filter(|path| path.exists()) {
        fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    }
    installations
}

#[test]
fn check_says_of_every_installation_what_is_written_down() {
    let mut differences = Vec::new();
    for installation in installations() {
        let Outcome { status, output, errors } = thalweg(&installation, &["check"]);
        let found = format!("exit status {}\n-- output\n{output}-- errors\n{errors}", status.unwrap());
        let expected_path = installation.with_extension("expected");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected_path, &found).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if found != expected {
            let name = installation.display();
            differences.push(format!("== {name}\n-- expected\n{expected}\n-- found\n{found}"));
        }
    }
    assert!(differences.is_empty(), "{}\nUPDATE=1 rewrites what is expected", differences.join("\n"));
}

/// An installation is named for what is wrong with it, and for nothing else.
#[test]
fn one_mistake_is_one_error_with_its_place_and_help() {
    for installation in installations() {
        let name = installation.file_name().and_then(|name| name.to_str()).unwrap();
        let Outcome { status, errors, .. } = thalweg(&installation, &["check"]);
        let drawn: Vec<&str> = errors.split("\n\n").filter(|drawn| drawn.starts_with("error: ")).collect();
        if name.starts_with("a-good-") {
            assert_eq!((status, drawn.len()), (Some(0), 0), "{name}:\n{errors}");
            continue;
        }
        assert_eq!((status, drawn.len()), (Some(1), 1), "{name}:\n{errors}");
        // What is missing as a whole, or has no lines, is named.
        let files = ["zones/live.example.zone: ", "city.mmdb: ", "transfer.key: ", "cert.pem: ", "key.pem: "];
        let mut places = files.into_iter().chain(["--> ", "the directory of zones, zones,"]);
        let has_place = places.any(|place| drawn[0].contains(place));
        assert!(has_place && drawn[0].contains("help: "), "{name}:\n{errors}");
    }
}

#[test]
fn strict_takes_warnings_for_errors() {
    let directory = tempfile::tempdir().unwrap();
    let file = |path: &str, text: &str| fs::write(directory.path().join(path), text).unwrap();
    fs::create_dir(directory.path().join("zones")).unwrap();
    file("thalweg.toml", "");
    file("zones/live.example.zone", "@ 60 SOA ns1 host 1 1h 1h 1h 1h\n@ 60 NS ns1\n");
    let lenient = thalweg(directory.path(), &["check"]);
    assert!(lenient.status == Some(0) && lenient.errors.starts_with("warning: "), "{}", lenient.errors);
    let strict = thalweg(directory.path(), &["check", "--strict"]);
    assert!(strict.status == Some(1) && strict.errors.starts_with("error: "), "{}", strict.errors);
}

#[test]
fn wrong_usage_is_exit_status_2() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["check", "--colour"][..],
        &["check", "--config"],
        &["serve"],
        &["explain"],
        &["explain", "play.live.example", "--client", "not-an-address"],
        &["explain", "play.live.example", "--ecs", "192.0.2.0/24"],
        &[],
    ] {
        let Outcome { status, errors, .. } = thalweg(directory.path(), arguments);
        assert!(status == Some(2) && !errors.is_empty(), "{arguments:?}: {status:?}\n{errors}");
    }
}

#[test]
fn a_configuration_that_is_not_there_is_exit_status_1() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["check"][..], &["check", "--config", "elsewhere.toml"], &["run", "--config", "elsewhere.toml"]]
    {
        let Outcome { status, errors, .. } = thalweg(directory.path(), arguments);
        assert!(status == Some(1) && errors.contains(".toml"), "{arguments:?}: {status:?}\n{errors}");
    }
}
