// Cross-entropy of rows of logits against class indices, with label smoothing s over C classes, and its gradient:
//   l_n = −(1 − s) · p_label − s/C · Σ_c p_c,  p_c = (x_c − m) − log Σ_k e^(x_k − m),  m the row's largest logit,
//   d_{n,c} = u_n · (softmax(x_n)_c − t_c),  t = (1 − s) · one_hot(label_n) + s/C.
//
// m and the sums are those of `rows.wgsl`, which is joined to this file. LANES threads share a row, or, where parts
// have been summed by another dispatch, `length` neighbouring elements of one. A label beyond the last class counts
// as the last one.
//
// Layout: dense, each from an offset: x [rows, columns], labels [rows], u [rows], d [rows, columns], loss [rows].
// Bindings: 0 the sizes, 1 `x`, then `partials` if there are such, `d` and `loss` if they are computed, and what the
//   labels and u read.
// Constants: WORKGROUP, LANES and DISTANCES (1 with LOSS and smoothing) as in `rows.wgsl`.
//   GRAD       1: the gradient is computed. 0: the region `grad` is emptied.
//   LOSS       1: the loss is computed. 0: the region `loss` is emptied.
//   EXTRA      vectors of parameters of generated code.
//   T          the element type in memory: f32 or f16; sums are f32.
// Bounds: threads beyond the last unit compute that one and do not store it; labels are clamped. No unit is empty.

const WORKGROUP: u32 = 64u;
const LANES: u32 = 64u;
const DISTANCES: u32 = 1u;
const GRAD: u32 = 1u;
const LOSS: u32 = 1u;
const EXTRA: u32 = 1u;
alias T = f32;

struct Params {
    rows: u32,
    columns: u32,
    x_offset: u32,
    grad_offset: u32,
    loss_offset: u32,
    smoothing: f32,
    parts: u32,
    length: u32,
    // Units of a row: ⌈columns / length⌉.
    segments: u32,
    unused0: u32,
    unused1: u32,
    unused2: u32,
    extra: array<vec4<u32>, EXTRA>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;

// [grad]
@group(0) @binding(2) var<storage, read_write> d: array<T>;
fn store_grad(at: u32, value: f32) {
    d[p.grad_offset + at] = T(value);
}
// [end]

// [loss]
@group(0) @binding(3) var<storage, read_write> loss: array<T>;
fn store_loss(at: u32, value: f32) {
    loss[p.loss_offset + at] = T(value);
}
// [end]

// [extra]
@group(0) @binding(4) var<storage, read> b3: array<u32>;
// [end]

// Row i's label and upstream gradient: as committed a list and 1; the planner puts what computes them here.
fn label(i: u32) -> u32 {
    // [labels]
    return b3[p.extra[0].x + i];
    // [end]
}

fn upstream(i: u32) -> f32 {
    // [upstream]
    return 1.0;
    // [end]
}

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

// The gradient at element j of a row, if it is inside.
fn put(row: u32, j: u32, value: f32, scale: f32, hit: u32, stats: Stats, inside: bool) {
    if inside {
        let wanted = p.smoothing / f32(p.columns) + select(0.0, 1.0 - p.smoothing, j == hit);
        store_grad(row * p.columns + j, scale * (shifted_exp(value, stats.largest) / stats.sum - wanted));
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
    let segment = place.y;
    let first = p.x_offset + row * p.columns;
    let stats = row_stats(thread, lane, row, first, p.columns, p.parts);
    if number == unit {
        let hit = min(label(row), p.columns - 1u);
        if LOSS == 1u && lane == 0u && segment == 0u {
            let log_sum = log(stats.sum);
            let mean = stats.distances / f32(p.columns) - log_sum;
            let wanted = (f32(x[first + hit]) - stats.largest) - log_sum;
            store_loss(row, -(1.0 - p.smoothing) * wanted - p.smoothing * mean);
        }
        if GRAD == 1u {
            let u = upstream(row);
            let end = min((segment + 1u) * p.length, p.columns);
            for (var j = segment * p.length + lane; j < end; j += TOGETHER * LANES) {
                if TOGETHER == 1u {
                    put(row, j, f32(x[first + j]), u, hit, stats, true);
                } else {
                    let values = elements(first, j, end);
                    put(row, j, values.x, u, hit, stats, true);
                    put(row, j + LANES, values.y, u, hit, stats, j + LANES < end);
                    put(row, j + 2u * LANES, values.z, u, hit, stats, j + 2u * LANES < end);
                    put(row, j + 3u * LANES, values.w, u, hit, stats, j + 3u * LANES < end);
                }
            }
        }
    }
}
