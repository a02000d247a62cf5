// Adds slices into zeros: out[o, r, i] = Σ_{k: index[k] = r} values[o, k, i].
//
// One thread computes one element of `out` and looks for its slices in the order of k: no atomics, so the result is the
// same bits every time. An index beyond the last slice counts as the last one, a negative one as the first.
//
// Layout: dense, each from an offset: values [outer, length, inner], the index [length], out [outer, rows, inner].
// Bindings: 0 the sizes, 1 `values`, 2 `out`, 3 on what the index reads; `count` is the elements of `out`.
// Constants: WORKGROUP, threads a workgroup: 1..=256. EXTRA, vectors of parameters of generated code. T, the element
//   type: f32 or f16; sums are f32. I, the index's: u32 or i32.
// Bounds: a thread beyond the last element returns at once; k stays below `length`.

const WORKGROUP: u32 = 64u;
const EXTRA: u32 = 1u;
alias T = f32;
alias I = u32;

struct Params {
    count: u32,
    rows: u32,
    length: u32,
    inner: u32,
    values_offset: u32,
    out_offset: u32,
    extra: array<vec4<u32>, EXTRA>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> values: array<T>;
@group(0) @binding(2) var<storage, read_write> out: array<T>;
// [extra]
@group(0) @binding(3) var<storage, read> b2: array<I>;
// [end]

// The index, as committed a list; the planner puts the expression that computes it here.
fn index(i: u32) -> I {
    // [index]
    return b2[p.extra[0].x + i];
    // [end]
}

// The sum with the k-th slice's element, if there is such a slice and it goes to row r.
fn add(sum: f32, k: u32, r: u32, column: u32) -> f32 {
    if k < p.length {
        if min(u32(max(index(k), I(0))), p.rows - 1u) == r {
            return sum + f32(values[column + k * p.inner]);
        }
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let e = (group.y * groups.x + group.x) * WORKGROUP + thread;
    if e >= p.count {
        return;
    }
    let i = e % p.inner;
    let r = e / p.inner % p.rows;
    let o = e / (p.inner * p.rows);
    let column = p.values_offset + o * p.length * p.inner + i;
    var sum = 0.0;
    // Four slices an iteration, in order.
    for (var k = 0u; k < p.length; k += 4u) {
        sum = add(sum, k, r, column);
        sum = add(sum, k + 1u, r, column);
        sum = add(sum, k + 2u, r, column);
        sum = add(sum, k + 3u, r, column);
    }
    out[p.out_offset + e] = T(sum);
}
