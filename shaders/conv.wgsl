// Convolution (cross-correlation), 1-D (height 1) and 2-D:
//   y[n, o, py, px] = Σ_{c, qy, qx} w[o, c, qy, qx] · x[n, first(o) + c, iy, ix],
//   iy = py·sy + qy·dy − pady, ix = px·sx + qx·dx − padx; x is 0 outside its bounds.
//
// One thread computes one element of `y` and walks the products of its sum.
//
// Layout: dense, each from an offset: x [batch, in_channels, ih, iw], w [out_channels, group_in, kh, kw],
//   y [batch, out_channels, oh, ow].
// Bindings: 0 `x`, 1 `w`, 2 `y`, 3 the sizes.
// Constants: WORKGROUP, threads a workgroup: 1..=256. T, the element type in memory: f32 or f16; sums are f32.
// Bounds: a thread beyond the last element returns at once; input positions left of 0 wrap around to large u32, so
//   one comparison rejects both sides.

const WORKGROUP: u32 = 64u;
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
@group(0) @binding(1) var<storage, read> w: array<T>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = (group.y * groups.x + group.x) * WORKGROUP + thread;
    if i >= p.batch * p.out_channels * p.oh * p.ow {
        return;
    }
    let px = i % p.ow;
    let py = i / p.ow % p.oh;
    let o = i / (p.ow * p.oh) % p.out_channels;
    let n = i / (p.ow * p.oh * p.out_channels);
    let first = o / p.group_out * p.group_in;
    var sum = 0.0;
    var at_w = p.b_offset + o * p.group_in * p.kh * p.kw;
    for (var c = 0u; c < p.group_in; c++) {
        let plane = p.a_offset + (n * p.in_channels + first + c) * p.ih * p.iw;
        var part = 0.0;
        for (var qy = 0u; qy < p.kh; qy++) {
            let iy = py * p.sy + qy * p.dy - p.pady;
            if iy < p.ih {
                for (var qx = 0u; qx < p.kw; qx++) {
                    let ix = px * p.sx + qx * p.dx - p.padx;
                    if ix < p.iw {
                        part += f32(x[plane + iy * p.iw + ix]) * f32(w[at_w + qy * p.kw + qx]);
                    }
                }
            }
        }
        sum += part;
        at_w += p.kh * p.kw;
    }
    y[p.out_offset + i] = T(sum);
}
