//! The second output of products: the sums of the left side's rows. No operation of the graph asks for it by itself, so
//! this one does.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use wgrad::ops::conv::{Conv, ConvKernel, ConvKind, ConvPass};
use wgrad::ops::matmul::MatmulKernel;
use wgrad::ops::samples::{Sample, SampleInput};
use wgrad::ops::{GradContext, Op, Operation};
use wgrad::plan::{Lowering, Value};
use wgrad::reference::RefTensor;
use wgrad::verify::parity;
use wgrad::{ConvOptions, DType, Device, Result, Session, Shape, Tensor, TensorType};

/// A product whose value is its row sums, or the product itself.
#[derive(Debug, Clone)]
struct RowSums {
    conv: Option<Conv>,
    product: bool,
}

impl RowSums {
    fn sums(&self, inputs: &[TensorType]) -> Shape {
        match self.conv {
            Some(_) => [inputs[1].shape[1]].into(),
            None => inputs[0].shape[..inputs[0].shape.rank() - 1].into(),
        }
    }
    fn operation(&self) -> Box<dyn Operation> {
        match &self.conv {
            Some(conv) => Box::new(conv.clone()),
            None => Box::new(wgrad::ops::matmul::Matmul),
        }
    }
}

impl Operation for RowSums {
    fn name(&self) -> &'static str {
        "row_sums"
    }
    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let product = self.operation().infer(inputs)?;
        Ok(if self.product { product } else { TensorType { shape: self.sums(inputs), dtype: product.dtype } })
    }
    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        cx.inputs.iter().map(|_| None).collect()
    }
    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        if self.product {
            return self.operation().reference(inputs, output);
        }
        let of = if self.conv.is_some() { inputs[1] } else { inputs[0] };
        let channels = output.shape.elements();
        let mut out = RefTensor::from_fn(&output.shape, output.dtype, |_| 0.0);
        let inner = match self.conv {
            Some(_) => of.shape[2..].iter().product(),
            None => of.shape[of.shape.rank() - 1],
        };
        for (i, x) in of.data.iter().enumerate() {
            out.data[i / inner % channels] += x;
        }
        out
    }
    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        if self.product {
            return self.operation().error_scale(inputs, value);
        }
        let output = TensorType::new(&value.shape, value.dtype);
        let terms = inputs[usize::from(self.conv.is_some())].data.len() / value.data.len();
        let magnitude = self.reference(&[&inputs[0].abs(), &inputs[1].abs()], &output);
        magnitude.data.iter().map(|m| wgrad::ops::matmul::accumulation_error(terms) * m).collect()
    }
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<Value> {
        let types = [cx.input_type(0), cx.input_type(1)];
        let product = self.operation().infer(&types).unwrap();
        let rank = product.shape.rank();
        let output = cx.allocate(product.clone());
        let sums = cx.allocate(TensorType { shape: self.sums(&types), dtype: product.dtype });
        if let Some(conv) = &self.conv {
            let (x, y) = (cx.dense(0), cx.dense(1));
            let geometry = conv.geometry(&x.view.shape, &y.view.shape).unwrap();
            let kernel = ConvKernel { pass: ConvPass::WeightGrad, geometry, epilogue: None, row_sums: true };
            cx.launch(kernel, vec![x, y], vec![output.clone(), sums.clone()]);
        } else {
            let (a, b) = (cx.operand(0), cx.operand(1));
            let (m, n, k) = (product.shape[rank - 2], product.shape[rank - 1], a.view.shape[rank - 1]);
            let kernel = MatmulKernel {
                batch: Shape::from(&product.shape[..rank - 2]),
                m,
                n,
                k,
                epilogue: None,
                row_sums: true,
            };
            cx.launch(kernel, vec![a, b], vec![output.clone(), sums.clone()]);
        }
        Ok(Value::Stored(if self.product { output } else { sums }))
    }
}

