//! Rows that threads share: what softmax and cross-entropy have in common, `shaders/rows.wgsl`.
//!
//! Where rows are too few to fill a GPU, a dispatch of `shaders/row_stats.wgsl` computes the statistics of parts of
//! rows, and the kernel's own dispatch joins those of its row.

use super::estimate::{fastest, seconds};
use super::{Dispatch, Dispatches, GpuTarget, Lanes, Operands, Shader, Work, share, shares, split};
use crate::dtype::DType;
use crate::kernels::Operand;

const ROWS: &str = include_str!("../../shaders/rows.wgsl");

/// Elements that a thread reads at most: Mesa's lavapipe ends a thread's loops after 65,535 iterations in all, and a row is
/// read three times.
const MOST: usize = 1 << 14;
/// Elements that a GPU's thread reads without waiting for one before it reads the next.
const TOGETHER: usize = 4;

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
    /// Elements that a thread reads without waiting for one before it reads the next.
    together: usize,
}

impl Rows {
    /// Chooses how `rows` rows of `columns` elements are shared, and adds the dispatch of their parts' statistics if
    /// there is one. The rows are those of the launch's first operand.
    pub(super) fn new(cx: &mut Dispatches<'_>, rows: usize, columns: usize, distances: bool) -> Rows {
        let target = cx.target;
        let shared = |threads| Rows::shared(threads, columns, distances, target);
        let all = || shares(rows, columns, MOST, target);
        let rule = match target.software {
            true => share(rows, columns, target),
            false => {
                let seconds = |threads: &Lanes| shared(*threads).seconds(rows, columns);
                fastest(all(), seconds).unwrap_or_else(|| share(rows, columns, target))
            }
        };
        let mut shared = shared(cx.choose(rule, all));
        let length = shared.length;
        if shared.parts > 1 {
            let x = &cx.launch.inputs[0];
            let partials = cx.scratch([rows, shared.parts, 4], DType::F32);
            let text = include_str!("../../shaders/row_stats.wgsl");
            let shader = shared.constants(Shader::file("row_stats", text)).join("rows", ROWS).replace("stats", WHOLE);
            let shader = shader.alias("T", x.dtype);
            let params = [rows, columns, shared.parts, length, x.view.offset, 0, 0, 0].map(|size| size as u32);
            let operands = [partials.clone()];
            let operands = Operands::new(std::slice::from_ref(x), &operands);
            let workgroups = shared.workgroups(rows * shared.parts);
            cx.push(Dispatch::new(operands, shader, params.to_vec(), workgroups).work(shared.work(
                false,
                false,
                rows * columns,
            )));
            shared.partials = Some(partials);
        }
        shared
    }

    /// Rows shared so, in parts where they are too few to fill a GPU.
    fn shared(threads: Lanes, columns: usize, distances: bool, target: &GpuTarget) -> Rows {
        let parts = split(threads.workgroups, columns, 8 * threads.lanes as usize, target);
        let length = columns.div_ceil(parts);
        let together = if target.software { 1 } else { TOGETHER };
        Rows { threads, parts: columns.div_ceil(length.max(1)).max(1), length, partials: None, distances, together }
    }

    /// What the dispatches take on a typical GPU, where elements are written too.
    fn seconds(&self, rows: usize, columns: usize) -> f64 {
        let wasted = if columns >= 32 { 8usize.div_ceil(self.threads.lanes as usize) } else { 1 };
        let bytes = (8 * wasted * rows * columns) as u64;
        let of = |work: Work| seconds(&Work { bytes, ..work }, self.workgroups(rows * self.parts));
        let stats = if self.parts > 1 { of(self.work(false, false, 0)) } else { 0.0 };
        stats + of(self.work(self.parts > 1, true, 0))
    }

    /// Workgroups for so many rows or parts of rows.
    pub(super) fn workgroups(&self, units: usize) -> u64 {
        (units as u64).div_ceil(u64::from(self.threads.workgroup / self.threads.lanes))
    }

    /// What a dispatch does that computes the statistics of rows or parts of them, or else joins those of parts, and writes
    /// each element if `writes`; of `elements` in all.
    pub(super) fn work(&self, joins_parts: bool, writes: bool, elements: usize) -> Work {
        let lanes = self.threads.lanes as usize;
        let joins = 2 + usize::from(self.distances);
        let (read, joined) = (self.length.div_ceil(lanes), self.parts.div_ceil(lanes));
        let barriers = if lanes > 1 { joins * (lanes.ilog2() as usize + 2) } else { 0 };
        let waits = |count: usize| count.div_ceil(self.together);
        let (stats, each) = match joins_parts {
            true => (2 * waits(joined), 30 * joined),
            false => (2 * waits(read), 30 * read),
        };
        let (written, each) = if writes { (waits(read), each + 30 * read) } else { (0, each) };
        Work::of(self.threads.workgroup, stats + written, barriers, each + 12 * barriers + 20).needed(40 * elements)
    }

    fn constants(&self, shader: Shader) -> Shader {
        shader
            .constant("WORKGROUP", self.threads.workgroup)
            .constant("LANES", self.threads.lanes)
            .constant("DISTANCES", self.distances.into())
            .constant("TOGETHER", self.together as u32)
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
