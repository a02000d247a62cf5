// Pooling: for every window o of a plane (one channel of one sample), the largest of its elements and where in the
// plane the first of these is, or their average y[o] = Σ x[i] / d_o.
//
// One thread computes one window. A NaN, found by its bits, counts as larger than any number.
//
// Layout: dense, each from an offset: x [planes, in_y, in_x], y and places [planes, out_y, out_x].
// Bindings: 0 the sizes, 1 `x`, 2 `y`, 3 `places`; either of these two may be left out.
// Constants:
//   WORKGROUP        threads a workgroup: 1..=256.
//   AVERAGE          1: the average; 0: the largest.
//   ADAPTIVE         1: window o of n over an axis goes from ⌊o·size/n⌋ to ⌈(o+1)·size/n⌉; 0: windows have a stride.
//   INCLUDE_PADDING  1: an average counts the padding's elements.
//   T                the element type: f32 or f16; sums are f32.
// Bounds: a thread beyond the last window returns at once; elements outside of the plane are passed over.

const WORKGROUP: u32 = 64u;
const AVERAGE: u32 = 0u;
const ADAPTIVE: u32 = 0u;
const INCLUDE_PADDING: u32 = 1u;
alias T = f32;

struct Params {
    count: u32, x_offset: u32, y_offset: u32, places_offset: u32,
    input: vec2<u32>, output: vec2<u32>,
    kernel: vec2<u32>, stride: vec2<u32>,
    padding: vec2<u32>, dilation: vec2<u32>,
    // What an average is divided by; 0: by the elements it counts.
    divisor: u32, unused0: u32, unused1: u32, unused2: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
// [value]
@group(0) @binding(2) var<storage, read_write> y: array<T>;
fn store_value(at: u32, value: f32) {
    y[p.y_offset + at] = T(value);
}
// [end]
// [place]
@group(0) @binding(3) var<storage, read_write> places: array<u32>;
fn store_place(at: u32, place: u32) {
    places[p.places_offset + at] = place;
}
// [end]

fn is_nan(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
}

struct State {
    value: f32,
    place: u32,
    any: bool,
}

// Takes in the element of a row's column, if there is one.
fn visit(state: State, plane: u32, row: u32, q: u32, start: i32, length: u32) -> State {
    let column = start + i32(q * p.dilation.y);
    if q >= length || column < 0 || column >= i32(p.input.y) {
        return state;
    }
    let place = row * p.input.y + u32(column);
    let value = f32(x[p.x_offset + plane * p.input.x * p.input.y + place]);
    if AVERAGE == 1u {
        return State(state.value + value, 0u, true);
    }
    if !state.any || (is_nan(value) && !is_nan(state.value)) || (!is_nan(state.value) && (value > state.value)) {
        return State(value, place, true);
    }
    return state;
}

// The first element of window `o` of an axis, which may lie in the padding.
fn window_start(o: u32, input: u32, output: u32, stride: u32, padding: u32) -> i32 {
    if ADAPTIVE == 1u {
        return i32(o * input / output);
    }
    return i32(o * stride) - i32(padding);
}

// How many elements it has.
fn window_length(o: u32, input: u32, output: u32, kernel: u32) -> u32 {
    if ADAPTIVE == 1u {
        return ((o + 1u) * input + output - 1u) / output - o * input / output;
    }
    return kernel;
}

// How many of them an average counts.
fn counted(start: i32, length: u32, input: u32, padding: u32) -> u32 {
    if INCLUDE_PADDING == 1u {
        return u32(min(start + i32(length), i32(input + padding)) - start);
    }
    return u32(min(start + i32(length), i32(input)) - max(start, 0));
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
    let ox = e % p.output.y;
    let oy = e / p.output.y % p.output.x;
    let plane = e / (p.output.x * p.output.y);
    let y_start = window_start(oy, p.input.x, p.output.x, p.stride.x, p.padding.x);
    let x_start = window_start(ox, p.input.y, p.output.y, p.stride.y, p.padding.y);
    let y_length = window_length(oy, p.input.x, p.output.x, p.kernel.x);
    let x_length = window_length(ox, p.input.y, p.output.y, p.kernel.y);
    var state = State(0.0, 0u, false);
    for (var qy = 0u; qy < y_length; qy++) {
        let row = y_start + i32(qy * p.dilation.x);
        if row < 0 || row >= i32(p.input.x) {
            continue;
        }
        // Four an iteration: Mesa's lavapipe ends a thread's loops after 65,535 iterations in all.
        for (var qx = 0u; qx < x_length; qx += 4u) {
            state = visit(state, plane, u32(row), qx, x_start, x_length);
            state = visit(state, plane, u32(row), qx + 1u, x_start, x_length);
            state = visit(state, plane, u32(row), qx + 2u, x_start, x_length);
            state = visit(state, plane, u32(row), qx + 3u, x_start, x_length);
        }
    }
    if AVERAGE == 1u {
        var divisor = p.divisor;
        if divisor == 0u {
            divisor = counted(y_start, y_length, p.input.x, p.padding.x) * counted(x_start, x_length, p.input.y, p.padding.y);
        }
        state.value /= f32(divisor);
    }
    store_value(e, state.value);
    store_place(e, state.place);
}