fn sample(case: String, op: RowSums, shapes: [Shape; 2], dtype: DType, transposed: bool) -> Sample {
    let inputs = shapes.map(|shape| SampleInput { shape, dtype, range: (-2.0, 2.0) });
    Sample {
        op: "row_sums",
        case,
        inputs: inputs.into(),
        build: Box::new(move |g, t| {
            let a = if transposed { t[0].t() } else { t[0] };
            g.apply(Op::Custom(Arc::new(op.clone())), &[a, t[1]])
        }),
    }
}

fn samples() -> Vec<Sample> {
    let mut out = Vec::new();
    for product in [false, true] {
        for (m, k, n) in
            [(1, 5, 1), (3, 300, 200), (7, 13, 5), (17, 200, 9), (100, 40, 100), (128, 64, 256), (50, 300, 60)]
        {
            for transposed in [false, true].into_iter().filter(|&t| !t || m == 100) {
                let a = if transposed { [k, m] } else { [m, k] };
                let op = RowSums { conv: None, product };
                let case = format!("matmul {m}x{k}x{n} {transposed} {product}");
                out.push(sample(case, op, [a.into(), [k, n].into()], DType::F32, transposed));
            }
        }
        let op = RowSums { conv: None, product };
        let shapes = || [[3, 20, 12].into(), [3, 12, 8].into()];
        out.push(sample(format!("matmul batched {product}"), op.clone(), shapes(), DType::F32, false));
        out.push(sample(format!("matmul f16 {product}"), op, [[20, 12].into(), [12, 8].into()], DType::F16, false));
        let mut conv = |x: &[usize], w: &[usize], options: ConvOptions, dtype| {
            let forward = Conv { kind: ConvKind::Forward, options: options.clone() };
            let g = forward.geometry(&x.into(), &w.into()).unwrap();
            let y = [&[x[0], w[0]], &g.output[4 - x.len()..]].concat();
            let conv = Conv { kind: ConvKind::WeightGrad(w[2..].to_vec()), options };
            let case = format!("conv {x:?} {w:?} {product}");
            let op = RowSums { conv: Some(conv), product };
            out.push(sample(case, op, [x.into(), y.into()], dtype, false));
        };
        conv(&[4, 1, 40], &[15, 1, 3], ConvOptions::new().stride(2), DType::F32);
        conv(&[3, 15, 19], &[15, 15, 3], ConvOptions::new().stride(2), DType::F32);
        conv(&[2, 4, 9], &[6, 2, 3], ConvOptions::new().groups(2).padding(1), DType::F32);
        conv(&[9, 8, 9, 9], &[20, 8, 4, 2], ConvOptions::new(), DType::F32);
        conv(&[2, 4, 12], &[3, 4, 3], ConvOptions::new().padding(1), DType::F16);
    }
    out
}

fn check(mut session: Session) {
    for sample in samples() {
        match parity(&mut session, &sample, 3) {
            Ok(result) => assert!(result.passed(), "{sample:?}: {result:?}"),
            Err(wgrad::Error::Device(message)) if message.contains("SHADER_F16") => {}
            Err(error) => panic!("{sample:?}: {error}"),
        }
    }
}

#[test]
fn cpu() {
    check(Session::new(Device::cpu()).unwrap());
}

#[cfg(feature = "gpu")]
#[test]
fn gpu_as_it_is_and_with_webgpus_limits() {
    use wgrad::gpu::{GpuExecutor, GpuOptions, Limits};
    for limits in [Limits::Adapter, Limits::Webgpu] {
        let options = GpuOptions { limits, ..GpuOptions::default() };
        match GpuExecutor::with_options(&wgrad::GpuChoice::Fastest, options) {
            Ok(executor) => check(Session::with_executor(Device::gpu(), Box::new(executor))),
            Err(error) => assert!(std::env::var_os("WGRAD_REQUIRE_GPU").is_none(), "{error}"),
        }
    }
}
