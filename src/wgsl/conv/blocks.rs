//! Convolutions on the tiles of matmuls: `shaders/matmul.wgsl` with `shaders/conv_blocks.wgsl` joined to it.

use super::problem::Problem;
use crate::dtype::DType;
use crate::kernels::conv::{ConvKernel, ConvPass};
use crate::kernels::{Fused, KernelInfo, Operand};
use crate::shape::{Shape, View};
use crate::wgsl::elementwise::dispatch as elementwise;
use crate::wgsl::matmul::SharedTile;
use crate::wgsl::variant::Split;
use crate::wgsl::{Apart, Dispatch, Dispatches, Operands, Reads};

/// Operations from which on a copy of `w` takes little beside them: some microseconds of a large GPU.
const MANY: u64 = 1 << 27;

/// A convolution as the shader sees it: k and columns in fours.
pub(super) struct Blocks<'a> {
    kernel: &'a ConvKernel,
    problem: &'a Problem,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(kernel: &'a ConvKernel, problem: &'a Problem) -> Self {
        Blocks { kernel, problem }
    }

    fn weight(&self) -> bool {
        self.kernel.pass == ConvPass::WeightGrad
    }

    /// Axes (outer, y, x) of k and of columns, in fours: of channels on one side, of positions along x on the other.
    fn fours(&self) -> [[usize; 3]; 2] {
        let channels = |[outer, y, x]: [usize; 3]| [outer.div_ceil(4), y, x];
        let positions = |[outer, y, x]: [usize; 3]| [outer, y, x.div_ceil(4)];
        let (k, j) = (self.problem.k.0, self.problem.j.0);
        if self.weight() { [positions(k), channels(j)] } else { [channels(k), positions(j)] }
    }

    /// The matmuls, with axes filled up: how many, rows, columns, and k of the residue classes with the most.
    pub(super) fn sizes(&self) -> [usize; 4] {
        let Problem { classes, periods, .. } = *self.problem;
        let ([k, _], j) = (self.fours(), self.problem.j.0);
        let columns = if self.weight() {
            4 * self.fours()[1].iter().product::<usize>()
        } else {
            4 * j[0] * j[1].div_ceil(classes[0]) * j[2].div_ceil(classes[1]).div_ceil(4)
        };
        let terms = 4 * k[0] * k[1].div_ceil(periods[0]) * k[2].div_ceil(periods[1]);
        [self.problem.matmuls(), self.problem.m, columns, terms]
    }

    /// Whether `w` should be copied so that rows are neighbours in memory: else neighbouring threads would read it far
    /// apart, which little work can bear better than another dispatch.
    pub(super) fn packs(&self) -> bool {
        !self.weight() && self.kernel.geometry.kernel != [1, 1] && self.kernel.flops() >= MANY
    }

    /// Adds the dispatches of one way to run it, but for the last, which is returned with what its shader calls the
    /// buffers. `results` are the outputs, or partial results.
    pub(super) fn dispatch(
        &self,
        way: Split<SharedTile>,
        results: &[Operand],
        cx: &mut Dispatches<'_>,
    ) -> (Dispatch, Vec<&'static str>) {
        let (x, w) = (&cx.launch.inputs[0], &cx.launch.inputs[1]);
        let problem = self.problem;
        let [group, row, outer, y, across] = problem.w;
        let (w, [group, row, outer, y, across]) = if self.packs() {
            let ([k0, ky, kx], m) = (problem.k.0, problem.m);
            let sizes = [problem.groups, ky, kx, k0, m];
            let strides = [group, y, across, outer, row].map(|stride| stride as isize);
            let view = View { shape: Shape::from(sizes), strides: strides.into(), offset: w.view.offset };
            let packed = cx.scratch(sizes, w.dtype);
            let from = Operand { view, ..w.clone() };
            let copy = Fused::result(&packed.view.shape, w.dtype);
            let operands = Operands::new(std::slice::from_ref(&from), std::slice::from_ref(&packed));
            let way = Apart::rule(packed.view.shape.elements(), cx.target);
            let dispatch = elementwise(&copy.expr, &packed.view.shape, operands, way, cx.target);
            cx.push(dispatch);
            (packed, [ky * kx * k0 * m, 1, m, kx * k0 * m, k0 * m])
        } else {
            (w.clone(), problem.w)
        };
        self.main(way, [x, &w], [group, row, outer, y, across], results)
    }

    /// The dispatch of the matmul: `w` has these strides (group, row, k0, ky, kx).
    fn main(
        &self,
        Split { way: tile, parts, part }: Split<SharedTile>,
        [x, w]: [&Operand; 2],
        strides: [usize; 5],
        results: &[Operand],
    ) -> (Dispatch, Vec<&'static str>) {
        let (problem, weight) = (self.problem, self.weight());
        let ([k, j], [k0, ky, kx], [j0, jy, jx]) = (self.fours(), problem.k.0, problem.j.0);
        let [k_inner, j_inner] = if weight { [kx, j0] } else { [k0, jx] };
        let [group, row, outer, y, across] = strides;
        let of_four = |is_four: bool, stride: usize| if is_four { 4 * stride } else { stride };
        let next = if weight { across } else { outer };
        let sizes = self.sizes();
        let tiles = tile.tiles(problem.m, sizes[2]);
        let backwards = self.kernel.pass == ConvPass::InputGrad;
        let apart = |axis: usize| {
            let step = problem.k.1[axis] * problem.periods[axis] / problem.classes[axis];
            of_four(weight && axis == 1, step) as isize * if backwards { -1 } else { 1 }
        };
        let base = problem.padding.map(|pad| pad as isize * if backwards { 1 } else { -1 });
        let [channel, k_outer, j_outer] = if weight {
            [problem.x[2], problem.x[1], 4 * problem.x[2]]
        } else {
            [problem.x[1], 4 * problem.x[1], problem.x[2]]
        };
        let x_next = if weight { problem.k.1[1] } else { problem.j.1[1] };
        let [c_group, c_row, c_outer] = problem.out;
        let sums_offset = results.get(1).map_or(0, |sums| sums.view.offset);
        // Only the input's gradient has classes, and then its planes are those of the columns.
        let dilation = problem.k.1;
        let params: Vec<u32> =
            [problem.m, tiles[0], tiles[1], sizes[0], results[0].view.offset, sums_offset, parts, part]
                .into_iter()
                .chain(k.into_iter().chain([k_inner]).chain(j).chain([j_inner]))
                .chain([w.view.offset, group, row, of_four(!weight, outer), y, of_four(weight, across), next])
                .chain([x.view.offset, problem.x[0], channel, problem.plane[0], problem.plane[1]])
                .map(|size| size as u32)
                .chain([k_outer as u32, apart(0) as u32, apart(1) as u32, j_outer as u32])
                .chain([problem.j.1[0], of_four(!weight, problem.j.1[1]), x_next].map(|size| size as u32))
                .chain(base.map(|base| base as u32))
                .chain([self.elements(), c_group, c_row, c_outer, jx].map(|size| size as u32))
                .chain(
                    problem
                        .padding
                        .into_iter()
                        .chain(dilation)
                        .chain(problem.periods)
                        .chain([jy])
                        .map(|size| size as u32),
                )
                .collect();
        let multiples = |strides: &[usize]| strides.iter().all(|stride| stride.is_multiple_of(4));
        // Four k of `w`, or four rows of it, as aligned vectors.
        let last = if weight { (k0, outer) } else { (kx, across) };
        let others = [(problem.groups, group), (ky, y), last];
        let aligned = w.view.offset.is_multiple_of(4)
            && others.into_iter().all(|(size, stride)| size == 1 || stride.is_multiple_of(4));
        let a_vector = match () {
            () if next == 1 && aligned && multiples(&[k_inner, row]) => 1,
            () if row == 1 && aligned && multiples(&[problem.m, next]) => 2,
            () => 0,
        };
        // Four positions of `x`, if kernel positions do not move them.
        let still = self.kernel.geometry.kernel[1] == 1 && problem.padding[1] == 0;
        let x_vector =
            x_next == 1 && still && problem.classes == [1, 1] && multiples(&[x.view.offset, problem.plane[1]]);
        let axes = match (ky, k[2]) {
            (1, 1) => 1,
            (1, _) => 2,
            _ => 3,
        };
        let shader = tile
            .shader()
            .join("conv_blocks", include_str!("../../../shaders/conv_blocks.wgsl"))
            .join("conv_classes", super::CLASSES)
            .constant("WEIGHT", weight.into())
            .constant("SY", problem.classes[0] as u32)
            .constant("SX", problem.classes[1] as u32)
            .constant("K_AXES", axes)
            .constant("K_WHOLE", k_inner.is_multiple_of(4).into())
            .constant("J_WHOLE", j_inner.is_multiple_of(4).into())
            .constant("A_VECTOR", a_vector)
            .constant("X_VECTOR", x_vector.into())
            .constant("A_BY_K", u32::from(next == 1))
            .constant("B_BY_K", weight.into())
            .row_sums(self.kernel.row_sums)
            .alias("T", x.dtype)
            .alias("S", results[results.len() - 1].dtype);
        let shader = if a_vector > 0 { shader.vector("A", w.dtype) } else { shader.alias("A", w.dtype) };
        let shader = if x_vector { shader.vector("X", x.dtype) } else { shader.alias("X", x.dtype) };
        let workgroups = (tiles[0] * tiles[1] * sizes[0] * parts) as u64;
        let inputs = [x.clone(), w.clone()];
        let reads = [Reads::storage(["x", "x_more"]), Reads::storage(["w", "w_more"])];
        let (dispatch, named) = Dispatch::reading(Operands::new(&inputs, results), shader, params, workgroups, &reads);
        (dispatch.work(tile.work(part, self.again()).needed(self.kernel.flops() as usize / 2)), named)
    }

    /// How many kernel positions of a row read an element of `x` one after another.
    pub(super) fn again(&self) -> usize {
        self.kernel.geometry.kernel[1].div_ceil(self.kernel.geometry.stride[1])
    }

    /// Elements of the result.
    fn elements(&self) -> usize {
        self.problem.groups * self.problem.m * self.problem.columns()
    }

    /// The dtype of vectors of four columns in which results may be stored: where columns are neighbours in memory, and
    /// lines are whole fours.
    pub(super) fn quads(&self, results: &[Operand]) -> Option<DType> {
        let whole = !self.weight() && self.problem.classes == [1, 1] && self.problem.j.0[2].is_multiple_of(4);
        whole.then_some(results[0].dtype)
    }
}
