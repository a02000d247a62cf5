//! Plans: launch counts, in-place updates, and buffer reuse.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use wgrad::ops::samples;
use wgrad::plan::{BufferKind, Plan, Target, lower};
use wgrad::train::{Config, Trainer};
use wgrad::{Device, Graph};

fn step_plan(preset: &str, optimizer: &str) -> Plan {
    let mut config = Config::preset(preset).unwrap();
    if optimizer == "adam" {
        config.optimizer = toml::from_str("type = \"adam\"\nlr = 0.01").unwrap();
    }
    config.data.num_samples = Some(1000);
    let data = config.data.load().unwrap();
    Trainer::new(&config, &data, Device::cpu()).unwrap().plan().unwrap().clone()
}

/// What can be told from the plan alone: launches read what something wrote, write within their buffers, and never read
/// and write one buffer but for updates in place. (That no two live values share a buffer is a unit test beside the
/// code that assigns them.)
fn assert_launches_are_sound(plan: &Plan) {
    let mut written: HashMap<u32, usize> = HashMap::new();
    for (position, launch) in plan.launches.iter().enumerate() {
        for output in &launch.outputs {
            let kind = &plan.buffers[output.buffer.index()].kind;
            assert!(!matches!(kind, BufferKind::Constant(_) | BufferKind::Input(_)), "launch {position} writes a leaf");
            for input in launch.inputs.iter().filter(|i| i.buffer == output.buffer) {
                // Only an in-place update of a variable may read what it writes, element by element.
                assert!(matches!(kind, BufferKind::Variable(_)), "launch {position} reads and writes one buffer");
                assert_eq!(input.view, output.view, "launch {position} is not in place");
            }
        }
        for input in &launch.inputs {
            let buffer = &plan.buffers[input.buffer.index()];
            if matches!(buffer.kind, BufferKind::Scratch) && input.view.shape.elements() > 0 {
                assert!(written.contains_key(&input.buffer.0), "launch {position} reads what nothing wrote");
            }
        }
        for output in &launch.outputs {
            let bytes = plan.buffers[output.buffer.index()].ty.bytes();
            let end = (0..output.view.shape.elements()).map(|i| output.view.index(i) + 1).max().unwrap_or(0);
            assert!(end * output.dtype.size() <= bytes, "launch {position} writes past its buffer");
            written.insert(output.buffer.0, position);
        }
    }
}

#[test]
fn launches_are_sound() {
    for sample in samples::all() {
        let g = Graph::new();
        let inputs: Vec<_> =
            sample.inputs.iter().enumerate().map(|(k, i)| g.input(format!("x{k}"), &i.shape, i.dtype)).collect();
        let y = (sample.build)(&g, &inputs);
        assert_launches_are_sound(&lower(&g, &[y.id()], &Target::default()).unwrap());
    }
    for preset in ["cnn", "mlp", "logistic"] {
        assert_launches_are_sound(&step_plan(preset, "sgd"));
        assert_launches_are_sound(&step_plan(preset, "adam"));
    }
}

#[test]
fn intermediate_buffers_are_little_more_than_what_is_live() {
    for preset in ["cnn", "mlp", "logistic"] {
        let plan = step_plan(preset, "sgd");
        let (used, live) = (plan.scratch_bytes(), plan.live_bytes);
        assert!(used as f64 <= 1.3 * live as f64, "{preset}: {used} bytes for {live} live ones\n{plan}");
    }
}

/// The first two layers' values and their gradients, on a CPU with vectors; the third layer's are what a product reads.
#[test]
fn convolutions_hand_values_over_channels_last() {
    let plan = step_plan("cnn", "sgd");
    let lanes = |operand: &&wgrad::kernels::Operand| matches!(operand.view.strides[..], [_, 1, pitch] if pitch > 1);
    let operands = |pick: fn(&wgrad::kernels::Launch) -> &[wgrad::kernels::Operand]| {
        plan.launches.iter().filter(|l| l.kernel.name().starts_with("conv")).flat_map(pick).filter(lanes).count()
    };
    let (read, written) = (operands(|l| &l.inputs), operands(|l| &l.outputs));
    // Without vectors nothing is padded, and this is not done.
    #[cfg(target_arch = "x86_64")]
    let vectors = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    let vectors = false;
    assert!((read, written) == (9, 4) || !vectors, "{read} {written}\n{plan}");
}

/// Forward, backward, optimiser and the loss metric: the batch is one launch, a layer one forward and up to two backward,
/// the loss one with its gradient, and the optimiser and the metric one each, whatever the optimiser.
#[test]
fn presets_take_few_launches() {
    for (preset, most) in [("cnn", 15), ("mlp", 12), ("logistic", 6)] {
        let plan = step_plan(preset, "sgd");
        let adam = step_plan(preset, "adam").launch_count();
        // Within WebGPU's guaranteed limits nothing changes.
        plan.check_buffers(8).unwrap();
        assert!(adam <= plan.launch_count(), "{preset}: {adam} launches with Adam\n{plan}");
        assert!(plan.launch_count() <= most, "{preset}: {} launches\n{plan}", plan.launch_count());
        for launch in &plan.launches {
            for output in &launch.outputs {
                let copied = launch.kernel.name() == "elementwise" && launch.kernel.flops() == 0;
                let into_variable = matches!(plan.buffers[output.buffer.index()].kind, BufferKind::Variable(_));
                assert!(!(copied && into_variable), "{preset} copies a variable:\n{plan}");
            }
        }
    }
}
