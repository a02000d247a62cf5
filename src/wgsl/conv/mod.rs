//! Convolutions and their gradients, as batched matmuls with a gathered matrix.
//!
//! Where k is split over workgroups, a first dispatch stores a partial result for each part of k, and others add these
//! and apply the epilogue.

mod blocks;
mod gather;
mod gather_tile;
mod problem;

use super::generate::{Stores, store};
use super::matmul::SharedTile;
use super::reduce::add_partials;
use super::variant::Split;
use super::{Dispatches, GpuTarget, Operands};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::Operand;
use crate::kernels::conv::{ConvKernel, ConvPass};
use blocks::Blocks;
use gather_tile::GatherTile;
use problem::{Problem, axes};

const CLASSES: &str = include_str!("../../../shaders/conv_classes.wgsl");

/// Multiply-adds from which on tiles through workgroup memory pay: below, launches are short and the copy of `w` counts.
const MANY: usize = 1 << 26;
/// Steps of k in a thread's loop: Mesa's lavapipe ends a thread's loops after 65,535 iterations.
const LONGEST: usize = 1 << 19;

/// A way to run a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tile {
    /// `conv.wgsl`.
    Gather(GatherTile),
    /// `matmul.wgsl` with `conv_blocks.wgsl`.
    Blocks(SharedTile),
}

impl std::fmt::Display for Tile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Tile::Gather(tile) => write!(f, "gather-{tile}"),
            Tile::Blocks(tile) => write!(f, "blocks-{tile}"),
        }
    }
}

/// The rule's choice. Tiles through workgroup memory are for much work in matrices that fill them, on hardware; else,
/// threads gather for themselves.
fn rule(kernel: &ConvKernel, problem: &Problem, blocks: &Blocks<'_>, target: &GpuTarget) -> Split<Tile> {
    let ([matmuls, m, n, k], [columns, terms]) = (blocks.sizes(), problem.most());
    let work = matmuls * m * columns * terms;
    let filled = 2 * columns * terms > n * k && m >= 16 && columns >= 16;
    if !target.software && filled && work >= MANY {
        return SharedTile::rule([matmuls, m, n, k], target).map(Tile::Blocks);
    }
    let columns = columns + usize::from(kernel.row_sums);
    let may_split = kernel.pass == ConvPass::WeightGrad;
    let sizes = [problem.matmuls(), problem.m, columns, terms];
    gather_tile::rule(sizes, problem.terms(), may_split, target).map(Tile::Gather)
}

/// All that may be worth a try.
fn all(kernel: &ConvKernel, problem: &Problem, blocks: &Blocks<'_>, target: &GpuTarget) -> Vec<Split<Tile>> {
    let [columns, terms] = problem.most();
    let columns = columns + usize::from(kernel.row_sums);
    let may_split = kernel.pass == ConvPass::WeightGrad;
    let sizes = [problem.matmuls(), problem.m, columns, terms];
    let gather = gather_tile::all(sizes, problem.terms(), may_split, target);
    let tiles = SharedTile::variants(blocks.sizes(), target);
    let short = tiles.into_iter().filter(|variant| variant.part <= LONGEST);
    gather.into_iter().map(|v| v.map(Tile::Gather)).chain(short.map(|v| v.map(Tile::Blocks))).collect()
}

pub(super) fn dispatches(kernel: &ConvKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (launch, target) = (cx.launch, cx.target);
    let problem = Problem::new(kernel);
    let blocks = Blocks::new(kernel, &problem);
    let rule = rule(kernel, &problem, &blocks, target);
    let Split { way, parts, part } = cx.choose(rule, || all(kernel, &problem, &blocks, target));
    let own = &launch.outputs[..1 + usize::from(kernel.row_sums)];
    let partial = |output: &Operand| cx.scratch([parts, output.view.shape.elements()], DType::F32);
    let results: Vec<Operand> = if parts == 1 { own.to_vec() } else { own.iter().map(partial).collect() };
    let operands = Operands::new(&launch.inputs[..2], &results);
    let ((mut dispatch, named), quads) = match way {
        Tile::Gather(way) => (gather::dispatch(kernel, &problem, operands, Split { way, parts, part }, target), None),
        Tile::Blocks(way) => (blocks.dispatch(Split { way, parts, part }, &results, cx), blocks.quads(&results)),
    };
    if quads.is_none() {
        dispatch.shader = dispatch.shader.alias("C", results[0].dtype);
    }
    let axes = axes(kernel);
    let stores = Stores { axes: &axes, quads, held: matches!(way, Tile::Gather(_)) };
    if parts == 1 {
        cx.push(store(dispatch, &named, launch.into(), 2, kernel.epilogue.as_ref(), stores));
        return Ok(());
    }
    cx.push(store(dispatch, &named, operands, 2, None, stores));
    add_partials(cx, &results, kernel.epilogue.as_ref());
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
        // Tiles of 64 rows and 64 columns, 1 × 9 of them; parts of 896 terms.
        let (workgroups, scratch) = weight_gradient([32, 64, 56, 56], [64, 64, 3, 3], false, gpu);
        assert_eq!((workgroups.len(), workgroups[0]), (2, 9 * 112));
        assert_eq!(scratch, 112 * 64 * 576 * 4);
        // A bias adds the sums of rows and a third dispatch.
        let (workgroups, scratch) = weight_gradient([32, 64, 56, 56], [64, 64, 3, 3], true, gpu);
        assert_eq!((workgroups.len(), workgroups[0]), (3, 9 * 112));
        assert_eq!(scratch, 112 * 64 * 577 * 4);
        // Little work: threads gather. Few columns: small tiles, whose threads share k.
        let (workgroups, _) = weight_gradient([100, 1, 1, 40], [25, 1, 1, 5], false, gpu);
        assert_eq!((workgroups.len(), workgroups[0]), (2, 7 * 15));
        assert_eq!(weight_gradient([1, 64, 30, 30], [64, 64, 3, 3], false, gpu).0.len(), 1);
        // Tiles enough, a software driver.
        assert_eq!(weight_gradient([4, 512, 14, 14], [512, 512, 3, 3], false, gpu), (vec![8 * 72], 0));
        assert_eq!(weight_gradient([32, 64, 56, 56], [64, 64, 3, 3], false, software).0.len(), 1);
    }

    #[test]
    fn much_work_runs_on_the_tiles_of_matmuls() {
        let forward = |x: [usize; 4], w: [usize; 4], stride: usize, software: bool| {
            launched(&GpuTarget { software, ..GpuTarget::default() }, |g| {
                let (x, w) = (g.input("x", x, DType::F32), g.input("w", w, DType::F32));
                vec![x.conv(w, &ConvOptions::new().padding(w.shape()[2] / 2).stride(stride))]
            })
        };
        // A copy of `w` in which rows are neighbours, then 64 × 64 tiles; lines of 56 are whole fours.
        assert_eq!(forward([32, 64, 56, 56], [64, 64, 3, 3], 1, false), (vec![576, 32 * 56 * 56 / 64], 64 * 576 * 4));
        // Kernel positions of 1 × 1 need no copy, and planes are lines: 49 positions as 52.
        assert_eq!(forward([64, 256, 7, 7], [512, 256, 1, 1], 1, false), (vec![8 * 52], 0));
        // One channel, few rows, a software driver.
        for (x, w, software) in [
            ([256, 1, 56, 56], [64, 1, 5, 5], false),
            ([256, 64, 56, 56], [8, 64, 3, 3], false),
            ([32, 64, 56, 56], [64, 64, 3, 3], true),
        ] {
            assert_eq!(forward(x, w, 1, software).0.len(), 1);
        }
    }
}
