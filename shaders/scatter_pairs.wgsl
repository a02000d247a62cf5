// The pairs (row, k) that scatter-add sorts: pairs[k] = (index[k], k), the row that slice k is added to and the slice.
//
// An index beyond the last row counts as the last one, a negative one as the first.
//
// Layout: dense pairs from 0.
// Bindings: 0 the sizes, 1 `pairs`, 2 on what the index reads.
// Constants: WORKGROUP, threads a workgroup: 1 to 256. EXTRA, vectors of parameters of generated code. I, the index's
//   type: u32 or i32.
// Bounds: a thread beyond the last pair returns at once.

const WORKGROUP: u32 = 64u;
const EXTRA: u32 = 1u;
alias I = u32;

struct Params {
    length: u32,
    rows: u32,
    unused0: u32,
    unused1: u32,
    extra: array<vec4<u32>, EXTRA>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> pairs: array<vec2<u32>>;
// [extra]
@group(0) @binding(2) var<storage, read> b1: array<I>;
// [end]

// The index, as committed a list; the planner puts the expression that computes it here.
fn index(i: u32) -> I {
    // [index]
    return b1[p.extra[0].x + i];
    // [end]
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let k = (group.y * groups.x + group.x) * WORKGROUP + thread;
    if k >= p.length {
        return;
    }
    pairs[k] = vec2<u32>(min(u32(max(index(k), I(0))), p.rows - 1u), k);
}
