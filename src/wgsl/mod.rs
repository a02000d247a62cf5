//! How a GPU runs each kernel: shaders, their specialisation, and dispatches, as plain data.
//!
//! [`dispatches`] gives a launch's dispatches for a [`GpuTarget`]. How each kernel is run is a file of the kernel's
//! name; the WGSL of elementwise expressions is written by [`generate`](mod@generate). Nothing here names a device's
//! API: `gpu/` replays the dispatches.

mod conv;
mod cross_entropy;
mod custom;
mod dispatch;
mod elementwise;
mod estimate;
pub mod generate;
mod index;
mod matmul;
mod pool;
mod radix_sort;
mod reduce;
mod reduce_shape;
mod rows;
mod scan;
mod scatter_add;
mod shader;
mod shader_folder;
mod softmax;
mod target;
mod threads;
mod topk;
mod variant;
mod window;
mod work;

pub use dispatch::{Binding, Dispatch, Dispatches, Operands};
pub use estimate::{DescribedGpu, Estimate};
pub use shader::Shader;
pub use shader_folder::ShaderFolder;
pub use target::GpuTarget;
pub use threads::{Apart, Lanes, share, shares, split, workgroup_size};
pub use variant::{Choice, Tuned, Variants, key};
pub use window::{Reads, WINDOW, Window};
pub use work::Work;

use crate::error::Result;
use crate::kernels::{Kernel, Launch};
use crate::plan::count;

/// How a GPU runs a launch: its dispatches, in order.
///
/// # Errors
/// If the device cannot run it, or it was planned for another one.
pub fn dispatches(launch: &Launch, target: &GpuTarget) -> Result<Vec<Dispatch>> {
    run(Dispatches::new(launch, target))?.into_list()
}

/// The bytes of each scratch buffer that the launch's dispatches share.
///
/// # Errors
/// If the device cannot run it.
pub fn scratch(launch: &Launch, target: &GpuTarget) -> Result<Vec<u64>> {
    Ok(run(Dispatches::new(launch, target))?.into_scratch())
}

/// The variants of a launch, and which one the target takes.
///
/// # Errors
/// As [`dispatches`].
pub fn variants(launch: &Launch, target: &GpuTarget) -> Result<Variants> {
    Ok(run(Dispatches::new(launch, target).listing())?.variants().clone())
}

/// What is known of a launch's dispatches, two lines each, for people; before them the variant, where there is a choice.
/// For a described GPU with estimates.
///
/// # Errors
/// As [`dispatches`].
pub fn describe(launch: &Launch, target: &GpuTarget, described: Option<&DescribedGpu>) -> Result<Vec<String>> {
    let lines = |dispatch: &Dispatch| {
        let constants = dispatch.shader.constants.iter().map(|(name, value)| format!("{name}={value}"));
        let constants = constants.collect::<Vec<_>>().join(" ");
        let (groups, work) = (dispatch.workgroups, &dispatch.work);
        let plural = if groups == 1 { "" } else { "s" };
        let Work { threads, waits, barriers, instructions, bytes, .. } = *work;
        let (threads_in_all, bytes) = (groups.saturating_mul(threads.into()), count(bytes, "B"));
        let all = count(threads_in_all.saturating_mul(instructions), "");
        let estimate = described.map(|gpu| gpu.estimate(work, groups));
        let estimate = estimate.map_or(String::new(), |Estimate { seconds, least }| {
            format!("  takes about {:.1} µs, at least {:.1} µs", 1e6 * seconds, 1e6 * least)
        });
        [
            format!("shader {}  {groups} workgroup{plural} of {threads} threads  {constants}", dispatch.shader.name()),
            format!(
                "  a thread: {waits} waits for memory, {barriers} barriers, {instructions} instructions; \
                 all: {all}instructions, {bytes}{estimate}"
            ),
        ]
    };
    let cx = run(Dispatches::new(launch, target).listing())?;
    let variants = cx.variants();
    let chosen = variants.name().map(|name| {
        let why = match &target.choice {
            _ if variants.chosen == 0 => "the rule's choice",
            Choice::Tuned(_) => "tuned",
            _ => "asked for",
        };
        format!("variant {name}  {why} of {}", variants.names.len())
    });
    Ok(chosen.into_iter().chain(cx.into_list()?.iter().flat_map(lines)).collect())
}

fn run(mut cx: Dispatches<'_>) -> Result<Dispatches<'_>> {
    match &cx.launch.kernel {
        Kernel::Elementwise(kernel) => elementwise::dispatches(kernel, &mut cx),
        Kernel::Reduce(kernel) => reduce::dispatches(kernel, &mut cx),
        Kernel::Matmul(kernel) => matmul::dispatches(kernel, &mut cx),
        Kernel::Conv(kernel) => conv::dispatches(kernel, &mut cx),
        Kernel::Pool(kernel) => pool::dispatches(kernel, &mut cx),
        Kernel::Softmax(kernel) => softmax::dispatches(kernel, &mut cx),
        Kernel::CrossEntropy(kernel) => cross_entropy::dispatches(kernel, &mut cx),
        Kernel::Index(kernel) => index::dispatches(kernel, &mut cx),
        Kernel::TopK(kernel) => topk::dispatches(kernel, &mut cx),
        Kernel::Scan(kernel) => scan::dispatches(kernel, &mut cx),
        Kernel::User(kernel) => custom::dispatches(kernel, &mut cx),
    }?;
    Ok(cx)
}
