// Single expressions on 16-bit floats, element by element, to see what a driver makes of them: out ← f(x, a, b).
//
// Layout: dense vectors of as many elements.
// Bindings: 0 `x` (f32), 1 `a`, 2 `b`, 3 `out` (f16).
// Regions: f, the body of the function under test.
// Bounds: threads beyond the last element do nothing.
// Needs: f16.

enable f16;

@group(0) @binding(0) var<storage, read> xs: array<f32>;
@group(0) @binding(1) var<storage, read> a_values: array<f16>;
@group(0) @binding(2) var<storage, read> b_values: array<f16>;
@group(0) @binding(3) var<storage, read_write> out: array<f16>;

fn f(x: f32, a: f16, b: f16) -> f16 {
    // [f]
    return a + b;
    // [end]
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= arrayLength(&out) {
        return;
    }
    out[i] = f(xs[i], a_values[i], b_values[i]);
}
