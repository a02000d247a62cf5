//! Reductions: `shaders/reduce.wgsl`.
//!
//! Where outputs are too few to fill a GPU, the reduced points are cut into parts: a first dispatch stores a partial
//! result of each part, and a second one combines those of an output in their order.

use super::generate::{Piece, Region, generate};
use super::reduce_shape::Shape;
use super::shader::REDUCE;
use super::variant::Split;
use super::{Dispatches, Lanes, Operands, Shader, work};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::reduce::ReduceKernel;
use crate::kernels::{Expr, Fused, Instr, Operand};
use crate::ops::reduce::ReduceKind;

pub(super) fn dispatches(kernel: &ReduceKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let launch = cx.launch;
    let (loads, more) = kernel.inputs(launch);
    let terms = Terms {
        kind: kernel.kind,
        dtype: kernel.dtype,
        outer: &kernel.outer,
        inner: &kernel.inner,
        expr: &kernel.expr,
        loads,
        count: kernel.inner.elements(),
        places: None,
    };
    let plain = Fused::result(&launch.outputs[0].view.shape, launch.outputs[0].dtype.compute());
    let epilogue = kernel.epilogue.as_ref().unwrap_or(&plain);
    let (target, shape) = (cx.target, terms.shape());
    let chosen = cx.choose(shape.rule(true, target), || shape.all(true, target));
    let parts = chosen.parts;
    if parts < 2 {
        terms.dispatch(cx, chosen, epilogue, more, &launch.outputs);
        return Ok(());
    }
    let (outputs, dtype) = (kernel.outer.elements(), kernel.dtype);
    let values = cx.scratch([parts, outputs], dtype);
    let partial = Fused::result(&values.view.shape, dtype);
    let (first, places) = match kernel.kind {
        ReduceKind::ArgMax => (ReduceKind::Max, true),
        ReduceKind::ArgMin => (ReduceKind::Min, true),
        ReduceKind::Mean => (ReduceKind::Sum, false),
        kind => (kind, false),
    };
    let mut found = vec![values.clone()];
    found.extend(places.then(|| cx.scratch([parts, outputs], DType::U32)));
    Terms { kind: first, ..terms }.dispatch(cx, chosen, &partial, &[], &found);
    combined(cx, kernel.kind, kernel.inner.elements(), &found, epilogue, more, &launch.outputs);
    Ok(())
}

/// Adds the dispatches that end a matmul or a convolution whose k is split: they add the partial results, the first of
/// `partials`, apply the epilogue, and add the partial row sums if there are some.
pub(super) fn add_partials(cx: &mut Dispatches<'_>, partials: &[Operand], epilogue: Option<&Fused>) {
    let launch = cx.launch;
    let plain = |output: usize| Fused::result(&launch.outputs[output].view.shape, DType::F32);
    let (result, sums) = (plain(0), partials.get(1));
    let outputs = &launch.outputs[..launch.outputs.len() - usize::from(sums.is_some())];
    combine(cx, ReduceKind::Sum, &partials[0], epilogue.unwrap_or(&result), &launch.inputs[2..], outputs);
    if let Some(sums) = sums {
        combine(cx, ReduceKind::Sum, sums, &plain(1), &[], &launch.outputs[1..]);
    }
}

/// Adds a dispatch that reduces partial results `[parts, outputs]`, dense, in order of the parts, and stores what the
/// epilogue makes of them, which loads `more`.
fn combine(
    cx: &mut Dispatches<'_>,
    kind: ReduceKind,
    partials: &Operand,
    epilogue: &Fused,
    more: &[Operand],
    outputs: &[Operand],
) {
    let parts = partials.view.shape[0];
    combined(cx, kind, parts, std::slice::from_ref(partials), epilogue, more, outputs);
}

