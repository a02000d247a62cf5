//! Every shader the operations and the presets can ask for, in every language a driver takes, under WebGPU's limits. Needs
//! no GPU; SPIR-V is looked at by `spirv-val` where it is installed.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;
use wgrad::Device;
use wgrad::train::{Config, Trainer};
use wgrad::translate::{Access, Language, Module, Translation};
use wgrad::verify::kernels::Kernels;
use wgrad::wgsl::{Choice, GpuTarget};

/// What WebGPU promises of every device, with and without 16-bit floats.
fn targets() -> [GpuTarget; 2] {
    [false, true].map(|f16| GpuTarget { f16, ..GpuTarget::default() })
}

fn kernels(target: &GpuTarget) -> Kernels {
    let mut kernels = Kernels::of_samples(&wgrad::verify::samples(), target).unwrap();
    for preset in ["cnn", "mlp", "logistic"] {
        let mut config = Config::preset(preset).unwrap();
        config.data.num_samples = Some(1000);
        let trainer = Trainer::new(&config, &config.data.load().unwrap(), Device::cpu()).unwrap();
        kernels.add(&trainer.step_graph(0), &[], target, preset).unwrap();
    }
    kernels
}

#[test]
fn every_shader_keeps_to_the_portable_limits_and_translates() {
    let mut count = BTreeMap::new();
    let mut failures = Vec::new();
    for target in targets() {
        for kernel in kernels(&target).iter() {
            let text = kernel.shader().wgsl().unwrap();
            let module = match Module::parse(&text, &target) {
                Ok(module) => module,
                Err(error) => {
                    failures.push(format!("{:?}: {error}", kernel.asked_by));
                    continue;
                }
            };
            let storage = module.bindings().iter().filter(|b| matches!(b.access, Access::Read | Access::Write)).count();
            if storage > 8 || module.threads() > 256 || module.workgroup_bytes() > 16 * 1024 {
                let (threads, bytes) = (module.threads(), module.workgroup_bytes());
                failures.push(format!("{:?}: {storage} buffers, {threads} threads, {bytes} bytes", kernel.asked_by));
            }
            for language in [Language::Spirv, Language::Msl, Language::Hlsl, Language::Glsl] {
                // Neither the language of GLES 3.1 nor naga's for it has 16-bit floats; devices without them do not get such shaders.
                if language == Language::Glsl && text.starts_with("enable f16;") {
                    continue;
                }
                match module.translate(language) {
                    Ok(_) => *count.entry(language.name()).or_insert(0) += 1,
                    Err(error) => failures.push(format!("{:?}: {error}", kernel.asked_by)),
                }
            }
        }
    }
    eprintln!("{count:?}");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(count.values().all(|&n| n > 100), "{count:?}");
}

/// Variants that no rule chooses, each once: two specialisations with the same constants differ in the epilogue only.
#[test]
fn every_variant_translates() {
    let mut seen = std::collections::HashSet::new();
    let samples: Vec<_> = wgrad::verify::samples()
        .into_iter()
        .filter(|s| {
            ["matmul", "conv", "sum", "max", "softmax", "cross"].iter().any(|op| format!("{s:?}").starts_with(op))
        })
        .collect();
    for number in 1..24 {
        let target = GpuTarget { choice: Choice::Number(number), ..GpuTarget::default() };
        for kernel in Kernels::of_samples(&samples, &target).unwrap().iter() {
            let shader = kernel.shader();
            if !seen.insert((shader.name, shader.constants.clone())) {
                continue;
            }
            let module = Module::parse(&shader.wgsl().unwrap(), &target).unwrap();
            assert!(module.threads() <= 256 && module.workgroup_bytes() <= 16 * 1024, "{:?}", kernel.asked_by);
            for language in [Language::Spirv, Language::Msl, Language::Hlsl] {
                assert!(module.translate(language).is_ok(), "{language}: {:?}", kernel.asked_by);
            }
            assert!(module.unchecked().translate(Language::Spirv).is_ok());
        }
    }
    eprintln!("{} variants", seen.len());
    assert!(seen.len() > 100);
}

#[test]
fn spirv_is_valid() {
    if Command::new("spirv-val").arg("--version").output().is_err() {
        assert!(
            std::env::var_os("WGRAD_REQUIRE_GPU").is_none(),
            "spirv-val is not installed (Debian's spirv-tools), and WGRAD_REQUIRE_GPU is set"
        );
        let _ = writeln!(std::io::stderr(), "SKIPPED: spirv-val (Debian's spirv-tools) is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut failures, mut count) = (Vec::new(), 0);
    for target in targets() {
        for kernel in kernels(&target).iter() {
            let module = Module::parse(&kernel.shader().wgsl().unwrap(), &target).unwrap();
            let Translation::Words(words) = module.translate(Language::Spirv).unwrap() else { panic!("text") };
            let path = folder.path().join("shader.spv");
            std::fs::write(&path, words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
            let output = Command::new("spirv-val").args(["--target-env", "vulkan1.1"]).arg(&path).output().unwrap();
            count += 1;
            if !output.status.success() {
                failures.push(format!("{:?}: {}", kernel.asked_by, String::from_utf8_lossy(&output.stderr)));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count} fail:\n{}", failures.len(), failures.join("\n"));
    assert!(count > 200, "only {count}");
}
