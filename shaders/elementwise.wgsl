// Elementwise: out_r[i] = f_r(in_0[i], in_1[i], …) at every point i of an iteration space.
//
// This file is a template. The planner replaces the region `bindings` by the launch's buffers and the region
// `elementwise` by its fused expression, one `let` a step; as committed, the expression is a copy. The region `helpers`
// is what generated expressions call; `reduce.wgsl` gets it too.
//
// Layout: every buffer is bound once, read_write if written, and is seen through views. The iteration space's axes are
//   merged where every view allows it; an operand is then read at `offset + i`, at `offset` (a scalar), or at
//   `offset + Σ coordinate_k · stride_k` with u32 wrap-around, so strides may be zero or negative.
//   Where each operand is such that four neighbouring points have an aligned vector or the same element, a thread
//   computes four points, buffers are bound as vectors, and `params` holds a quarter of the number of points.
// Bindings: 0 the uniform `params`, storage buffers b0, b1, … from 1 on. `params` holds the number of points, axis
//   sizes, and for each operand its offset and strides. Expressions that use the run's index or its seed also declare
//   `var<immediate> run: Run`.
// Constants: WORKGROUP, threads a workgroup: 1..=256 (and at most the device's limit).
// Bounds: a thread beyond the last point returns at once; the planner's views only hold positions inside their buffers.
// In place: a thread reads all operands at its point before it writes, and no other thread's points.

const WORKGROUP: u32 = 64u;

// [bindings]
@group(0) @binding(0) var<uniform> params: array<vec4<u32>, 1>;
@group(0) @binding(1) var<storage, read> b0: array<f32>;
@group(0) @binding(2) var<storage, read_write> b1: array<f32>;
// [end]

// [helpers]
// What a run tells its kernels.
struct Run {
    step: u32,
    key0: u32,
    key1: u32,
}

fn zero_f32(x: f32) -> f32 {
    return 0.0;
}

fn zero_i32(x: i32) -> i32 {
    return 0i;
}

// a / b, also for divisors beyond ±2¹²⁶. There WGSL states no accuracy: a driver may multiply by 1 / b, and that is a
// denormal it takes for 0. Both operands times 2⁻⁴ have the same quotient, to the last bit: the divisor stays normal,
// and a numerator that becomes a denormal had a quotient below the least denormal. Infinities, NaN, zeros and small
// divisors are as they were. Only for divisors that a user gives. Plain `1 / x` beyond 2¹²⁶ is a denormal itself,
// which WGSL lets be 0; and what kernels divide by on their own is small: counts, sums of exponentials of at most 0
// (softmax, cross-entropy: no more than the terms), polynomials.
fn divide_f32(a: f32, b: f32) -> f32 {
    let scale = select(1.0, 0.0625, abs(b) > 8.507059e37);
    return (a * scale) / (b * scale);
}

// Integer division by WGSL's rule (x / 0 = x, x % 0 = 0, and the least i32 over -1 is itself), spelt out because GL
// drivers do not follow it: the divisor becomes 1 where the rule applies.
fn divide_u32(a: u32, b: u32) -> u32 {
    return a / select(b, 1u, b == 0u);
}

fn modulo_u32(a: u32, b: u32) -> u32 {
    return a % select(b, 1u, b == 0u);
}

fn safe_divisor(a: i32, b: i32) -> i32 {
    return select(b, 1i, b == 0i || (b == -1i && a == -2147483647i - 1i));
}

fn divide_i32(a: i32, b: i32) -> i32 {
    return a / safe_divisor(a, b);
}

fn modulo_i32(a: i32, b: i32) -> i32 {
    // Not `%`: GLSL leaves it undefined where an operand is negative, and wgpu writes it as it is.
    let divisor = safe_divisor(a, b);
    return a - a / divisor * divisor;
}

