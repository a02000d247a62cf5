//! A tensor, a gradient, and the same results on every device.
//!
//! ```text
//! $ cargo run --release --example quickstart
//! reference (f64 interpreter): loss 0.4375, dw [[0.25, -0.5], [0, 0], [0.125, 0.25]]
//! cpu: loss 0.4375, dw [[0.25, -0.5], [0, 0], [0.125, 0.25]]
//! llvmpipe (LLVM 15.0.6, 256 bits) (vulkan): loss 0.4375, dw [[0.25, -0.5], [0, 0], [0.125, 0.25]]
//! ```

use wgrad::{Array, DType, Device, Graph, Session, Variable};

fn main() -> wgrad::Result<()> {
    let w = Variable::new("w", Array::from([[1.0f32, -1.0], [0.5, 2.0], [0.0, 1.0]]));
    let g = Graph::new();
    let x = g.input("x", [2, 3], DType::F32);
    let y = x.matmul(g.variable(&w)).relu();
    let loss = (y - 0.5).square().mean(..);
    let dw = loss.grad(&[g.variable(&w)])[0];

    let batch = Array::from([[1.0f32, 0.0, 0.5], [-1.0, 0.0, 0.5]]);
    for device in [Device::reference(), Device::cpu(), Device::gpu()] {
        let mut session = match Session::new(device) {
            Ok(session) => session,
            Err(error) => {
                println!("{error}");
                continue;
            }
        };
        let program = session.compile(&g, &[loss, dw])?;
        let out = session.run(&program, &[("x", &batch)])?;
        let rows: Vec<String> = out[1].as_slice::<f32>()?.chunks(2).map(|r| format!("[{}, {}]", r[0], r[1])).collect();
        println!("{}: loss {}, dw [{}]", session.device_name(), out[0].item()?, rows.join(", "));
    }
    Ok(())
}
