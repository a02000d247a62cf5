// y = a + b over dense vectors: twelve bytes an element and next to no arithmetic, to measure how fast data move.
//
// Layout: dense vectors of four elements.
// Bindings: 0 the number of vectors, 1 `a`, 2 `b`, 3 `y`.
// Bounds: threads beyond the last vector do nothing.

const WORKGROUP: u32 = 64u;

struct Params {
    vectors: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = (group.y * groups.x + group.x) * WORKGROUP + local;
    if i < p.vectors {
        y[i] = a[i] + b[i];
    }
}
