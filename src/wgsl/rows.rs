//! Rows that threads share: what softmax and cross-entropy have in common, `shaders/rows.wgsl`.
//!
//! Where rows are too few to fill a GPU, a dispatch of `shaders/row_stats.wgsl` computes the statistics of parts of
//! rows, and the kernel's own dispatch joins those of its row.

use super::{Dispatch, Dispatches, Lanes, Operands, Shader, Work, share, shares, split};
use crate::dtype::DType;
use crate::kernels::Operand;

const ROWS: &str = include_str!("../../shaders/rows.wgsl");

/// Elements that a thread reads at most: Mesa's lavapipe ends a thread's loops after 65,535 iterations in all, and a row is
/// read three times.
const MOST: usize = 1 << 14;

/// What takes the place of `row_stats` where a workgroup takes whole rows.
const WHOLE: &str = "fn row_stats(thread: u32, lane: u32, row: u32, first: u32, columns: u32, parts: u32) -> Stats {
    return part_stats(thread, lane, first, 0u, columns);
}";

/// How the rows of a launch are shared.
pub(super) struct Rows {
    threads: Lanes,
    /// Parts of a row whose statistics a dispatch of their own computes; 1 if there is none.
    pub(super) parts: usize,
    /// Elements of a part.
    pub(super) length: usize,
    /// The statistics of the parts, if there is a dispatch of them.
    partials: Option<Operand>,
    /// Whether distances are summed.
    distances: bool,
}

impl Rows {
    /// Chooses how `rows` rows of `columns` elements are shared, and adds the dispatch of their parts' statistics if
    /// there is one. The rows are those of the launch's first operand.
    pub(super) fn new(cx: &mut Dispatches<'_>, rows: usize, columns: usize, distances: bool) -> Rows {
        let target = cx.target;
        let threads = cx.choose(share(rows, columns, target), || shares(rows, columns, MOST, target));
        let parts = split(threads.workgroups, columns, 8 * threads.lanes as usize, cx.target);
        let length = columns.div_ceil(parts);
        let mut shared = Rows { threads, parts: 1, length, partials: None, distances };
        if parts > 1 {
            shared.parts = columns.div_ceil(length);
            let x = &cx.launch.inputs[0];
            let partials = cx.scratch([rows, shared.parts, 4], DType::F32);
            let text = include_str!("../../shaders/row_stats.wgsl");
            let shader = shared.constants(Shader::file("row_stats", text)).join("rows", ROWS).replace("stats", WHOLE);
            let shader = shader.alias("T", x.dtype);
            let params = [rows, columns, shared.parts, length, x.view.offset, 0, 0, 0].map(|size| size as u32);
            let operands = [partials.clone()];
            let operands = Operands::new(std::slice::from_ref(x), &operands);
            let workgroups = shared.workgroups(rows * shared.parts);
            cx.push(Dispatch::new(operands, shader, params.to_vec(), workgroups).work(shared.work(false, rows * columns)));
            shared.partials = Some(partials);
        }
        shared
    }

    /// Workgroups for so many rows or parts of rows.
    pub(super) fn workgroups(&self, units: usize) -> u64 {
        (units as u64).div_ceil(u64::from(self.threads.workgroup / self.threads.lanes))
    }

    /// What a dispatch does that computes or joins the statistics, and writes each element if `writes`; of `elements` in
    /// all.
    pub(super) fn work(&self, writes: bool, elements: usize) -> Work {
        let lanes = self.threads.lanes as usize;
        let joins = 2 + usize::from(self.distances);
        let read = if self.partials.is_some() { self.parts } else { self.length }.div_ceil(lanes);
        let written = if writes { self.length.div_ceil(lanes) } else { 0 };
        let barriers = joins * (lanes.ilog2() as usize + 2);
        let each = 30 * read + 30 * written + 12 * barriers + 20;
        Work::of(self.threads.workgroup, 2 * read + written, barriers, each).needed(40 * elements)
    }

    fn constants(&self, shader: Shader) -> Shader {
        shader
            .constant("WORKGROUP", self.threads.workgroup)
            .constant("LANES", self.threads.lanes)
            .constant("DISTANCES", self.distances.into())
            .constant("SEGMENTED", (self.parts > 1).into())
    }

    /// A kernel's own shader, joined to the functions that compute or join its rows' statistics.
    pub(super) fn shader(&self, name: &'static str, text: &'static str) -> Shader {
        let shader = self.constants(Shader::file(name, text)).join("rows", ROWS);
        if self.partials.is_some() { shader } else { shader.replace("stats", WHOLE) }
    }

    /// What that shader binds after its first input.
    pub(super) fn inputs<'a>(&'a self, x: &'a Operand) -> Vec<Operand> {
        std::iter::once(x).chain(&self.partials).cloned().collect()
    }
}
