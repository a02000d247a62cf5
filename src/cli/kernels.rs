//! `wgrad kernels`: the specialised shaders that a device runs.

use super::DeviceArg;
use super::open::GpuArgs;
use super::output::{Outcome, listed, note, print};
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use wgrad::data::atomic_write;
use wgrad::passes::Passes;
use wgrad::translate::{Language, Module, Translation};
use wgrad::verify::kernels::{Kernels, Specialisation};
use wgrad::wgsl::{GpuTarget, ShaderFolder};
use wgrad::{DType, Device, Error, Graph, Result};

/// List or show the shaders of the operations
#[derive(Debug, Subcommand)]
pub(super) enum KernelsCommand {
    List(ListArgs),
    Show(ShowArgs),
}

/// List the kernels, with the number of their specialisations and the operations that use them
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    gpu: GpuArgs,
}

/// Show a specialised kernel as a device runs it, in WGSL or as translated by wgpu's shader compiler (naga)
///
/// Without a GPU (`--device cpu`), or with `--limits webgpu`, shows the kernel for a GPU with WebGPU's default limits.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The name of the kernel, as printed by `wgrad kernels list`: matmul, conv, reduce, ...
    #[arg(value_name = "NAME")]
    name: String,
    /// Select the specialisation used by a case whose name contains this, such as "64x64x64" or "f16": a sample of `wgrad
    /// check`, a case of `wgrad bench`, or for a matmul any sizes MxKxN; by default the first
    #[arg(long, value_name = "TEXT", default_value = "")]
    case: String,
    /// The output language: wgsl, spirv, msl, hlsl or glsl
    #[arg(long, value_name = "LANGUAGE", default_value = "wgsl", value_parser = language)]
    target: Language,
    /// With `--device cpu`: bytes of workgroup memory of the GPU to show the kernel for, instead of WebGPU's 16384
    #[arg(long, value_name = "BYTES")]
    workgroup_memory: Option<u32>,
    /// Write the kernel to a file (SPIR-V: as binary) instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    gpu: GpuArgs,
}

fn language(text: &str) -> Result<Language, String> {
    text.parse().map_err(|error: Error| error.to_string())
}

impl KernelsCommand {
    pub(super) fn run(&self) -> Outcome {
        match self {
            KernelsCommand::List(args) => args.run(),
            KernelsCommand::Show(args) => args.run(),
        }
    }
}

/// The GPU that kernels are selected for, and all its kernels.
fn kernels(device: &DeviceArg, gpu: &GpuArgs, workgroup_memory: Option<u32>) -> Result<(GpuTarget, Kernels)> {
    // Without a GPU the options of one still choose the kernel.
    let plain = GpuArgs { variant: None, no_tune: false, checked_shaders: false, ..gpu.clone() };
    let target = match &device.device {
        // With `auto` there may be no GPU either.
        Device::Cpu | Device::Reference | Device::Auto => plain.open(&device.device, Passes::all())?.gpu_target(),
        _ => gpu.open(&device.device, Passes::all())?.gpu_target(),
    };
    if target.is_none() {
        note("no GPU selected or found: using WebGPU's default limits");
    }
    if let Some(bytes) = workgroup_memory
        && (target.is_some() || bytes < 16 * 1024)
    {
        let message = "is for `--device cpu`, and at least WebGPU's 16384";
        return Err(Error::config("workgroup-memory", message));
    }
    let mut target = target.unwrap_or_default();
    target.workgroup_memory = workgroup_memory.unwrap_or(target.workgroup_memory);
    if let Some(choice) = gpu.choice() {
        target.choice = choice;
    }
    let kernels = Kernels::of_samples(&wgrad::verify::samples(), &target)?;
    Ok((target, kernels))
}

/// Adds the kernels of the benchmark cases, and those of a matmul of any size, `MxKxN`.
fn add_cases(kernels: &mut Kernels, target: &GpuTarget, case: &str) -> Result<()> {
    let sizes: Option<Vec<usize>> = case.split('x').map(|size| size.parse().ok()).collect();
    if let Some(&[m, k, n]) = sizes.as_deref() {
        let graph = Graph::new();
        let (a, b) = (graph.input("a", [m, k], DType::F32), graph.input("b", [k, n], DType::F32));
        let product = a.matmul(b);
        graph.check()?;
        kernels.add(&graph, &[product.id()], target, &format!("matmul {case}"))?;
    }
    for case in wgrad::bench::all().iter().filter(|one| !case.is_empty() && one.name.contains(case)) {
        if !target.f16 && case.inputs.iter().any(|input| input.dtype == DType::F16) {
            continue;
        }
        let (graph, output) = case.graph()?;
        kernels.add(&graph, &[output], target, &case.name)?;
    }
    Ok(())
}

