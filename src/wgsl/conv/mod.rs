//! Convolutions and their gradients, as batched matmuls with a gathered matrix.
//!
//! Where k is split over workgroups, a first dispatch stores a partial result for each part of k, and others add these
//! and apply the epilogue.

mod blocks;
mod gather;
mod gather_tile;
mod problem;

use super::estimate::{fastest, seconds};
use super::generate::{Stores, store};
use super::matmul::{Also, SharedTile};
use super::reduce::add_partials;
use super::reduce_shape::partial_sums;
use super::variant::Split;
use super::{Dispatches, GpuTarget, Operands, Work};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::Operand;
use crate::kernels::conv::{ConvKernel, ConvPass};
use blocks::Blocks;
use gather_tile::GatherTile;
use problem::{Problem, axes};

const CLASSES: &str = include_str!("../../../shaders/conv_classes.wgsl");

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

/// What is to be chosen for.
struct Ways<'a> {
    kernel: &'a ConvKernel,
    problem: &'a Problem,
    blocks: &'a Blocks<'a>,
    target: &'a GpuTarget,
}

impl Ways<'_> {
    /// Matmuls, rows, columns and terms of one as threads see them that gather for themselves.
    fn sizes(&self) -> [usize; 4] {
        let [columns, terms] = self.problem.most();
        [self.problem.matmuls(), self.problem.m, columns + usize::from(self.kernel.row_sums), terms]
    }

    /// The rule's choice: of a typical GPU's ways the fastest, by estimate. On software drivers threads gather for
    /// themselves.
    fn rule(&self) -> Split<Tile> {
        let gather = || gather_tile::rule(self.sizes(), self.problem.terms(), self.target).map(Tile::Gather);
        if self.target.software {
            return gather();
        }
        let plain = SharedTile::plain(self.blocks.sizes());
        let shares = |v: &Split<Tile>| match v.way {
            Tile::Blocks(way) => SharedTile::shares_k(&Split { way, parts: v.parts, part: v.part }),
            Tile::Gather(_) => false,
        };
        let fits = self.all().into_iter().filter(|variant| !plain || !shares(variant));
        fastest(fits, |variant| self.seconds(variant)).unwrap_or_else(gather)
    }

    /// All that may be worth a try.
    fn all(&self) -> Vec<Split<Tile>> {
        let may_split = self.kernel.pass == ConvPass::WeightGrad;
        let gather = gather_tile::all(self.sizes(), self.problem.terms(), may_split, self.target);
        let tiles = SharedTile::variants(self.blocks.sizes(), self.target);
        let short = tiles.into_iter().filter(|variant| variant.part <= LONGEST);
        short.map(|v| v.map(Tile::Blocks)).chain(gather.into_iter().map(|v| v.map(Tile::Gather))).collect()
    }

    /// Bytes of the operands, as many as those of the input and the output.
    fn bytes(&self) -> usize {
        let g = &self.kernel.geometry;
        let elements = |channels: usize, size: [usize; 2]| g.batch * channels * size[0] * size[1];
        4 * (elements(g.in_channels, g.input) + elements(g.out_channels, g.output))
    }

    /// What a way takes on a typical GPU, with the copy of `w` and the sum of partial results.
    fn seconds(&self, &Split { way, parts, part }: &Split<Tile>) -> f64 {
        match way {
            Tile::Blocks(tile) => {
                let copy = if self.blocks.packs() { seconds(&Work::of(64, 1, 0, 30), 1) } else { 0.0 };
                let row_sums = self.kernel.row_sums;
                let also = Also { operands: self.bytes(), again: self.blocks.again(), row_sums };
                copy + SharedTile::seconds(&Split { way: tile, parts, part }, self.blocks.sizes(), also)
            }
            Tile::Gather(tile) => {
                let [matmuls, m, columns, terms] = self.sizes();
                let workgroups = (tile.workgroups([matmuls, m, columns]) * parts) as u64;
                let row_sums = usize::from(self.kernel.row_sums) * matmuls * m;
                let sums = partial_sums(parts, [matmuls * m * columns, row_sums]);
                let bytes = (self.bytes() + 4 * parts * matmuls * m * columns) as u64;
                seconds(&Work { bytes, ..tile.work(terms.div_ceil(parts)) }, workgroups) + sums
            }
        }
    }
}

pub(super) fn dispatches(kernel: &ConvKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (launch, target) = (cx.launch, cx.target);
    let problem = Problem::new(kernel);
    let blocks = Blocks::new(kernel, &problem);
    let ways = Ways { kernel, problem: &problem, blocks: &blocks, target };
    let Split { way, parts, part } = cx.choose(ways.rule(), || ways.all());
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
        // Tiles of 64 rows and 64 columns, 1 × 9 of them, in 128 parts of 784 terms.
        let (workgroups, scratch) = weight_gradient([32, 64, 56, 56], [64, 64, 3, 3], false, gpu);
        assert_eq!((workgroups.len(), workgroups[0]), (2, 9 * 128));
        assert_eq!(scratch, 128 * 64 * 576 * 4);
        // A bias adds the sums of rows and a third dispatch.
        let (workgroups, scratch) = weight_gradient([32, 64, 56, 56], [64, 64, 3, 3], true, gpu);
        assert_eq!((workgroups.len(), workgroups[0]), (3, 9 * 128));
        assert_eq!(scratch, 128 * 64 * 577 * 4);
        // Few rows and columns.
        assert_eq!(weight_gradient([100, 1, 1, 40], [25, 1, 1, 5], false, gpu).0.len(), 2);
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
        assert_eq!(forward([64, 256, 7, 7], [512, 256, 1, 1], 1, false), (vec![4 * 26], 0));
        // One channel, and a software driver: threads gather.
        for (x, w, software) in [([256, 1, 56, 56], [64, 1, 5, 5], false), ([32, 64, 56, 56], [64, 64, 3, 3], true)] {
            assert_eq!(forward(x, w, 1, software).0.len(), 1);
        }
    }
}
