//! Convolutions and their gradients: `shaders/conv.wgsl` and the files joined to it, as matmuls with a gathered matrix.
//!
//! Where the tiles of a weight's gradient are too few to fill a GPU, k (the batch and the output's positions) is
//! split over workgroups: a first dispatch stores a partial result for each part of k, and others add these and apply
//! the epilogue.

mod tile;

use super::generate::{Stores, store};
use super::reduce::add_partials;
use super::{Dispatch, Dispatches, Operands, Reads, Shader};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::Operand;
use crate::kernels::conv::{ConvKernel, ConvPass};
use tile::Variant;

/// The greatest common divisor; neither is 0.
fn gcd(a: usize, b: usize) -> usize {
    if a.is_multiple_of(b) { b } else { gcd(b, a % b) }
}

/// The result's axes, and which component of the shader's coordinates (j0, row, position) each is.
fn axes(kernel: &ConvKernel) -> [(usize, u8); 3] {
    let g = &kernel.geometry;
    let area = |s: [usize; 2]| s[0] * s[1];
    match kernel.pass {
        ConvPass::Forward => [(g.batch, 0), (g.out_channels, 1), (area(g.output), 2)],
        ConvPass::InputGrad => [(g.batch, 0), (g.in_channels, 1), (area(g.input), 2)],
        ConvPass::WeightGrad => [(g.out_channels, 1), (g.group_in(), 0), (area(g.kernel), 2)],
    }
}

