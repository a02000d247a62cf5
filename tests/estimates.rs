//! What dispatches would take on a GPU that is only described: none leaves it idle, and the estimates are near what was
//! measured on one. Needs no GPU.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use wgrad::data::{Dataset, Split};
use wgrad::plan::{Plan, Target, lower};
use wgrad::train::{Config, Trainer};
use wgrad::wgsl::{self, DescribedGpu, Work};
use wgrad::{Graph, NodeId, Session};

/// Images of 28 by 28, of which only the shape matters.
fn images() -> Dataset {
    let split = Split::new(vec![0.5; 200 * 784], (0..200).map(|row| row % 10).collect(), [1, 28, 28]).unwrap();
    Dataset::new(split, None, None, 10).unwrap()
}

fn h200() -> DescribedGpu {
    DescribedGpu::read(Path::new("h200")).unwrap()
}

fn plan(gpu: &DescribedGpu, graph: &Graph, outputs: &[NodeId]) -> Plan {
    let target = gpu.target();
    let limits = Target { max_buffers: target.storage_buffers as usize, backend: &target, ..Target::default() };
    lower(graph, outputs, &limits).unwrap()
}

/// The plans of the presets, of networks nobody tuned for, and of the benchmark cases.
fn plans(gpu: &DescribedGpu) -> Vec<(String, Plan)> {
    let mut plans = Vec::new();
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/zoo");
    let files = std::fs::read_dir(zoo).unwrap().map(|entry| entry.unwrap().path().display().to_string());
    for settings in ["cnn", "mlp", "logistic"].map(String::from).into_iter().chain(files) {
        let mut config = Config::resolve(&settings).unwrap();
        config.data.num_samples = Some(1000);
        let data = if settings.contains("lenet") { images() } else { config.data.load().unwrap() };
        let trainer = Trainer::open(&config, &data, || Ok(Session::described(gpu.clone()))).unwrap();
        plans.push((settings, trainer.plan().unwrap().clone()));
    }
    for case in wgrad::bench::all() {
        let (graph, output) = case.graph().unwrap();
        plans.push((case.name.clone(), plan(gpu, &graph, &[output])));
    }
    plans
}

/// Dispatches that are known to take more than twice what they need: a case, a shader, how many times, and why.
const KNOWN: [(&str, &str, f64, &str); 7] = [
    ("topk/", "topk_select", 33.0, "a selection counts eight times and sorts in one workgroup, all barriers"),
    ("cnn", "matmul", 3.3, "a weight gradient whose k in parts would take two dispatches more"),
    ("lenet", "", 2.8, "fours of one input channel are three quarters empty, and tiles of 16 rows are filled by 10"),
    ("conv2d/256x3x32", "", 2.5, "fours of three input channels, and little to do with each element"),
    (
        "scatter_add/262144x16-16",
        "scatter_join",
        3.0,
        "one thread joins the parts of a row, of which there are few and long",
    ),
    (
        "zoo/transformer",
        "matmul",
        2.2,
        "a gradient of 64 sums of 4,000 terms: more parts take longer to add up than they save",
    ),
    ("scatter_add/65536x64", "scan", 2.2, "one workgroup scans all counts"),
];

#[test]
fn no_dispatch_leaves_a_gpu_idle() {
    let gpu = h200();
    let mut slow = Vec::new();
    for (name, plan) in plans(&gpu) {
        for (k, launch) in plan.launches.iter().enumerate() {
            for dispatch in wgsl::dispatches(launch, &gpu.target()).unwrap() {
                let shader = dispatch.shader.name();
                assert!(dispatch.work.threads > 0 && dispatch.work.bytes > 0, "{name}: {shader}");
                let estimate = gpu.estimate(&dispatch.work, dispatch.workgroups);
                let known = |(case, one, ..): &&(&str, &str, f64, &str)| name.contains(case) && shader.contains(one);
                let most = KNOWN.iter().find(known).map_or(2.0, |&(.., most, _)| most);
                if estimate.seconds > most * estimate.least {
                    let [seconds, least] = [estimate.seconds, estimate.least].map(|s| 1e6 * s);
                    let (kernel, what) = (launch.kernel.name(), launch.kernel.describe());
                    let (groups, work) = (dispatch.workgroups, dispatch.work);
                    slow.push(format!(
                        "{name}: launch {k}, {kernel} {what}: {shader}, {groups} workgroups of {work:?}: {seconds:.1} µs, not {least:.1} µs"
                    ));
                }
            }
        }
    }
    assert!(slow.is_empty(), "{} dispatches:\n{}", slow.len(), slow.join("\n"));
}

#[derive(serde::Deserialize)]
struct Measured {
    rows: Vec<Row>,
}

#[derive(serde::Deserialize)]
struct Row {
    name: String,
    us: f64,
    dispatches: Vec<[u64; 6]>,
}

#[test]
fn estimates_are_near_what_an_h200_took() {
    let gpu = h200();
    let measured: Measured = toml::from_str(include_str!("fixtures/h200-a114c4b.toml")).unwrap();
    let mut far = Vec::new();
    for Row { name, us, dispatches } in &measured.rows {
        let seconds = dispatches.iter().map(|&[workgroups, threads, waits, barriers, instructions, bytes]| {
            let work = Work { threads: threads as u32, waits, barriers, instructions, bytes, ..Work::default() };
            gpu.estimate(&work, workgroups).seconds
        });
        let estimated = 1e6 * seconds.sum::<f64>();
        println!("| {name} | {us} | {estimated:.1} | {:.2} |", estimated / us);
        if !(0.5..=2.0).contains(&(estimated / us)) {
            far.push(name);
        }
    }
    assert!(5 * far.len() <= measured.rows.len(), "{far:?}");
}
