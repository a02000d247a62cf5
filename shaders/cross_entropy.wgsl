// Cross-entropy of rows of logits against class indices, with label smoothing s over C classes, and its gradient:
//   l_n = −(1 − s) · p_label − s/C · Σ_c p_c,  p_c = (x_c − m) − log Σ_k e^(x_k − m),  m the row's largest logit,
//   d_{n,c} = u_n · (softmax(x_n)_c − t_c),  t = (1 − s) · one_hot(label_n) + s/C.
//
// LANES threads share a row; maxima and sums of their parts are joined as a tree in workgroup memory. A label beyond the
// last class counts as the last one.
//
// Layout: dense, each from an offset: x [rows, columns], labels [rows], u [rows], d [rows, columns], loss [rows].
// Bindings: 0 the sizes, 1 `x`, then `d` and `loss` if they are computed, then what the labels and u read.
// Constants:
//   WORKGROUP  threads a workgroup: a power of two up to 256.
//   LANES      threads that share a row: a power of two up to WORKGROUP.
//   GRAD       1: the gradient is computed. 0: the region `grad` is emptied.
//   LOSS       1: the loss is computed. 0: the region `loss` is emptied.
//   EXTRA      vectors of parameters of generated code.
//   T          the element type in memory: f32 or f16; sums are f32.
// Bounds: threads beyond the last row compute that one and do not store it; labels are clamped.

const WORKGROUP: u32 = 64u;
const LANES: u32 = 64u;
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

var<workgroup> shared_values: array<f32, WORKGROUP>;

// The largest of the lanes' values, for all of them.
fn row_max(thread: u32, lane: u32, value: f32) -> f32 {
    shared_values[thread] = value;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            shared_values[thread] = max(shared_values[thread], shared_values[thread + half]);
        }
    }
    workgroupBarrier();
    let result = shared_values[thread - lane];
    workgroupBarrier();
    return result;
}

// The sum of the lanes' values, for all of them.
fn row_sum(thread: u32, lane: u32, value: f32) -> f32 {
    shared_values[thread] = value;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            shared_values[thread] += shared_values[thread + half];
        }
    }
    workgroupBarrier();
    let result = shared_values[thread - lane];
    workgroupBarrier();
    return result;
}

// e^(x − largest). Halves are subtracted so that values of opposite sign near the largest float do not overflow.
fn shifted_exp(x: f32, largest: f32) -> f32 {
    return exp(2.0 * max(0.5 * x - 0.5 * largest, -52.0));
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = thread % LANES;
    let row = (group.y * groups.x + group.x) * (WORKGROUP / LANES) + thread / LANES;
    let live = row < p.rows;
    let first = p.x_offset + min(row, p.rows - 1u) * p.columns;
    var largest = f32(x[first]);
    for (var j = lane; j < p.columns; j += LANES) {
        largest = max(largest, f32(x[first + j]));
    }
    largest = row_max(thread, lane, largest);
    var sum = 0.0;
    var distances = 0.0;
    for (var j = lane; j < p.columns; j += LANES) {
        let value = f32(x[first + j]);
        sum += shifted_exp(value, largest);
        if LOSS == 1u && p.smoothing > 0.0 {
            distances += value - largest;
        }
    }
    sum = row_sum(thread, lane, sum);
    if LOSS == 1u && p.smoothing > 0.0 {
        distances = row_sum(thread, lane, distances);
    }
    if live {
        let hit = min(label(row), p.columns - 1u);
        if LOSS == 1u && lane == 0u {
            let log_sum = log(sum);
            let mean = distances / f32(p.columns) - log_sum;
            store_loss(row, -(1.0 - p.smoothing) * ((f32(x[first + hit]) - largest) - log_sum) - p.smoothing * mean);
        }
        if GRAD == 1u {
            let u = upstream(row);
            for (var j = lane; j < p.columns; j += LANES) {
                let wanted = p.smoothing / f32(p.columns) + select(0.0, 1.0 - p.smoothing, j == hit);
                store_grad(row * p.columns + j, u * (shifted_exp(f32(x[first + j]), largest) / sum - wanted));
            }
        }
    }
}
