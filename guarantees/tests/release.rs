//! What is shipped must not have the places where tests kill it.

use std::path::Path;
use std::process::Command;

use headgate_testkit::servers::workspace_root;

/// Every program of the product.
const PROGRAMS: [&str; 5] = [
    "headgate-api",
    "headgate-relay",
    "headgate-consumers",
    "headgate-operator",
    "headgate",
];
/// What every crash point leaves in a program that has it.
const MARKER: &[u8] = b"crash-point/";

fn has_marker(program: &Path) -> bool {
    let bytes = std::fs::read(program).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    bytes.windows(MARKER.len()).any(|window| window == MARKER)
}

#[test]
fn programs_under_test_have_crash_points() {
    // Without this the next test would pass even if the marker had another name.
    for program in ["headgate-api", "headgate-relay", "headgate-consumers"] {
        assert!(
            has_marker(&headgate_testkit::process::binary_path(program)),
            "{program}"
        );
    }
}

#[test]
fn long_release_binaries_have_no_crash_points() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let folder = tempfile::tempdir().expect("a folder for the build");
    let built = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--locked",
            "--workspace",
            "--bins",
            "--target-dir",
        ])
        .arg(folder.path())
        .current_dir(workspace_root())
        .status()
        .expect("cargo can be run");
    assert!(built.success());
    for program in PROGRAMS {
        assert!(
            !has_marker(&folder.path().join("release").join(program)),
            "{program} can be told to die"
        );
    }
}
