//! `wgrad doctor` on the devices that are here.
#![allow(clippy::unwrap_used)]

// `writeln!` to stderr is shown by the test runner; `eprintln!` in a passing test is not.
use std::io::Write;
use wgrad::doctor::{Finding, Report, SPECIFICATION, Verdict, examine};
use wgrad::{Device, Error};

/// A report, or a note that there is no such device.
fn report(device: &Device) -> Option<Report> {
    match examine(device, |_| ()) {
        Ok(report) => Some(report),
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {message}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn find<'r>(report: &'r Report, subject: &str, property: &str) -> &'r Finding {
    let found = report.findings.iter().find(|f| f.subject == subject && f.property.starts_with(property));
    found.unwrap_or_else(|| panic!("{subject}: {property} is missing in\n{}", report.page()))
}

/// What holds on any device: all could be examined, and the JSON document says all that the page says.
fn check(report: &Report) {
    let failed: Vec<&Finding> = report.with(Verdict::NotRun).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    for field in ["schema", "version", "date", "machine", "adapter", "specification", "findings", "roof"] {
        assert!(!json[field].is_null(), "no {field}");
    }
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), report.findings.len());
    let page = report.page();
    for finding in findings {
        for field in ["subject", "property", "found", "promise", "section", "verdict", "values"] {
            assert!(!finding[field].is_null(), "{finding} lacks {field}");
        }
        assert!(page.contains(finding["property"].as_str().unwrap()), "{finding} is not on the page");
        // What is judged is judged by a section, and has numbers.
        if ["within", "outside"].contains(&finding["verdict"].as_str().unwrap()) {
            assert_ne!(finding["section"], "", "{finding}");
            assert!(!finding["values"].as_object().unwrap().is_empty(), "{finding}");
        }
    }
    assert!(page.contains(SPECIFICATION));
    let again: Report = serde_json::from_value(json).unwrap();
    assert_eq!(&again, report);
    // Every sample of a function was looked at, and none of them is exact by chance.
    let division = find(report, "functions", "x / y");
    assert!(division.values["samples"] > 60_000.0 && division.values["share_correctly_rounded"] > 0.2, "{division:?}");
    // By numbers beyond 2¹²⁶ nothing is promised, and what the driver does is shown.
    let large = find(report, "functions", "x / y, |y| beyond");
    assert!(large.verdict == Verdict::Information && large.values["samples"] > 60_000.0, "{large:?}");
    assert!(find(report, "throughput", "f32 fused multiply-adds").values["per_second"] > 1e6);
    assert!(report.roof.as_ref().unwrap().flops_per_second > 1e6);
}

#[test]
fn the_cpu_is_within_every_promise() {
    let report = report(&Device::cpu()).unwrap();
    check(&report);
    assert!(report.adapter.is_empty(), "the CPU is no adapter");
    // Rust neither contracts nor flushes, and rounds to the nearest.
    assert_eq!(find(&report, "arithmetic", "x * y + z").values["fused"], 0.0);
    assert_eq!(find(&report, "arithmetic", "denormals, result of x + y").found, "kept");
    for property in ["x + y, rounding", "x * y, rounding"] {
        assert_eq!(find(&report, "arithmetic", property).values["nearest_share"], 1.0);
    }
    for name in ["x / y", "x / y, |y| beyond", "sqrt(x)"] {
        let finding = find(&report, "functions", name);
        assert!(finding.values["share_correctly_rounded"] == 1.0 && finding.values["max_ulp"] <= 1.0, "{finding:?}");
    }
    assert_eq!(report.with(Verdict::Outside).count(), 0, "{}", report.page());
}

#[test]
#[cfg(feature = "gpu")]
fn the_gpu_is_examined_in_every_subject() {
    let Some(report) = report(&Device::gpu()) else { return };
    check(&report);
    let subjects = ["arithmetic", "functions", "NaN and infinity", "conversions and integers", "f16", "subgroups"];
    let more = ["barriers", "workgroup memory", "atomics", "bounds", "loops", "timestamps and overheads", "throughput"];
    for subject in subjects.iter().chain(&more) {
        assert!(report.findings.iter().any(|f| f.subject == *subject), "{subject} is missing");
    }
    if report.adapter["f16"] == true {
        let pair = find(&report, "f16", "f32(f16(x))");
        assert!(
            pair.verdict == Verdict::Within && pair.values["rounded"] + pair.values["folded"] == 2048.0,
            "{pair:?}"
        );
    }
    // Without these no kernel of wgrad is right, on any driver.
    let needed = [
        ("arithmetic", "x + y, rounding"),
        ("barriers", "workgroupBarrier"),
        ("bounds", "out-of-bounds reads"),
        ("bounds", "out-of-bounds writes"),
    ];
    for (subject, property) in needed {
        let finding = find(&report, subject, property);
        assert_eq!(finding.verdict, Verdict::Within, "{finding:?}");
    }
    for name in ["name", "backend", "driver", "f16", "subgroups", "max_binding_bytes", "max_workgroup_memory"] {
        assert!(report.adapter.contains_key(name), "no {name}");
    }
}

#[test]
#[cfg(feature = "gpu")]
fn a_shader_that_is_not_valid_is_an_error() {
    use wgrad::GpuChoice;
    use wgrad::gpu::{Limits, Probe, ProbeBuffer, ProbeShader};
    let probe = match Probe::open(&GpuChoice::Fastest, Limits::Webgpu) {
        Ok(probe) => probe,
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {message}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let valid = "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
        @compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3<u32>) { x[id.x] += id.x; }";
    let mut buffers = [ProbeBuffer::of(&[10u32, 20, 30])];
    probe.run(&ProbeShader::new("valid", valid), &mut buffers, 3).unwrap();
    assert_eq!(buffers[0].to::<u32>(), [10, 21, 32]);
    // Not WGSL; no such function; a binding too few; a part that does not start where it may.
    let bad = [
        (ProbeShader::new("bad", "fn main() { oops }"), vec![ProbeBuffer::of(&[0u32])]),
        (ProbeShader::new("bad", valid).entry("other"), vec![ProbeBuffer::of(&[0u32])]),
        (ProbeShader::new("bad", valid), vec![]),
        (ProbeShader::new("bad", valid), vec![ProbeBuffer::of(&[0u32; 64]).bound(4..16)]),
    ];
    for (shader, mut buffers) in bad {
        let error = probe.run(&shader, &mut buffers, 1).unwrap_err().to_string();
        assert!(error.contains("probe bad"), "{error}");
    }
    // And the device is still there.
    probe.run(&ProbeShader::new("valid", valid), &mut buffers, 3).unwrap();
    assert_eq!(buffers[0].to::<u32>(), [10, 22, 34]);
}
