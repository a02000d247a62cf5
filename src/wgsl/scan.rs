//! Cumulative sums: `shaders/scan.wgsl`.
//!
//! Long rows are cut into segments if the rows are too few to fill a GPU: a dispatch stores each segment's total, these
//! are scanned, and a last dispatch scans each segment from the sum of those before it.

use super::{Dispatch, Dispatches, GpuTarget, Operands, Shader, Work, split};
use crate::error::Result;
use crate::kernels::Operand;
use crate::kernels::scan::ScanKernel;

/// Elements of the longest row that is never cut by a software driver, and always by a GPU.
const LONGEST: usize = 1 << 16;
/// Elements of a segment on a software driver.
const SEGMENT: usize = 1 << 14;
/// Elements of the shortest segment on a GPU: eight for each thread of a workgroup.
const SHORTEST: usize = 1 << 11;

/// Elements of a segment: a whole row where there are rows enough, or where it is short.
fn segment(rows: usize, columns: usize, target: &GpuTarget) -> usize {
    if target.software {
        return if columns > LONGEST { SEGMENT } else { columns };
    }
    let parts = split(rows as u64, columns, SHORTEST, target).max(columns.div_ceil(LONGEST));
    columns.div_ceil(parts.max(1))
}

/// What the shader has in the place of the sums before segments where there is one segment.
const NOTHING_BEFORE: &str = "@group(0) @binding(2) var<storage, read_write> y: array<Y>;
fn sum_before(unit: u32, segment: u32) -> A {
    return A();
}";

pub(super) fn dispatches(kernel: &ScanKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (x, y) = (cx.launch.inputs[0].clone(), cx.launch.outputs[0].clone());
    scan(cx, kernel.reverse, kernel.rows, kernel.columns, x, y);
    Ok(())
}

/// Adds the dispatches that scan dense rows.
pub(super) fn scan(cx: &mut Dispatches<'_>, reverse: bool, rows: usize, columns: usize, x: Operand, y: Operand) {
    let length = segment(rows, columns, cx.target);
    let pass = Pass { reverse, rows, columns, length, totals: false };
    if length == columns {
        return pass.dispatch(cx, &[x], y);
    }
    let segments = columns.div_ceil(length);
    let totals = cx.scratch([rows, segments], x.dtype.compute());
    let before = cx.scratch([rows, segments], x.dtype.compute());
    Pass { totals: true, ..pass }.dispatch(cx, std::slice::from_ref(&x), totals.clone());
    // Segments are counted in the direction of the scan, so their totals are scanned forward.
    scan(cx, false, rows, segments, totals, before.clone());
    pass.dispatch(cx, &[x, before], y);
}

/// One dispatch: each segment's total, or its scan.
#[derive(Clone, Copy)]
struct Pass {
    reverse: bool,
    rows: usize,
    columns: usize,
    /// Elements of a segment.
    length: usize,
    totals: bool,
}

impl Pass {
    /// With a second input, the sums up to each segment, a segment's scan starts from the sum before it.
    fn dispatch(self, cx: &mut Dispatches<'_>, inputs: &[Operand], y: Operand) {
        let x = &inputs[0];
        let segments = self.columns.div_ceil(self.length.max(1));
        let units = self.rows * segments;
        // A thread takes four neighbours, or on a GPU sixteen of many; as many threads as there are such, up to a
        // workgroup. A GPU's barriers take the longer the more threads there are.
        let most = if cx.target.software { 256 } else { 64 }.min(1 << cx.target.max_invocations.ilog2());
        let fours = if cx.target.software || self.length <= 256 { 1 } else { 4 };
        let lanes = (self.length.div_ceil(4 * fours).next_power_of_two() as u32).min(most);
        let workgroup = lanes.max(64.min(most));
        let before = inputs.get(1);
        let shader = Shader::file("scan", include_str!("../../shaders/scan.wgsl"))
            .constant("WORKGROUP", workgroup)
            .constant("LANES", lanes)
            .constant("FOURS", fours as u32)
            .constant("REVERSE", self.reverse.into())
            .constant("TOTALS", self.totals.into())
            .alias("T", x.dtype)
            .alias("A", x.dtype.compute())
            .alias("Y", y.dtype);
        let shader = if before.is_some() { shader } else { shader.replace("before", NOTHING_BEFORE) };
        let offsets = [x.view.offset, y.view.offset, before.map_or(0, |o| o.view.offset)];
        let sizes = [units, self.columns, self.length, segments];
        let params = sizes.into_iter().chain(offsets).chain([0]).map(|n| n as u32).collect();
        let workgroups = (units as u64).div_ceil(u64::from(workgroup / lanes));
        let turns = self.length.div_ceil(4 * fours * lanes as usize);
        let steps = lanes.ilog2() as usize + 2;
        let barriers = if self.totals { steps } else { turns * steps };
        let work = Work::of(workgroup, turns + 1, barriers, turns * fours * 50 + barriers * 8);
        let work = work.needed(4 * self.rows * self.columns);
        cx.push(Dispatch::new(Operands::new(inputs, &[y]), shader, params, workgroups).work(work));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_long_rows_are_cut() {
        let (gpu, software) = (GpuTarget::default(), GpuTarget { software: true, ..GpuTarget::default() });
        let segments = |rows, columns: usize, target| columns.div_ceil(segment(rows, columns, target).max(1));
        // Enough rows, or short ones.
        assert_eq!([segments(128, 60_000, &gpu), segments(1, 8191, &gpu), segments(1, 0, &gpu)], [1, 1, 0]);
        assert_eq!([segments(1, 8192, &gpu), segments(1, 1 << 20, &gpu), segments(1, 1 << 24, &gpu)], [4, 512, 1024]);
        assert_eq!(segments(4, 1 << 20, &gpu), 256);
        assert_eq!([segments(1, 1 << 16, &software), segments(1, 1 << 20, &software)], [1, 64]);
    }
}