impl ListArgs {
    fn run(&self) -> Outcome {
        let (_, kernels) = kernels(&self.device, &self.gpu, None)?;
        let mut table: Vec<(&str, usize, Vec<&str>)> = Vec::new();
        for kernel in kernels.iter() {
            let ops = kernel.asked_by.iter().filter_map(|case| case.split(' ').next());
            let row = match table.iter().position(|(name, ..)| *name == kernel.name()) {
                Some(row) => row,
                None => {
                    table.push((kernel.name(), 0, Vec::new()));
                    table.len() - 1
                }
            };
            table[row].1 += 1;
            table[row].2.extend(ops);
        }
        let mut out = format!("{:<16} {:>15}  operations", "kernel", "specialisations");
        for (name, count, mut ops) in table {
            ops.sort_unstable();
            ops.dedup();
            let more = ops.len().saturating_sub(6);
            ops.truncate(6);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            out.push_str(&format!("\n{name:<16} {count:>15}  {}{more}", ops.join(", ")));
        }
        print(out)
    }
}

impl ShowArgs {
    fn run(&self) -> Outcome {
        let (target, mut kernels) = kernels(&self.device, &self.gpu, self.workgroup_memory)?;
        add_cases(&mut kernels, &target, &self.case)?;
        let named: Vec<&Specialisation> = kernels.iter().filter(|k| k.name() == self.name).collect();
        if named.is_empty() {
            let names = listed(kernels.iter().map(Specialisation::name));
            return Err(
                Error::config("NAME", format!("no kernel is named `{}`; the kernels are {names}", self.name)).into()
            );
        }
        let matches = |k: &Specialisation| k.asked_by.iter().any(|case| case.contains(&self.case));
        let chosen: Vec<&Specialisation> = named.iter().copied().filter(|k| matches(k)).collect();
        let Some(first) = chosen.first() else {
            let message =
                format!("no case of `{}` contains `{}`; the first are {}", self.name, self.case, cases(&named));
            return Err(Error::config("--case", message).into());
        };
        note(format_args!("used by {}", first.asked_by.join("; ")));
        if chosen.len() > 1 {
            note(format_args!(
                "{} more specialisations; select one with --case: {}",
                chosen.len() - 1,
                cases(&chosen[1..])
            ));
        }
        let folder = self.gpu.shaders.as_ref().map(ShaderFolder::read_own).transpose()?.unwrap_or_default();
        let text = folder.apply(first.shader().clone()).wgsl()?;
        let module = Module::parse(&text, &target)?;
        // As a hardware GPU compiles it.
        let checked =
            self.gpu.checked_shaders || target.software || first.shader().custom.is_some() || !folder.is_empty();
        let module = if checked { module } else { module.unchecked() };
        match module.translate(self.target)? {
            Translation::Text(text) => match &self.output {
                Some(path) => Ok(atomic_write(path, |file| file.write_all(text.as_bytes()))?),
                None => print(text),
            },
            Translation::Words(words) => {
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                match &self.output {
                    Some(path) => Ok(atomic_write(path, |file| file.write_all(&bytes))?),
                    None => print(disassembled(&bytes).unwrap_or_else(|| dump(&words))),
                }
            }
        }
    }
}

/// The first case of each specialisation.
fn cases(kernels: &[&Specialisation]) -> String {
    const MAX_NAMES: usize = 12;
    let names = kernels.iter().take(MAX_NAMES).filter_map(|k| k.asked_by.first()).map(|case| format!("\"{case}\""));
    names.collect::<Vec<_>>().join(", ")
}

/// Disassembles SPIR-V, if the disassembler of SPIRV-Tools is installed.
fn disassembled(bytes: &[u8]) -> Option<String> {
    let mut child = Command::new("spirv-dis")
        .args(["--no-color", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    // The output may exceed the pipe's buffer, so it is read while the input is being written.
    let mut stdin = child.stdin.take()?;
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().ok()?;
    writer.join().ok()?.ok()?;
    if output.status.success() { String::from_utf8(output.stdout).ok() } else { None }
}

/// The words of a SPIR-V module in hexadecimal.
fn dump(words: &[u32]) -> String {
    note("spirv-dis (package spirv-tools) is not installed: printing the words of the module");
    let lines = words.chunks(8).map(|line| line.iter().map(|w| format!("{w:08x}")).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}