/// The dispatch of a convolution or a gradient, what its shader calls the buffers, and the parts of k.
fn dispatch(kernel: &ConvKernel, cx: &mut Dispatches<'_>) -> Pass {
    let (launch, target) = (cx.launch, cx.target);
    let g = &kernel.geometry;
    let area = |s: [usize; 2]| s[0] * s[1];
    let (input, output, window) = (area(g.input), area(g.output), area(g.kernel));
    let (gin, gout) = (g.group_in(), g.group_out());
    // Strides of an input [sample, group, channel], an output and a weight [group, output, input channel].
    let [x_sample, x_group] = [g.in_channels * input, gin * input];
    let [y_sample, y_group] = [g.out_channels * output, gout * output];
    let [w_group, w_out] = [gout * gin * window, gin * window];
    /// The convolution as a matmul; names as in the shader.
    struct Problem {
        m: usize,
        w: [usize; 5],
        x: [usize; 5],
        out: [usize; 3],
        k: ([usize; 3], [usize; 2]),
        j: ([usize; 3], [usize; 2]),
    }
    let [width, out_width, window_width] = [g.input[1], g.output[1], g.kernel[1]];
    let samples = |s: [usize; 2]| [g.batch, s[0], s[1]];
    let problem = match kernel.pass {
        ConvPass::Forward => Problem {
            m: gout,
            w: [w_group, w_out, window, window_width, 1],
            x: [x_group, input, x_sample, g.input[0], width],
            out: [y_group, output, y_sample],
            k: ([gin, g.kernel[0], window_width], g.dilation),
            j: (samples(g.output), g.stride),
        },
        ConvPass::InputGrad => Problem {
            m: gin,
            w: [w_group, window, w_out, window_width, 1],
            x: [y_group, output, y_sample, g.output[0], out_width],
            out: [x_group, input, x_sample],
            k: ([gout, g.kernel[0], window_width], g.dilation),
            j: (samples(g.input), [1, 1]),
        },
        ConvPass::WeightGrad => Problem {
            m: gout,
            w: [y_group, output, y_sample, out_width, 1],
            x: [x_group, x_sample, input, g.input[0], width],
            out: [w_group, w_out, window],
            k: (samples(g.output), g.stride),
            j: ([gin, g.kernel[0], window_width], g.dilation),
        },
    };
    let (k, n): (usize, usize) = (problem.k.0.iter().product(), problem.j.0.iter().product());
    // The input's gradient is taken by residue classes of positions: in each, so many columns and so many terms at
    // most.
    let classes = if kernel.pass == ConvPass::InputGrad { g.stride } else { [1, 1] };
    let periods = [0, 1].map(|axis| classes[axis] / gcd(classes[axis], g.dilation[axis]));
    let [j0, jy, jx] = problem.j.0;
    let [k0, ky, kx] = problem.k.0;
    let columns = j0 * jy.div_ceil(classes[0]) * jx.div_ceil(classes[1]) + usize::from(kernel.row_sums);
    let terms = k0 * ky.div_ceil(periods[0]) * kx.div_ceil(periods[1]);
    let matmuls = g.groups * area(classes);
    let may_split = kernel.pass == ConvPass::WeightGrad;
    let sizes = [matmuls, problem.m, columns, terms];
    let rule = tile::rule(sizes, k, may_split, target);
    let others = || tile::all(sizes, k, may_split, target);
    let Variant { way: tile, parts, part: part_k } = cx.choose(rule, others);
    let (a, b) = (&launch.inputs[0], &launch.inputs[1]);
    let reads = [Reads::choose(["x", "x_more"], a, target), Reads::choose(["w", "w_more"], b, target)];
    // Where `w` is a uniform, lanes fetch it for themselves.
    let direct = reads[1].uniform() && tile.split == 1;
    let bk = match terms {
        ..=4 => 4,
        5..=8 => 8,
        _ if direct => 8,
        _ if !tile.columns.is_multiple_of(16) => 8,
        _ => 16,
    };
    let depth = bk * tile.split;
    let tiles = [problem.m.div_ceil(tile.rows), columns.div_ceil(tile.columns * tile.per)];
    let gather = match kernel.pass {
        ConvPass::InputGrad => 2,
        _ => u32::from(g.padding != [0, 0]),
    };
    let (w, x) = (&problem.w, &problem.x);
    let workgroups = tile.workgroups([matmuls, problem.m, columns]);
    let own = &launch.outputs[..1 + usize::from(kernel.row_sums)];
    let outputs = if parts == 1 {
        own.to_vec()
    } else {
        let partial = |output: &Operand| cx.scratch([parts, output.view.shape.elements()], DType::F32);
        own.iter().map(partial).collect()
    };
    let operands = Operands::new(&launch.inputs[..2], &outputs);
    let sums_offset = outputs.get(1).map_or(0, |sums| sums.view.offset);
    let params: Vec<usize> = [problem.m, n, k, g.groups, tiles[0], tiles[1]]
        .into_iter()
        .chain([b.view.offset - reads[1].first, w[0], w[1], w[2], w[3], w[4]])
        .chain([a.view.offset - reads[0].first, x[0], x[1], x[2], x[3], x[4]])
        .chain([outputs[0].view.offset, problem.out[0], problem.out[1], problem.out[2]])
        .chain(g.padding)
        .chain([ky, kx, problem.k.1[0], problem.k.1[1]])
        .chain([problem.j.0[1], problem.j.0[2], problem.j.1[0], problem.j.1[1]])
        .chain([depth / (kx * ky), depth / kx % ky, depth % kx, periods[0], periods[1], sums_offset, parts, part_k])
        .collect();
    let shader = Shader::file("conv", include_str!("../../../shaders/conv.wgsl"))
        .join("conv_gather", include_str!("../../../shaders/conv_gather.wgsl"))
        .join("conv_sums", include_str!("../../../shaders/conv_sums.wgsl"))
        .join("conv_direct", include_str!("../../../shaders/conv_direct.wgsl"))
        .join("conv_store", include_str!("../../../shaders/conv_store.wgsl"))
        .constant("COLUMNS", tile.columns as u32)
        .constant("PER", tile.per as u32)
        .constant("SPLIT", tile.split as u32)
        .constant("ROWS", tile.rows as u32)
        .constant("BK", bk as u32)
        .constant("GATHER", gather)
        .constant("SY", classes[0] as u32)
        .constant("SX", classes[1] as u32)
        .constant("DIRECT", direct.into())
        .broadcast(target.broadcasts() && tile.split == 1)
        .row_sums(kernel.row_sums)
        .alias("T", a.dtype)
        .alias("C", outputs[0].dtype)
        .alias("S", outputs[outputs.len() - 1].dtype);
    let workgroups = (workgroups * parts) as u64;
    let params = params.into_iter().map(|word| word as u32).collect();
    let (dispatch, named) = Dispatch::reading(operands, shader, params, workgroups, &reads);
    Pass { dispatch, named, partials: if parts > 1 { outputs } else { Vec::new() } }
}