// tanh: an odd polynomial near 0, where the quotient would cancel (coefficients from Cephes' tanhf); ±1 beyond 15.
fn tanh_guarded(x: f32) -> f32 {
    let a = abs(x);
    let z = x * x;
    let p = (((-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2) * z + 1.33314422036e-1) * z
        - 3.33332819422e-1;
    let small = x + x * z * p;
    let large = 1.0 - 2.0 / (exp(2.0 * min(a, 15.0)) + 1.0);
    return select(sign(x) * large, small, a < 0.625);
}

// 1/(1 + e⁻ˣ) without overflow on either side.
fn sigmoid_guarded(x: f32) -> f32 {
    let e = select(0.0, exp(-min(abs(x), 100.0)), abs(x) < 100.0);
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// The error function: rational approximations on three ranges, as in FreeBSD's s_erff.c.
fn erf_polynomial(x: f32) -> f32 {
    let a = abs(x);
    if a < 0.84375 {
        let z = x * x;
        let r = 1.28379166e-01 + z * (-3.25042099e-01 + z * (-2.84817498e-02 + z * (-5.77027029e-03 + z * -2.37630166e-05)));
        let s = 1.0 + z * (3.97917223e-01 + z * (6.50222499e-02 + z * (5.08130628e-03 + z * (1.32494738e-04 + z * -3.96022827e-06))));
        return x + x * (r / s);
    }
    if a < 1.25 {
        let z = a - 1.0;
        let p = -2.36211856e-03 + z * (4.14856106e-01 + z * (-3.72207880e-01 + z * (3.18346620e-01
            + z * (-1.10894695e-01 + z * (3.54783036e-02 + z * -2.16637559e-03)))));
        let q = 1.0 + z * (1.06420882e-01 + z * (5.40397942e-01 + z * (7.18286559e-02 + z * (1.26171216e-01
            + z * (1.36370836e-02 + z * 1.19844999e-02)))));
        return sign(x) * (8.45062911e-01 + p / q);
    }
    if a >= 4.0 {
        return sign(x);
    }
    let z = 1.0 / (a * a);
    var quotient = 0.0;
    if a < 2.857143 {
        let r = -9.86494403e-03 + z * (-6.93858564e-01 + z * (-1.05586262e+01 + z * (-6.23753319e+01
            + z * (-1.62396667e+02 + z * (-1.84605087e+02 + z * (-8.12874374e+01 + z * -9.81432915e+00))))));
        let s = 1.0 + z * (1.96512718e+01 + z * (1.37657761e+02 + z * (4.34565887e+02 + z * (6.45387268e+02
            + z * (4.29008148e+02 + z * (1.08635006e+02 + z * (6.57024956e+00 + z * -6.04244135e-02)))))));
        quotient = r / s;
    } else {
        let r = -9.86494292e-03 + z * (-7.99283266e-01 + z * (-1.77579556e+01 + z * (-1.60636383e+02
            + z * (-6.37566467e+02 + z * (-1.02509515e+03 + z * -4.83519196e+02)))));
        let s = 1.0 + z * (3.03380604e+01 + z * (3.25792511e+02 + z * (1.53672961e+03 + z * (3.19985815e+03
            + z * (2.55305054e+03 + z * (4.74528534e+02 + z * -2.24409523e+01))))));
        quotient = r / s;
    }
    // e^(−a²) in two factors: the square of a rounded to 12 bits is exact.
    let head = bitcast<f32>(bitcast<u32>(a) & 0xffffe000u);
    let tail = exp(-head * head - 0.5625) * exp((head - a) * (head + a) + quotient) / a;
    return sign(x) * (1.0 - tail);
}

// sin and cos for |r| ≤ π/4 (Cephes' sinf and cosf).
fn sin_kernel(r: f32) -> f32 {
    let z = r * r;
    return r + r * z * ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1);
}

fn cos_kernel(r: f32) -> f32 {
    let z = r * r;
    return 1.0 - 0.5 * z + z * z * ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2);
}