/// As [`combine`], for partial results of `count` terms in all; of an argmax, they and where they were found.
fn combined(
    cx: &mut Dispatches<'_>,
    kind: ReduceKind,
    count: usize,
    partials: &[Operand],
    epilogue: &Fused,
    more: &[Operand],
    outputs: &[Operand],
) {
    let transposed = |operand: &Operand| Operand { view: operand.view.permute(&[1, 0]), ..operand.clone() };
    let by_output: Vec<Operand> = partials.iter().map(transposed).collect();
    let dtype = partials[0].dtype.compute();
    let [parts, points] = [0, 1].map(|axis| partials[0].view.shape[axis]);
    let terms = Terms {
        kind,
        dtype,
        outer: &[points],
        inner: &[parts],
        expr: &load(partials[0].dtype),
        loads: &by_output[..1],
        count,
        places: by_output.get(1),
    };
    let chosen = terms.shape().rule(false, cx.target);
    terms.dispatch(cx, chosen, epilogue, more, outputs);
}

/// The expression that is its one operand.
fn load(dtype: DType) -> Expr {
    Expr { instrs: vec![Instr::Load { input: 0, dtype }], roots: vec![0] }
}

/// What a dispatch reduces: for each kept point, an expression's values at the reduced points.
#[derive(Clone, Copy)]
struct Terms<'a> {
    kind: ReduceKind,
    /// The compute dtype of the values.
    dtype: DType,
    /// The kept axes.
    outer: &'a [usize],
    /// The reduced axes.
    inner: &'a [usize],
    expr: &'a Expr,
    loads: &'a [Operand],
    /// What a mean divides by.
    count: usize,
    /// For an argmax of partial results: where these were found. Else it is where the reduction finds its result.
    places: Option<&'a Operand>,
}

