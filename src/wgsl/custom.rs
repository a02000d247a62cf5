//! A user's kernel: its shader, taken as it is.

use super::{Dispatch, Dispatches, Shader, Work};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::custom::UserKernel;

/// Words a uniform has room for on any device.
const MOST_PARAMS: usize = 4096;

pub(super) fn dispatches(kernel: &UserKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let UserKernel { op, inputs, output } = kernel;
    let error = |message: &dyn ToString| Error::value(format!("custom kernel `{}`", op.name()), message.to_string());
    let text = op.wgsl(inputs, output);
    let workgroups = match op.workgroups(inputs, output) {
        Some(count) => count,
        None => {
            let size = workgroup_size(&text).ok_or_else(|| {
                error(&"its shader has no `@workgroup_size` in numbers: write CustomKernel::workgroups")
            })?;
            (output.shape.elements() as u64).div_ceil(size)
        }
    };
    let mut params = op.params(inputs, output);
    if params.len() > MOST_PARAMS {
        return Err(error(&format!("has {} parameters; {MOST_PARAMS} fit", params.len())));
    }
    // A binding is never empty.
    params.resize(params.len().next_multiple_of(4).max(4), 0);
    let f16 = inputs.iter().chain([output]).any(|ty| ty.dtype == DType::F16);
    let storage = inputs.iter().chain([output]).map(|ty| ty.bytes().next_multiple_of(4).max(16) as u64);
    let declared = std::iter::once(4 * params.len() as u64).chain(storage).collect();
    let shader = Shader::custom(op.name(), text, f16);
    let threads = workgroup_size(&shader.text).unwrap_or(64);
    let flops = cx.launch.kernel.flops();
    let each = flops.div_ceil(threads.saturating_mul(workgroups).max(1)) as usize;
    let work = Work::of(threads as u32, 1, 0, each).needed(flops as usize);
    let dispatch = Dispatch::new(cx.launch.into(), shader, params, workgroups).work(work);
    cx.push(Dispatch { declared, ..dispatch });
    Ok(())
}

/// Invocations of a workgroup, as the text says; `None` if that takes more than reading numbers.
fn workgroup_size(text: &str) -> Option<u64> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect();
    let code = code.join("\n");
    let (_, rest) = code.split_once("@workgroup_size")?;
    let (sizes, _) = rest.trim_start().strip_prefix('(')?.split_once(')')?;
    let number = |size: &str| size.trim().trim_end_matches(['u', 'i']).parse::<u64>().ok();
    let sizes: Vec<u64> = sizes.split(',').filter(|s| !s.trim().is_empty()).map(number).collect::<Option<_>>()?;
    Some(sizes.into_iter().product()).filter(|&product| product > 0)
}

#[cfg(test)]
mod tests {
    use super::workgroup_size;

    #[test]
    fn the_text_says_the_workgroup_size() {
        assert_eq!(workgroup_size("@compute @workgroup_size(64) fn main() {}"), Some(64));
        assert_eq!(workgroup_size("// @workgroup_size(1)\n@workgroup_size( 8u , 4, )"), Some(32));
        assert_eq!(workgroup_size("@workgroup_size(N)"), None);
        assert_eq!(workgroup_size("@workgroup_size(0)"), None);
        assert_eq!(workgroup_size("fn main() {}"), None);
    }
}
