// Statistics of the parts of long rows: the first dispatch of softmax, log-softmax and cross-entropy where rows are
// too few to fill a GPU. The functions and formulas are those of `rows.wgsl`, which is joined to this file.
//
// LANES threads take a part, `length` neighbouring elements of a row; the last part of a row may be shorter.
//
// Layout: dense x [rows, columns] from an offset; partials [rows, parts]: the largest element m, Σ_j e^(x_j − m),
//   Σ_j (x_j − m) and the number of elements.
// Bindings: 0 the sizes, 1 `x`, 2 `partials`.
// Constants: WORKGROUP, LANES and DISTANCES as in `rows.wgsl`. T, the element type in memory: f32 or f16; sums are f32.
// Bounds: threads beyond the last part compute that one and do not store it. No part is empty: `parts` is
//   ⌈columns / length⌉.

const WORKGROUP: u32 = 64u;
const LANES: u32 = 64u;
const DISTANCES: u32 = 1u;
alias T = f32;

struct Params {
    rows: u32,
    columns: u32,
    parts: u32,
    length: u32,
    x_offset: u32,
    unused0: u32,
    unused1: u32,
    unused2: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read_write> stats: array<vec4<f32>>;

// [outside]
struct Stats {
    largest: f32,
    sum: f32,
    distances: f32,
}
fn part_stats(thread: u32, lane: u32, first: u32, start: u32, end: u32) -> Stats {
    return Stats();
}
// [end]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = thread % LANES;
    let number = (group.y * groups.x + group.x) * (WORKGROUP / LANES) + thread / LANES;
    let unit = min(number, p.rows * p.parts - 1u);
    let start = unit % p.parts * p.length;
    let end = min(start + p.length, p.columns);
    let found = part_stats(thread, lane, p.x_offset + unit / p.parts * p.columns, start, end);
    if lane == 0u && number == unit {
        stats[unit] = vec4<f32>(found.largest, found.sum, found.distances, f32(end - start));
    }
}
