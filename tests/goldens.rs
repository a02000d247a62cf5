//! Operations and their gradients against values PyTorch computed in float64 from float32 inputs; see
//! `wgrad::verify::goldens`.
#![allow(clippy::unwrap_used)]

mod common;

use common::fixture;
use std::io::Write;
use wgrad::verify::goldens::{self, Outcome};
use wgrad::{Device, Error};

fn every_case(device: &Device) {
    let only = std::env::var("WGRAD_CASE").unwrap_or_default();
    let report = match goldens::run(fixture("goldens"), device, &only) {
        Ok(report) => report,
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {device}: {message}");
            return;
        }
        Err(error) => panic!("{device}: {error}"),
    };
    eprintln!("{report}");
    assert!(report.is_complete(), "{report}");
    assert!(!only.is_empty() || report.cases.len() == 219, "{} cases", report.cases.len());
    // Only what is about training is run by other tests.
    for case in &report.cases {
        let training = ["optimizer", "lr_schedule", "init_bounds", "network"].contains(&case.op.as_str());
        assert_eq!(matches!(case.outcome, Outcome::Elsewhere(_)), training, "{}", case.name);
    }
}

common::on_every_device!(every_case);

/// A wrong value, an unknown operation and a missing file are told apart, and none passes.
#[test]
fn what_does_not_pass_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let write = |cases: &str| std::fs::write(folder.path().join("index.json"), cases).unwrap();
    std::fs::copy(fixture("goldens/act_relu.npz"), folder.path().join("wrong.npz")).unwrap();
    std::fs::copy(fixture("goldens/act_relu.npz"), folder.path().join("unknown.npz")).unwrap();
    write(
        r#"{"cases": [{"case": "wrong", "op": "sigmoid", "attrs": {"surprise": 1}},
                      {"case": "unknown", "op": "no_such_operation", "attrs": {}}]}"#,
    );
    let report = goldens::run(folder.path(), &Device::reference(), "").unwrap();
    assert_eq!((report.passed(), report.failed(), report.not_covered()), (0, 1, 1), "{report}");
    assert!(!report.is_complete());
    let text = report.to_string();
    assert!(text.contains("FAILED wrong") && text.contains("NOT COVERED unknown"), "{text}");
    let Outcome::Failed(messages) = &report.cases[0].outcome else { panic!("{report}") };
    assert!(messages.last().unwrap().contains("surprise"), "{messages:?}");
    write(r#"{"cases": [{"case": "missing", "op": "relu", "attrs": {}}]}"#);
    let error = goldens::run(folder.path(), &Device::reference(), "").unwrap_err();
    assert!(error.to_string().contains("missing.npz"), "{error}");
    for broken in ["", "{}", r#"{"cases": [{"case": "../x", "op": "relu"}]}"#] {
        write(broken);
        assert!(goldens::run(folder.path(), &Device::reference(), "").is_err(), "{broken}");
    }
}
