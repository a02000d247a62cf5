// Cross-entropy of rows of logits against class indices, with label smoothing s over C classes:
//   l_n = −(1 − s) · p_label − s/C · Σ_c p_c,  p_c = (x_c − m) − log Σ_k e^(x_k − m),  m the row's largest logit.
//
// LANES threads share a row; maxima and sums of their parts are joined as a tree in workgroup memory. A label beyond the
// last class counts as the last one.
//
// Layout: dense, each from an offset: x [rows, columns], labels [rows], loss [rows].
// Bindings: 0 the sizes, 1 `x`, 2 `labels`, 3 `loss`.
// Constants:
//   WORKGROUP  threads a workgroup: a power of two up to 256.
//   LANES      threads that share a row: a power of two up to WORKGROUP.
//   T          the element type in memory: f32 or f16; sums are f32.
// Bounds: threads beyond the last row compute that one and do not store it; labels are clamped.

const WORKGROUP: u32 = 64u;
const LANES: u32 = 64u;
alias T = f32;

struct Params {
    rows: u32,
    columns: u32,
    x_offset: u32,
    labels_offset: u32,
    out_offset: u32,
    smoothing: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> loss: array<T>;

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
        if p.smoothing > 0.0 {
            distances += value - largest;
        }
    }
    let log_sum = log(row_sum(thread, lane, sum));
    distances = row_sum(thread, lane, distances);
    if live && lane == 0u {
        let label = min(labels[p.labels_offset + row], p.columns - 1u);
        let hit = (f32(x[first + label]) - largest) - log_sum;
        let mean = distances / f32(p.columns) - log_sum;
        loss[p.out_offset + row] = T(-(1.0 - p.smoothing) * hit - p.smoothing * mean);
    }
}