// sin(r + quadrant · π/2).
fn sin_quadrant(r: f32, quadrant: u32) -> f32 {
    let magnitude = select(sin_kernel(r), cos_kernel(r), (quadrant & 1u) == 1u);
    return select(magnitude, -magnitude, (quadrant & 2u) == 2u);
}

// x minus the nearest multiple of π/2, which is taken off in three parts so that nothing cancels. It is about π/4 at
// most; of an x too large to know its place in the period the rest may be anything, and sines stay sines by the clamp.
fn remainder(x: f32, multiple: f32) -> f32 {
    let rest = ((x - multiple * 1.5703125) - multiple * 4.837512969970703125e-4) - multiple * 7.54978995489188216e-8;
    return clamp(rest, -1.0, 1.0);
}

fn sin_reduced(x: f32) -> f32 {
    let multiple = round(x * 0.636619772);
    return sin_quadrant(remainder(x, multiple), u32(i32(multiple)));
}

fn cos_reduced(x: f32) -> f32 {
    let multiple = round(x * 0.636619772);
    return sin_quadrant(remainder(x, multiple), u32(i32(multiple)) + 1u);
}

// aᵇ; small whole exponents by multiplication, which also serves negative bases.
fn power(a: f32, b: f32) -> f32 {
    let whole = b == floor(b);
    if whole && abs(b) <= 32.0 {
        var result = 1.0;
        var square = a;
        for (var n = u32(abs(b)); n > 0u; n >>= 1u) {
            if (n & 1u) == 1u {
                result *= square;
            }
            if n > 1u {
                square *= square;
            }
        }
        return select(result, 1.0 / result, b < 0.0);
    }
    if a == 0.0 && b > 0.0 {
        return 0.0;
    }
    let magnitude = exp2(b * log2(abs(a)));
    let odd = whole && b != 2.0 * floor(0.5 * b);
    return select(magnitude, -magnitude, a < 0.0 && odd);
}

// x rounded to the nearest f16, ties to even, in integers: exact, and needs no device feature. Not `f32(f16(x))`,
// which a driver may take for x, as that is the more accurate of the two. No rule makes x of these bits, nor of
// `round(x · 2²⁴)`.
fn round_to_f16(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let magnitude = bits & 0x7fffffffu;
    if magnitude < 0x38800000u {
        // Subnormal in f16: a multiple of 2⁻²⁴. All three values are normal in f32, unless they are 0.
        return round(x * 16777216.0) * 5.9604644775390625e-8;
    }
    let rounded = (magnitude + 0xfffu + ((magnitude >> 13u) & 1u)) & 0xffffe000u;
    // Beyond the largest f16: infinity, made of bits because WGSL has no such literal. A NaN stays one, whichever
    // bits make it so.
    let special = select(0x7f800000u, 0x7fc00000u | (magnitude & 0x007fe000u), magnitude > 0x7f800000u);
    let kept = select(rounded, special, rounded > 0x477fe000u);
    return bitcast<f32>((bits & 0x80000000u) | kept);
}

// a · b as (low, high).
fn multiply_wide(a: u32, b: u32) -> vec2<u32> {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let lh = al * bh;
    let hl = ah * bl;
    let middle = ((al * bl) >> 16u) + (lh & 0xffffu) + (hl & 0xffffu);
    return vec2<u32>(a * b, ah * bh + (lh >> 16u) + (hl >> 16u) + (middle >> 16u));
}