/// A dispatch of `conv.wgsl`.
struct Pass {
    dispatch: Dispatch,
    /// What its shader calls the buffers.
    named: Vec<&'static str>,
    /// Where k is split: the partial results, and row sums, that it stores.
    partials: Vec<Operand>,
}

pub(super) fn dispatches(kernel: &ConvKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let launch = cx.launch;
    let Pass { dispatch, named, partials } = dispatch(kernel, cx);
    let axes = axes(kernel);
    let stores = Stores { axes: &axes, quads: None, held: true };
    if partials.is_empty() {
        cx.push(store(dispatch, &named, launch.into(), 2, kernel.epilogue.as_ref(), stores));
        return Ok(());
    }
    cx.push(store(dispatch, &named, Operands::new(&launch.inputs[..2], &partials), 2, None, stores));
    add_partials(cx, &partials, kernel.epilogue.as_ref());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::dtype::DType;
    use crate::ops::conv::ConvOptions;
    use crate::wgsl::GpuTarget;
    use crate::wgsl::dispatch::launched;

    /// The workgroups of each dispatch, and the bytes of scratch, of the gradient of a 2-D convolution's weight.
    fn weight_gradient(x: [usize; 4], w: [usize; 4], bias: bool, target: &GpuTarget) -> (Vec<u64>, u64) {
        launched(target, |g| {
            let (x, w) = (g.input("x", x, DType::F32), g.input("w", w, DType::F32));
            let y = x.conv(w, &ConvOptions::new().padding(w.shape()[2] / 2));
            let seed = g.input("seed", y.shape(), DType::F32);
            let gradient = y.vjp(seed, &[w])[0];
            if bias { vec![gradient, seed.sum([0, 2, 3])] } else { vec![gradient] }
        })
    }

    #[test]
    fn few_tiles_of_long_k_are_split() {
        let (gpu, software) = (&GpuTarget::default(), &GpuTarget { software: true, ..GpuTarget::default() });
        // Tiles of 16 rows and 64 columns, 4 × 9 of them; parts of 3461 terms.
        let (workgroups, scratch) = weight_gradient([32, 64, 56, 56], [64, 64, 3, 3], false, gpu);
        assert_eq!((workgroups.len(), workgroups[0]), (2, 4 * 9 * 29));
        assert_eq!(scratch, 29 * 64 * 576 * 4);
        // A bias adds one column and a third dispatch.
        let (workgroups, scratch) = weight_gradient([32, 64, 56, 56], [64, 64, 3, 3], true, gpu);
        assert_eq!((workgroups.len(), workgroups[0]), (3, 4 * 10 * 26));
        assert_eq!(scratch, 26 * 64 * 577 * 4);
        // Few columns: small tiles, whose threads share k.
        let (workgroups, _) = weight_gradient([100, 1, 1, 40], [25, 1, 1, 5], false, gpu);
        assert_eq!((workgroups.len(), workgroups[0]), (2, 7 * 15));
        // Tiles enough, a short k, a software driver.
        assert_eq!(weight_gradient([4, 512, 14, 14], [512, 512, 3, 3], false, gpu), (vec![32 * 72], 0));
        assert_eq!(weight_gradient([1, 64, 30, 30], [64, 64, 3, 3], false, gpu).0.len(), 1);
        assert_eq!(weight_gradient([32, 64, 56, 56], [64, 64, 3, 3], false, software).0.len(), 1);
    }
}
