// Where each row's pairs begin among pairs (row, k) sorted by row: starts[r] is the number of pairs of rows below r,
// for r from 0 to the number of rows.
//
// A thread finds one by binary search.
//
// Layout: dense pairs and starts, from 0.
// Bindings: 0 the sizes, 1 `pairs`, 2 `starts`.
// Constants: WORKGROUP, threads a workgroup: 1 to 256.
// Bounds: a thread beyond the last start returns at once; what is read lies between 0 and `length`, both bounds of the
//   search.

const WORKGROUP: u32 = 64u;

struct Params {
    length: u32,
    rows: u32,
    unused0: u32,
    unused1: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> pairs: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> starts: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let r = (group.y * groups.x + group.x) * WORKGROUP + thread;
    if r > p.rows {
        return;
    }
    var low = 0u;
    var high = p.length;
    while low < high {
        let middle = (low + high) / 2u;
        if pairs[middle].x < r {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    starts[r] = low;
}
