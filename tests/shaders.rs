//! Every committed shader, and every specialisation the samples need, is valid WGSL. Needs no GPU.
#![allow(clippy::unwrap_used)]

use naga::valid::{Capabilities, ValidationFlags, Validator};
use wgrad::verify::kernels::Kernels;
use wgrad::wgsl::GpuTarget;

const CAPABILITIES: Capabilities =
    Capabilities::IMMEDIATES.union(Capabilities::SHADER_FLOAT16).union(Capabilities::SUBGROUP);

/// What is wrong with a WGSL text, as naga tells it.
fn validate(text: &str) -> Result<(), String> {
    let capabilities = naga::front::wgsl::Options { parse_doc_comments: false, capabilities: CAPABILITIES };
    let module = naga::front::wgsl::Frontend::new_with_options(capabilities)
        .parse(text)
        .map_err(|error| error.emit_to_string(text))?;
    Validator::new(ValidationFlags::all(), CAPABILITIES)
        .validate(&module)
        .map(|_| ())
        .map_err(|error| error.emit_to_string(text))
}

#[test]
fn every_committed_shader_is_valid() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("// "), "{} has no header", path.display());
        if let Err(error) = validate(&text) {
            panic!("{}: {error}", path.display());
        }
        count += 1;
    }
    assert!(count >= 9, "only {count} shaders");
}

#[test]
fn every_specialisation_is_valid() {
    let samples = wgrad::verify::samples();
    let (mut failures, mut count) = (Vec::new(), 0);
    for (f16, software) in [(false, false), (false, true), (true, false), (true, true)] {
        let target = GpuTarget { f16, software, subgroups: software, subgroup_size: 8, ..GpuTarget::default() };
        for kernel in Kernels::of_samples(&samples, &target).unwrap().iter() {
            let (by, dispatch) = (&kernel.asked_by, &kernel.dispatch);
            assert!(dispatch.bindings.len() <= 8, "{by:?} binds {} buffers", dispatch.bindings.len());
            assert!(dispatch.workgroups > 0, "{by:?} launches nothing");
            count += 1;
            if let Err(error) = validate(&kernel.shader().wgsl().unwrap()) {
                failures.push(format!("{by:?}: {error}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(count > 400, "only {count} specialisations");
}
