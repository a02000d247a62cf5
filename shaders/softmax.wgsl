// Softmax of rows, shifted by the row's largest value m:
//   y_j = e^(x_j − m) / Σ_k e^(x_k − m), or its logarithm y_j = (x_j − m) − log Σ_k e^(x_k − m).
//
// LANES threads share a row; maxima and sums of their parts are joined as a tree in workgroup memory.
//
// Layout: dense [rows, columns], `x` and `y` each from an offset.
// Bindings: 0 the sizes, 1 `x`, 2 `y`.
// Constants:
//   WORKGROUP  threads a workgroup: a power of two up to 256.
//   LANES      threads that share a row: a power of two up to WORKGROUP.
//   LOG        1: the logarithm; 0: softmax.
//   T          the element type in memory: f32 or f16; sums are f32.
// Bounds: threads beyond the last row compute that one and do not store it.

const WORKGROUP: u32 = 64u;
const LANES: u32 = 64u;
const LOG: u32 = 0u;
alias T = f32;

struct Params {
    rows: u32,
    columns: u32,
    x_offset: u32,
    y_offset: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;

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
    for (var j = lane; j < p.columns; j += LANES) {
        sum += shifted_exp(f32(x[first + j]), largest);
    }
    sum = row_sum(thread, lane, sum);
    if live {
        let out = p.y_offset + row * p.columns;
        for (var j = lane; j < p.columns; j += LANES) {
            let value = f32(x[first + j]);
            if LOG == 1u {
                y[out + j] = T((value - largest) - log(sum));
            } else {
                y[out + j] = T(shifted_exp(value, largest) / sum);
            }
        }
    }
}
