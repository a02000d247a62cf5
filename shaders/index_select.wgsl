// Picks slices: out[o, k, i] = values[o, index[k], i].
//
// One thread copies one element, or an aligned vector of four where T is one. An index beyond the last slice picks
// the last one, a negative one the first.
//
// Layout: dense, each from an offset: values [outer, rows, inner], the index [length], out [outer, length, inner].
//   Where T is a vector, `inner`, `count` and the offsets are counted in vectors.
// Bindings: 0 the sizes, 1 `values`, 2 `out`, 3 on what the index reads; `count` is the elements of `out`.
// Constants: WORKGROUP, threads a workgroup: 1..=256. EXTRA, vectors of parameters of generated code. T, the element
//   type: f32, f16, u32 or i32, or a vector of four. I, the index's: u32 or i32.
// Bounds: a thread beyond the last element returns at once; indices are clamped.

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
    let k = e / p.inner % p.length;
    let o = e / (p.inner * p.length);
    let row = min(u32(max(index(k), I(0))), p.rows - 1u);
    out[p.out_offset + e] = values[p.values_offset + (o * p.rows + row) * p.inner + i];
}
