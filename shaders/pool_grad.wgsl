// The gradients of pooling: for every element i of a plane, the sum of what the windows o that see it give:
//   of a maximum    x[i] = Σ_{o: places[o] = i} g[o],
//   of an average   x[i] = Σ_{o: i ∈ W_o} g[o] / d_o.
//
// One thread computes one element and looks at the windows around it: no atomics, so the result is the same bits
// every time.
//
// Layout: dense, each from an offset: g and places [planes, out_y, out_x], x [planes, in_y, in_x].
// Bindings: 0 the sizes, 1 `g`, then `places` if there are places, then `x`.
// Constants:
//   WORKGROUP        threads a workgroup: 1..=256.
//   AVERAGE          1: the gradient of an average; 0: of a maximum.
//   ADAPTIVE         1: window o of n over an axis goes from ⌊o·size/n⌋ to ⌈(o+1)·size/n⌉; 0: windows have a stride.
//   INCLUDE_PADDING  1: an average counts the padding's elements.
//   T                the element type: f32 or f16; sums are f32.
// Bounds: a thread beyond the last element returns at once; windows run up to the last.

const WORKGROUP: u32 = 64u;
const AVERAGE: u32 = 0u;
const ADAPTIVE: u32 = 0u;
const INCLUDE_PADDING: u32 = 1u;
alias T = f32;

struct Params {
    count: u32, x_offset: u32, g_offset: u32, places_offset: u32,
    input: vec2<u32>, output: vec2<u32>,
    kernel: vec2<u32>, stride: vec2<u32>,
    padding: vec2<u32>, dilation: vec2<u32>,
    // What an average is divided by; 0: by the elements it counts.
    divisor: u32, unused0: u32, unused1: u32, unused2: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<T>;
// [places]
@group(0) @binding(2) var<storage, read> places: array<u32>;
@group(0) @binding(3) var<storage, read_write> x: array<T>;
// Whether a window's value came from this element of the plane.
fn from_window(plane: u32, window: u32, element: u32) -> bool {
    return places[p.places_offset + plane * p.output.x * p.output.y + window] == element;
}
// [end]

// The windows of an axis among which those that see element `i` are: from `.x` up to, not including, `.y`.
fn covering(i: u32, input: u32, output: u32, kernel: u32, stride: u32, padding: u32, dilation: u32) -> vec2<u32> {
    if ADAPTIVE == 1u {
        return vec2(i * output / input, ((i + 1u) * output + input - 1u) / input);
    }
    let reach = (kernel - 1u) * dilation;
    let first = (max(i + padding, reach) - reach + stride - 1u) / stride;
    return vec2(first, min((i + padding) / stride + 1u, output));
}

// What an average counts of window `o` of an axis; dilation is 1.
fn counted(o: u32, input: u32, output: u32, kernel: u32, stride: u32, padding: u32) -> u32 {
    if ADAPTIVE == 1u {
        return ((o + 1u) * input + output - 1u) / output - o * input / output;
    }
    let start = i32(o * stride) - i32(padding);
    if INCLUDE_PADDING == 1u {
        return u32(min(start + i32(kernel), i32(input + padding)) - start);
    }
    return u32(min(start + i32(kernel), i32(input)) - max(start, 0));
}

// What window (oy, ox) gives to an element; nothing beyond the last column.
fn share(plane: u32, oy: u32, ox: u32, last: u32, element: u32) -> f32 {
    let window = oy * p.output.y + ox;
    if ox >= last || !from_window(plane, window, element) {
        return 0.0;
    }
    let value = f32(g[p.g_offset + plane * p.output.x * p.output.y + window]);
    if AVERAGE == 0u {
        return value;
    }
    var divisor = p.divisor;
    if divisor == 0u {
        divisor = counted(oy, p.input.x, p.output.x, p.kernel.x, p.stride.x, p.padding.x)
            * counted(ox, p.input.y, p.output.y, p.kernel.y, p.stride.y, p.padding.y);
    }
    return value / f32(divisor);
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
    let size = p.input.x * p.input.y;
    let element = e % size;
    let plane = e / size;
    let rows = covering(element / p.input.y, p.input.x, p.output.x, p.kernel.x, p.stride.x, p.padding.x, p.dilation.x);
    let columns = covering(element % p.input.y, p.input.y, p.output.y, p.kernel.y, p.stride.y, p.padding.y, p.dilation.y);
    var sum = 0.0;
    for (var oy = rows.x; oy < rows.y; oy++) {
        // Four an iteration: Mesa's lavapipe ends a thread's loops after 65,535 iterations in all.
        for (var ox = columns.x; ox < columns.y; ox += 4u) {
            sum += share(plane, oy, ox, columns.y, element);
            sum += share(plane, oy, ox + 1u, columns.y, element);
            sum += share(plane, oy, ox + 2u, columns.y, element);
            sum += share(plane, oy, ox + 3u, columns.y, element);
        }
    }
    x[p.x_offset + e] = T(sum);
}
