// Single expressions on 32-bit words, element by element, to see what a driver makes of them: out ← f(x, y).
//
// Layout: dense vectors of as many elements.
// Bindings: 0 `x`, 1 `y`, 2 `out`. The operands are read from memory, so that nothing is known beforehand.
// Regions: f, the body of the function under test; other types go through bitcast.
// Bounds: threads beyond the last element do nothing.

@group(0) @binding(0) var<storage, read> xs: array<u32>;
@group(0) @binding(1) var<storage, read> ys: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

fn f(x: u32, y: u32) -> u32 {
    // [f]
    return x / y;
    // [end]
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= arrayLength(&out) {
        return;
    }
    out[i] = f(xs[i], ys[i]);
}
