// Fused multiply-adds and little else, to measure how many a device can do: x ← fma(x, a, b), ROUNDS times.
//
// With a = -1 and an even number of rounds each x comes back to what it was, exactly, whatever b is: so the result
// can be checked, and the compiler, which does not know a and b, can leave nothing out.
//
// Layout: dense [3 · threads] vectors of four; a thread has three of them, side by side with its neighbours'.
// Bindings: 0 the number of threads, iterations of the loop (of four rounds each: below 65,536), and the factors; 1
//   `x`, 2 `y`.
// Bounds: threads beyond the last do nothing.

const WORKGROUP: u32 = 64u;

struct Params {
    threads: u32,
    iterations: u32,
    a: f32,
    b: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (group.y * groups.x + group.x) * WORKGROUP + local;
    if thread >= p.threads {
        return;
    }
    let a = vec4(p.a);
    let b = vec4(p.b);
    var u = x[thread];
    var v = x[thread + p.threads];
    var w = x[thread + 2u * p.threads];
    for (var k = 0u; k < p.iterations; k++) {
        u = fma(u, a, b);
        v = fma(v, a, b);
        w = fma(w, a, b);
        u = fma(u, a, b);
        v = fma(v, a, b);
        w = fma(w, a, b);
        u = fma(u, a, b);
        v = fma(v, a, b);
        w = fma(w, a, b);
        u = fma(u, a, b);
        v = fma(v, a, b);
        w = fma(w, a, b);
    }
    y[thread] = u;
    y[thread + p.threads] = v;
    y[thread + 2u * p.threads] = w;
}
