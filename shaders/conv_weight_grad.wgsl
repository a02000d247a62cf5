// The gradient of a convolution with respect to its weight:
//   w[o, c, qy, qx] = Σ_{n, py, px} x[n, first(o) + c, iy, ix] · y[n, o, py, px],
//   iy = py·sy + qy·dy − pady, ix = px·sx + qx·dx − padx; x is 0 outside its bounds.
//
// LANES threads share an element of `w`: each walks every LANES-th product, and their sums are added as a tree in
// workgroup memory. No atomics, so the result is the same bits every time.
//
// Layout: dense, each from an offset: x [batch, in_channels, ih, iw], y [batch, out_channels, oh, ow],
//   w [out_channels, group_in, kh, kw].
// Bindings: 0 `x`, 1 `y`, 2 `w`, 3 the sizes (as in `conv.wgsl`).
// Constants:
//   WORKGROUP  threads a workgroup: a power of two up to 256.
//   LANES      threads that share an element: a power of two up to WORKGROUP.
//   T          the element type in memory: f32 or f16; sums are f32.
// Bounds: threads beyond the last element compute that one and do not store it; input positions left of 0 wrap around to
//   large u32, so one comparison rejects both sides.

const WORKGROUP: u32 = 64u;
const LANES: u32 = 64u;
const SLOTS: u32 = WORKGROUP / LANES;
const BLOCK: u32 = 32u;
alias T = f32;

struct Params {
    batch: u32,
    in_channels: u32,
    out_channels: u32,
    group_in: u32,
    group_out: u32,
    ih: u32,
    iw: u32,
    oh: u32,
    ow: u32,
    kh: u32,
    kw: u32,
    sy: u32,
    sx: u32,
    pady: u32,
    padx: u32,
    dy: u32,
    dx: u32,
    a_offset: u32,
    b_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read> y: array<T>;
@group(0) @binding(2) var<storage, read_write> w: array<T>;
@group(0) @binding(3) var<uniform> p: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = thread % LANES;
    let element = (group.y * groups.x + group.x) * SLOTS + thread / LANES;
    let elements = p.out_channels * p.group_in * p.kh * p.kw;
    let i = min(element, elements - 1u);
    let qx = i % p.kw;
    let qy = i / p.kw % p.kh;
    let o = i / (p.kw * p.kh * p.group_in);
    let channel = o / p.group_out * p.group_in + i / (p.kw * p.kh) % p.group_in;
    let positions = p.oh * p.ow;
    let terms = p.batch * positions;
    var sum = 0.0;
    var j = lane;
    while j < terms {
        // Sums of blocks keep the rounding error of a long sum small.
        var block = 0.0;
        for (var k = 0u; k < BLOCK && j < terms; k++) {
            let n = j / positions;
            let position = j % positions;
            let iy = position / p.ow * p.sy + qy * p.dy - p.pady;
            let ix = position % p.ow * p.sx + qx * p.dx - p.padx;
            if iy < p.ih && ix < p.iw {
                block += f32(x[p.a_offset + ((n * p.in_channels + channel) * p.ih + iy) * p.iw + ix])
                    * f32(y[p.b_offset + (n * p.out_channels + o) * positions + position]);
            }
            j += LANES;
        }
        sum += block;
    }
    sums[thread] = sum;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sum += sums[thread + half];
            sums[thread] = sum;
        }
    }
    if lane == 0u && element < elements {
        w[p.out_offset + element] = T(sum);
    }
}
