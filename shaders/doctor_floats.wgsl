// Single floating-point expressions, element by element, to see what a driver makes of them: out ← f(x, y, z).
//
// Layout: dense vectors of as many elements.
// Bindings: 0 `x`, 1 `y`, 2 `z`, 3 `out`. The operands are read from memory, so that nothing is known beforehand.
// Regions: f, the body of the function under test; predicates give 1 or 0.
// Bounds: threads beyond the last element do nothing.

@group(0) @binding(0) var<storage, read> xs: array<f32>;
@group(0) @binding(1) var<storage, read> ys: array<f32>;
@group(0) @binding(2) var<storage, read> zs: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

fn f(x: f32, y: f32, z: f32) -> f32 {
    // [f]
    return x * y + z;
    // [end]
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= arrayLength(&out) {
        return;
    }
    out[i] = f(xs[i], ys[i], zs[i]);
}
