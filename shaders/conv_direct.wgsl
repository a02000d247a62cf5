// A convolution whose threads read the weights themselves: a part of conv.wgsl (DIRECT 1), whose head gives the
// formula.
//
// Each of eight neighbouring threads of a subgroup reads the weights of one row, or of two, at one k, and passes them
// on: for where `w` is a uniform and workgroup memory costs more than reading it again. The sums are indexed by
// choice, not by a number, so that they stay in registers.
//
// Bindings: `w` through conv.wgsl's `w_one`; the uniform `p` is conv.wgsl's.
// Constants: ROWS and GATHER, see conv.wgsl.
// Bounds: k beyond the last and rows beyond the last read an element of `w` that is there, and count as 0.

// [outside]
const ROWS: u32 = 16u;
const GATHER: u32 = 1u;

struct Params { w_offset: u32, x_k0: u32, x_width: u32 }

@group(0) @binding(0) var<uniform> p: Params;

struct Sums { s0: vec4<f32>, s1: vec4<f32>, s2: vec4<f32>, s3: vec4<f32> }
fn from0(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from1(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from2(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from3(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from4(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from5(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from6(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from7(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn bits(v: vec4<f32>) -> vec4<u32> { return vec4<u32>(); }
fn floats(v: vec4<u32>) -> vec4<f32> { return vec4<f32>(); }
fn w_one(at: u32) -> f32 { return f32(); }
fn multiply(sums: ptr<function, Sums>, more: ptr<function, Sums>, j: vec4<u32>, l: vec4<u32>, k: vec4<u32>, all: Sums) {}
// [end]

// One of eight, of sixteen: chosen, not indexed, so that they stay in registers.
fn of_eight(low: vec4<f32>, high: vec4<f32>, k: u32) -> f32 {
    let four = select(low, high, (k & 4u) != 0u);
    let two = select(four.xy, four.zw, (k & 2u) != 0u);
    return select(two.x, two.y, (k & 1u) != 0u);
}

fn of_sixteen(all: Sums, k: u32) -> f32 {
    let high = k > 7u;
    return of_eight(select(all.s0, all.s2, high), select(all.s1, all.s3, high), k & 7u);
}

// What `hold` gave lane k of the first eight, for four of its words.
fn held_by(own: vec4<f32>, k: u32) -> vec4<f32> {
    let v = bits(own);
    let odd = (k & 1u) != 0u;
    let two = (k & 2u) != 0u;
    let low = select(select(from0(v), from1(v), odd), select(from2(v), from3(v), odd), two);
    let high = select(select(from4(v), from5(v), odd), select(from6(v), from7(v), odd), two);
    return floats(select(low, high, (k & 4u) != 0u));
}

// How a thread goes through the k where DIRECT is 1.
struct Walk {
    // Sizes of ky and kx, and how far one of them moves in `x`.
    size: vec2<u32>,
    step: vec2<u32>,
    // Strides of `w` along k0, ky and kx.
    apart: vec3<u32>,
    // Where the weights of this lane's row begin, and of the eighth after it; whether there are such rows.
    lines: vec2<u32>,
    real: vec2<bool>,
}

// One k for all rows: `at` says which it is along k0, ky and kx, and how many are left with it; the next comes back.
fn step(sums: ptr<function, Sums>, more: ptr<function, Sums>, j: vec4<u32>, l: vec4<u32>, at: vec4<u32>, walk: Walk) -> vec4<u32> {
    let inside = at.w > 0u;
    let first = at.x * walk.apart.x + at.y * walk.apart.y + at.z * walk.apart.z;
    let y = at.y * walk.step.x;
    let z = at.z * walk.step.y;
    let place = at.x * p.x_k0 + select(0u, y * p.x_width + z, GATHER == 0u);
    let entry = vec4<u32>(place, y, z, select(0u, 1u, inside));
    var w = vec2<f32>(w_one(select(p.w_offset, walk.lines.x + first, inside)), 0.0);
    if ROWS > 8u {
        w.y = w_one(select(p.w_offset, walk.lines.y + first, inside));
    }
    let v = bits(vec4<f32>(select(vec2<f32>(), w, vec2<bool>(inside) & walk.real), 0.0, 0.0));
    let v0 = floats(from0(v));
    let v1 = floats(from1(v));
    let v2 = floats(from2(v));
    let v3 = floats(from3(v));
    let v4 = floats(from4(v));
    let v5 = floats(from5(v));
    let v6 = floats(from6(v));
    let v7 = floats(from7(v));
    let all = Sums(
        vec4<f32>(v0.x, v1.x, v2.x, v3.x),
        vec4<f32>(v4.x, v5.x, v6.x, v7.x),
        vec4<f32>(v0.y, v1.y, v2.y, v3.y),
        vec4<f32>(v4.y, v5.y, v6.y, v7.y),
    );
    multiply(sums, more, j, l, entry, all);
    var next = at + vec4<u32>(0u, 0u, 1u, 0u);
    let line = next.z >= walk.size.y;
    next.z = select(next.z, 0u, line);
    next.y += select(0u, 1u, line);
    let plane = next.y >= walk.size.x;
    next.y = select(next.y, 0u, plane);
    next.x += select(0u, 1u, plane);
    next.w = max(at.w, 1u) - 1u;
    return next;
}
