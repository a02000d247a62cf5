// Softmax of rows, shifted by the row's largest value m:
//   y_j = e^(x_j − m) / Σ_k e^(x_k − m), or its logarithm y_j = (x_j − m) − log Σ_k e^(x_k − m).
//
// m and the sum are those of `rows.wgsl`, which is joined to this file. LANES threads share a row, or, where parts
// have been summed by another dispatch, `length` neighbouring elements of one.
//
// Layout: dense [rows, columns], `x` and `y` each from an offset.
// Bindings: 0 the sizes, 1 `x`, then `partials` if there are such, then `y`.
// Constants: WORKGROUP, LANES and DISTANCES (0) as in `rows.wgsl`.
//   LOG        1: the logarithm; 0: softmax.
//   T          the element type in memory: f32 or f16; sums are f32.
// Bounds: threads beyond the last unit compute that one and do not store it. No unit is empty.

const WORKGROUP: u32 = 64u;
const LANES: u32 = 64u;
const DISTANCES: u32 = 0u;
const LOG: u32 = 0u;
alias T = f32;

struct Params {
    rows: u32,
    columns: u32,
    parts: u32,
    length: u32,
    x_offset: u32,
    y_offset: u32,
    // Units of a row: ⌈columns / length⌉.
    segments: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;

// [outside]
struct Stats {
    largest: f32,
    sum: f32,
    distances: f32,
}
fn row_stats(thread: u32, lane: u32, row: u32, first: u32, columns: u32, parts: u32) -> Stats {
    return Stats();
}
fn shifted_exp(x: f32, largest: f32) -> f32 {
    return 0.0;
}
fn row_and_part(unit: u32, parts: u32) -> vec2<u32> {
    return vec2<u32>();
}
const TOGETHER: u32 = 1u;
fn elements(first: u32, j: u32, end: u32) -> vec4<f32> {
    return vec4<f32>();
}
// [end]

fn put(at: u32, value: f32, stats: Stats, inside: bool) {
    if inside {
        if LOG == 1u {
            y[at] = T((value - stats.largest) - log(stats.sum));
        } else {
            y[at] = T(shifted_exp(value, stats.largest) / stats.sum);
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = thread % LANES;
    let number = (group.y * groups.x + group.x) * (WORKGROUP / LANES) + thread / LANES;
    let unit = min(number, p.rows * p.segments - 1u);
    let place = row_and_part(unit, p.segments);
    let row = place.x;
    let first = p.x_offset + row * p.columns;
    let stats = row_stats(thread, lane, row, first, p.columns, p.parts);
    if number == unit {
        let out = p.y_offset + row * p.columns;
        let start = place.y * p.length;
        let end = min(start + p.length, p.columns);
        for (var j = start + lane; j < end; j += TOGETHER * LANES) {
            if TOGETHER == 1u {
                put(out + j, f32(x[first + j]), stats, true);
            } else {
                let values = elements(first, j, end);
                put(out + j, values.x, stats, true);
                put(out + j + LANES, values.y, stats, j + LANES < end);
                put(out + j + 2u * LANES, values.z, stats, j + 2u * LANES < end);
                put(out + j + 3u * LANES, values.w, stats, j + 3u * LANES < end);
            }
        }
    }
}