impl Terms<'_> {
    /// Reduced points.
    fn points(&self) -> usize {
        self.inner.iter().product()
    }

    /// Whether neighbouring outputs, not neighbouring terms, are neighbours in memory.
    fn spread(&self) -> bool {
        self.loads.first().is_some_and(|operand| {
            let split = self.outer.len();
            let last = |range: std::ops::Range<usize>| {
                range.rev().find(|&k| operand.view.shape[k] != 1).map(|k| operand.view.strides[k].abs())
            };
            let (kept, reduced) = (last(0..split), last(split..operand.view.shape.rank()));
            kept == Some(1) && reduced.is_some_and(|stride| stride > 1)
        })
    }

    fn shape(&self) -> Shape {
        let outputs = self.outer.iter().product();
        let (instructions, waits) = (work::instructions(self.expr), work::waits(self.expr));
        Shape { outputs, terms: self.points(), spread: self.spread(), instructions, waits }
    }

    /// Adds the dispatch that reduces the parts of the terms of each output: it stores results `[parts, outputs]`.
    fn dispatch(
        &self,
        cx: &mut Dispatches<'_>,
        Split { way: threads, parts, part: length }: Split<Lanes>,
        epilogue: &Fused,
        more: &[Operand],
        outputs: &[Operand],
    ) {
        let units = self.outer.iter().product::<usize>() * parts;
        let own = [length, units, self.count].map(|size| size as u32);
        let value = Piece {
            region: Region::Value("value"),
            outer: self.outer,
            inner: self.inner,
            expr: self.expr,
            loads: self.loads.iter().map(Some).collect(),
            outputs: Vec::new(),
            natural: &[],
            quads: false,
            held: false,
            own: &own,
        };
        let (place, index) = (load(DType::U32), Fused::result(&outputs[0].view.shape, DType::U32));
        let mut pieces = vec![value.clone()];
        if let Some(places) = self.places {
            pieces.push(Piece {
                region: Region::Value("place"),
                expr: &place,
                loads: vec![Some(places)],
                own: &[],
                ..value
            });
        }
        // Partial results of an argmax are stored with their places.
        let (stored, found) = outputs.split_at(if parts > 1 { 1 } else { outputs.len() });
        pieces.push(Piece::epilogue(epilogue, Region::Reduced(self.kind), more, stored));
        if !found.is_empty() {
            pieces.push(Piece::epilogue(&index, Region::ReducedPlace, &[], found));
        }
        let kind = match self.kind {
            ReduceKind::Sum => 0,
            ReduceKind::Mean => 1,
            ReduceKind::Max => 2,
            ReduceKind::Min => 3,
            ReduceKind::ArgMax => 4,
            ReduceKind::ArgMin => 5,
        };
        let inputs: Vec<Operand> = self.loads.iter().chain(self.places).chain(more).cloned().collect();
        let workgroups = (units as u64).div_ceil(u64::from(threads.workgroup / threads.lanes));
        let (work, together) = (self.shape().work(threads, length), self.shape().together(threads, length, cx.target));
        let dispatch = generate(Operands::new(&inputs, outputs), &pieces, |generated| {
            let shader = Shader::file("reduce", REDUCE)
                .constant("WORKGROUP", threads.workgroup)
                .constant("LANES", threads.lanes)
                .constant("SPREAD", self.spread().into())
                .constant("KIND", kind)
                .constant("TOGETHER", together as u32)
                .alias("T", self.dtype)
                .generated(generated);
            (shader, workgroups, work)
        });
        cx.push(dispatch);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::dtype::DType;
    use crate::tensor::Tensor;
    use crate::wgsl::GpuTarget;
    use crate::wgsl::dispatch::launched;

    /// The workgroups of each dispatch, and the bytes of scratch, of what one launch computes of an operand.
    fn of(shape: &[usize], target: &GpuTarget, build: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>) -> (Vec<u64>, u64) {
        launched(target, |g| vec![build(g.input("x", shape, DType::F32))])
    }

    #[test]
    fn few_outputs_of_many_terms_fill_a_gpu() {
        let (gpu, software) = (&GpuTarget::default(), &GpuTarget { software: true, ..GpuTarget::default() });
        // One output: 512 parts of 2048 terms, then one workgroup that adds their sums.
        assert_eq!(of(&[1 << 20], gpu, |x| x.sum(..)).0, [512, 1]);
        assert_eq!(of(&[1 << 24], gpu, |x| x.sum(..)).0, [512, 1]);
        assert_eq!(of(&[8191], gpu, |x| x.sum(..)).0, [1]);
        assert_eq!(of(&[1 << 20], software, |x| x.sum(..)).0, [1]);
        // Outputs enough; and 32 neighbouring columns a workgroup, whose rows are cut into parts.
        assert_eq!(of(&[1024, 1024], gpu, |x| x.sum(1)).0, [1024]);
        assert_eq!(of(&[1024, 1024], gpu, |x| x.sum(0)).0, [512, 32]);
        // An epilogue is applied once, and an argmax stores where it found the parts' results.
        assert_eq!(of(&[1 << 20], gpu, |x| x.mean(..).exp() + 1.0).0, [512, 1]);
        assert_eq!(of(&[1 << 20], gpu, |x| x.sum(..)).1, 4 * 512);
        assert_eq!(of(&[1 << 20], gpu, |x| x.argmax(0)).1, 2 * 4 * 512);
    }

    #[test]
    fn few_long_rows_fill_a_gpu() {
        let (gpu, software) = (&GpuTarget::default(), &GpuTarget { software: true, ..GpuTarget::default() });
        assert_eq!(of(&[8, 1 << 17], gpu, |x| x.softmax(-1)).0, [1024, 1024]);
        assert_eq!(of(&[8, 1 << 17], gpu, |x| x.log_softmax(-1)).0, [1024, 1024]);
        assert_eq!(of(&[1024, 1000], gpu, |x| x.softmax(-1)).0.len(), 1);
        assert_eq!(of(&[8, 1 << 17], software, |x| x.softmax(-1)).0.len(), 1);
        assert_eq!(of(&[1, 1 << 20], gpu, |x| x.cumsum(1)).0, [512, 1, 512]);
    }
}
