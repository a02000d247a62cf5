//! Every committed shader, and every specialisation the samples need, is valid WGSL. Needs no GPU.
#![allow(clippy::unwrap_used)]

use naga::valid::{Capabilities, ValidationFlags, Validator};
use wgrad::verify::kernels::Kernels;
use wgrad::wgsl::GpuTarget;
use wgrad::{DType, Graph, Tensor};

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
        // Kernels are compiled without wgpu's checks; the doctor's shaders are not.
        let stated = text.contains("\n// Bounds") || path.file_name().unwrap().to_str().unwrap().starts_with("doctor_");
        assert!(stated, "{} does not say why its accesses stay in bounds", path.display());
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

/// A driver may take `f32(f16(x))` for x: what a cast to `f16` and back rounds must be lost nowhere.
#[test]
fn casts_to_f16_and_back_cannot_be_folded() {
    let target = GpuTarget { f16: true, ..GpuTarget::default() };
    let rounded = |x: Tensor<'_>| -> String {
        let mut kernels = Kernels::default();
        kernels.add(x.graph(), &[x.id()], &target, "a chain").unwrap();
        assert_eq!(kernels.iter().count(), 1, "not fused");
        let text = kernels.iter().next().unwrap().shader().wgsl().unwrap();
        text.lines().map(|line| line.split("//").next().unwrap_or("").to_string() + "\n").collect()
    };
    let graph = Graph::new();
    let x = graph.input("x", [64, 64], DType::F32);
    let chain = (x.cast(DType::F16).cast(DType::F32) + 1.0).cast(DType::F16).cast(DType::F32) * x;
    let prologue = (x.cast(DType::F16).cast(DType::F32) - x).cast(DType::F16).cast(DType::F32).sum(1);
    let epilogue = (x.matmul(x).cast(DType::F16).cast(DType::F32) + x).cast(DType::F16).cast(DType::F32) * 3.0;
    for value in [chain, prologue, epilogue] {
        let code = rounded(value);
        // Twice in the chain, in each form the kernel has of it.
        assert!(code.matches("= round_to_f16(v").count() >= 2, "{code}");
        assert!(!code.contains("f32(f16("), "{code}");
    }
}