// Philox4x32-10 (Salmon et al., SC'11).
fn philox(block: u32, stream: u32, run: Run) -> vec4<u32> {
    var c = vec4<u32>(block, run.step, stream, 0u);
    var k = vec2<u32>(run.key0, run.key1);
    for (var r = 0u; r < 10u; r++) {
        let p0 = multiply_wide(0xD2511F53u, c.x);
        let p1 = multiply_wide(0xCD9E8D57u, c.z);
        c = vec4<u32>(p1.y ^ c.y ^ k.x, p1.x, p0.y ^ c.w ^ k.y, p0.x);
        k += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

fn random_bits(index: u32, stream: u32, run: Run) -> u32 {
    var words = philox(index / 4u, stream, run);
    return words[index % 4u];
}

// A word in [0, 1), a multiple of 2⁻²⁴: exact.
fn unit(word: u32) -> f32 {
    return f32(word >> 8u) * 5.9604644775390625e-8;
}

fn random_uniform(index: u32, stream: u32, run: Run) -> f32 {
    return unit(random_bits(index, stream, run));
}

fn random_bernoulli(index: u32, stream: u32, threshold: u32, run: Run) -> u32 {
    return u32((random_bits(index, stream, run) >> 8u) < threshold);
}

// log v for v in [2⁻²⁴, 1], relatively accurate up to v = 1 (Cephes' logf); the built-in's error is absolute there.
fn log_unit(v: f32) -> f32 {
    let bits = bitcast<u32>(v);
    let m = bitcast<f32>((bits & 0x007fffffu) | 0x3f000000u);
    let low = m < 0.70710678;
    let e = f32(i32(bits >> 23u) - 126i - select(0i, 1i, low));
    let f = select(m, m + m, low) - 1.0;
    let z = f * f;
    let p = (((((((7.0376836292e-2 * f - 1.1514610310e-1) * f + 1.1676998740e-1) * f - 1.2420140846e-1) * f
        + 1.4249322787e-1) * f - 1.6668057665e-1) * f + 2.0000714765e-1) * f - 2.4999993993e-1) * f + 3.3333331174e-1;
    return (f + (f * z * p - 2.12194440e-4 * e - 0.5 * z)) + 0.693359375 * e;
}

// Box–Muller: √(−2 log(1 − u₀)) times the cosine and the sine of 2π u₁. The quadrant of a multiple of 2⁻²⁴ is exact.
fn normal_pair(words: vec2<u32>) -> vec2<f32> {
    let radius = sqrt(max(-2.0 * log_unit(1.0 - unit(words.x)), 0.0));
    let turns = unit(words.y) * 4.0;
    let quadrant = round(turns);
    let angle = (turns - quadrant) * 1.57079637;
    return radius * vec2<f32>(sin_quadrant(angle, u32(quadrant) + 1u), sin_quadrant(angle, u32(quadrant)));
}

fn random_normal(index: u32, stream: u32, run: Run) -> f32 {
    let words = philox(index / 4u, stream, run);
    let pair = normal_pair(select(words.xy, words.zw, index % 4u > 1u));
    return select(pair.x, pair.y, index % 2u == 1u);
}

// The numbers of four neighbouring elements, the first of which has the number `index`, a multiple of four.
fn four_bits(index: u32, stream: u32, run: Run) -> vec4<u32> {
    return philox(index / 4u, stream, run);
}

fn four_uniform(index: u32, stream: u32, run: Run) -> vec4<f32> {
    let words = philox(index / 4u, stream, run);
    return vec4<f32>(unit(words.x), unit(words.y), unit(words.z), unit(words.w));
}

fn four_bernoulli(index: u32, stream: u32, threshold: u32, run: Run) -> vec4<u32> {
    let drawn = (philox(index / 4u, stream, run) >> vec4<u32>(8u)) < vec4<u32>(threshold);
    return select(vec4<u32>(), vec4<u32>(1u), drawn);
}

fn four_normal(index: u32, stream: u32, run: Run) -> vec4<f32> {
    let words = philox(index / 4u, stream, run);
    return vec4<f32>(normal_pair(words.xy), normal_pair(words.zw));
}
// [end]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = (group.y * groups.x + group.x) * WORKGROUP + thread;
    if i >= params[0].x {
        return;
    }
    // [elementwise]
    b1[params[0].y + i] = b0[params[0].z + i];
    // [end]
}
