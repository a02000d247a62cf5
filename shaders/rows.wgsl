// What the threads that share a row compute together: its largest element m, Σ_j e^(x_j − m), and Σ_j (x_j − m), which
// softmax, log-softmax and cross-entropy are made of. LANES threads share a row, or a part of a long one, which several
// workgroups take; the statistics of a row's parts are joined in their order:
//   m = max_s m_s,  Σ = Σ_s e^(m_s − m) · Σ_s,  D = Σ_s (D_s + n_s · (m_s − m)) for n_s elements.
//
// This file is joined to those that use it, which declare what stands in the region `outside`. Maxima and sums of the
// threads are joined as a tree in workgroup memory.
//
// Layout: `partials` [rows, parts], dense: m_s, Σ_s, D_s and n_s.
// Regions: `stats` is replaced where a workgroup takes whole rows and computes the statistics itself.
// Constants:
//   WORKGROUP  threads a workgroup: a power of two up to 256.
//   LANES      threads that share a row, or a part of one: a power of two up to WORKGROUP.
//   DISTANCES  1: D is computed; else it is 0.
//   TOGETHER   4: a thread takes four elements an iteration, which are loaded without waiting for one before the next;
//              1: one.
//   SEGMENTED  1: workgroups take parts of rows; 0: whole rows.
// Bounds: the functions read elements from `start` to `end` of a row and at least the one at `start`, which callers
//   see to; of those beyond the last, the last again; partials of a row that there is.

// [outside]
const WORKGROUP: u32 = 64u;
const LANES: u32 = 64u;
const DISTANCES: u32 = 1u;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// [end]
const SEGMENTED: u32 = 1u;
const TOGETHER: u32 = 1u;

// The row that a unit of work is of, and which part of it.
fn row_and_part(unit: u32, parts: u32) -> vec2<u32> {
    if SEGMENTED == 1u {
        return vec2<u32>(unit / parts, unit % parts);
    }
    return vec2<u32>(unit, 0u);
}

// The lowest float.
const LOWEST: f32 = -3.4028234e38;

struct Stats {
    largest: f32,
    sum: f32,
    distances: f32,
}

var<workgroup> shared_values: array<f32, WORKGROUP>;

// The largest of the threads' values, for all of them.
fn row_max(thread: u32, lane: u32, value: f32) -> f32 {
    if LANES == 1u {
        return value;
    }
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

// The sum of the threads' values, for all of them.
fn row_sum(thread: u32, lane: u32, value: f32) -> f32 {
    if LANES == 1u {
        return value;
    }
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

// The places of the four elements that a thread takes from `j` on.
fn four_of(j: u32) -> vec4<u32> {
    return vec4<u32>(j, j + LANES, j + 2u * LANES, j + 3u * LANES);
}

fn elements(first: u32, j: u32, end: u32) -> vec4<f32> {
    let at = vec4<u32>(first) + min(four_of(j), vec4<u32>(end - 1u));
    return vec4<f32>(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w]));
}

// The statistics of the elements from `start` to `end` of the row whose first one is at `first`.
fn part_stats(thread: u32, lane: u32, first: u32, start: u32, end: u32) -> Stats {
    // Not −∞, which no difference may be taken from.
    var largest = max(f32(x[first + start]), LOWEST);
    for (var j = start + lane; j < end; j += TOGETHER * LANES) {
        if TOGETHER == 1u {
            largest = max(largest, f32(x[first + j]));
        } else {
            let values = elements(first, j, end);
            largest = max(max(largest, values.x), max(max(values.y, values.z), values.w));
        }
    }
    largest = row_max(thread, lane, largest);
    var sum = 0.0;
    var distances = 0.0;
    for (var j = start + lane; j < end; j += TOGETHER * LANES) {
        if TOGETHER == 1u {
            let value = f32(x[first + j]);
            sum += shifted_exp(value, largest);
            if DISTANCES == 1u {
                distances += value - largest;
            }
        } else {
            let values = elements(first, j, end);
            let inside = four_of(j) < vec4<u32>(end);
            let exps = vec4<f32>(
                shifted_exp(values.x, largest),
                shifted_exp(values.y, largest),
                shifted_exp(values.z, largest),
                shifted_exp(values.w, largest),
            );
            let kept = select(vec4<f32>(), exps, inside);
            sum += (kept.x + kept.y) + (kept.z + kept.w);
            if DISTANCES == 1u {
                let apart = select(vec4<f32>(), values - vec4<f32>(largest), inside);
                distances += (apart.x + apart.y) + (apart.z + apart.w);
            }
        }
    }
    sum = row_sum(thread, lane, sum);
    if DISTANCES == 1u {
        distances = row_sum(thread, lane, distances);
    }
    return Stats(largest, sum, distances);
}

// The statistics of a row of `columns` elements, the first one at `first`.
// [stats]
@group(0) @binding(2) var<storage, read> partials: array<vec4<f32>>;

fn joined(part: vec4<f32>, largest: f32) -> vec2<f32> {
    return vec2<f32>(part.y * shifted_exp(part.x, largest), part.z + part.w * (part.x - largest));
}

fn row_stats(thread: u32, lane: u32, row: u32, first: u32, columns: u32, parts: u32) -> Stats {
    var largest = LOWEST;
    for (var s = lane; s < parts; s += TOGETHER * LANES) {
        largest = max(largest, partials[row * parts + s].x);
        if TOGETHER > 1u {
            let at = vec4<u32>(row * parts) + min(four_of(s), vec4<u32>(parts - 1u));
            largest = max(largest, max(partials[at.y].x, max(partials[at.z].x, partials[at.w].x)));
        }
    }
    largest = row_max(thread, lane, largest);
    var sum = 0.0;
    var distances = 0.0;
    for (var s = lane; s < parts; s += TOGETHER * LANES) {
        var found = joined(partials[row * parts + s], largest);
        if TOGETHER > 1u {
            let fours = four_of(s);
            let at = vec4<u32>(row * parts) + min(fours, vec4<u32>(parts - 1u));
            let others = array<vec4<f32>, 3>(partials[at.y], partials[at.z], partials[at.w]);
            found += select(vec2<f32>(), joined(others[0], largest), fours.y < parts);
            found += select(vec2<f32>(), joined(others[1], largest), fours.z < parts);
            found += select(vec2<f32>(), joined(others[2], largest), fours.w < parts);
        }
        sum += found.x;
        distances += found.y;
    }
    sum = row_sum(thread, lane, sum);
    if DISTANCES == 1u {
        distances = row_sum(thread, lane, distances);
    }
    return Stats(largest, sum, distances);
}
// [end]
