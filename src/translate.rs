//! WGSL without a device: parsed, validated, inspected, and translated to the languages that drivers accept.
//!
//! This uses naga, wgpu's shader compiler, with wgpu's settings. So the shader that Vulkan, Metal, DX12 or GL would
//! get can be inspected on a machine without such a device.
//!
//! ```
//! use wgrad::wgsl::GpuTarget;
//! use wgrad::translate::{Language, Module};
//! let text = "@group(0) @binding(1) var<storage, read_write> y: array<f32>;
//!     @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) { y[id.x] = 1.0; }";
//! let module = Module::parse(text, &GpuTarget::default())?;
//! assert_eq!((module.threads(), module.bindings().len()), (64, 1));
//! let metal = module.translate(Language::Msl)?;
//! assert!(metal.text().is_some_and(|text| text.contains("kernel void")));
//! # Ok::<(), wgrad::Error>(())
//! ```

use crate::error::{Error, Result};
use crate::wgsl::GpuTarget;
use naga::back::pipeline_constants::process_overrides;
use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, ShaderStage, StorageAccess};
use std::str::FromStr;

/// A shader language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// WGSL itself.
    Wgsl,
    /// SPIR-V 1.3: Vulkan.
    Spirv,
    /// Metal's shading language, 2.4.
    Msl,
    /// Direct3D's HLSL, for shader model 6.2.
    Hlsl,
    /// OpenGL's GLSL, ES 3.1.
    Glsl,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 5] = [Language::Wgsl, Language::Spirv, Language::Msl, Language::Hlsl, Language::Glsl];

    /// Its name: `wgsl`, `spirv`, `msl`, `hlsl` or `glsl`.
    pub fn name(self) -> &'static str {
        match self {
            Language::Wgsl => "wgsl",
            Language::Spirv => "spirv",
            Language::Msl => "msl",
            Language::Hlsl => "hlsl",
            Language::Glsl => "glsl",
        }
    }
}

impl FromStr for Language {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Language::ALL.into_iter().find(|language| language.name() == text).ok_or_else(|| {
            let names = Language::ALL.map(Language::name).join(", ");
            Error::config("target", format!("unknown language `{text}`: use one of {names}"))
        })
    }
}

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A translated shader.
#[derive(Debug, Clone, PartialEq)]
pub enum Translation {
    /// Source code.
    Text(String),
    /// SPIR-V, as 32-bit words.
    Words(Vec<u32>),
}

impl Translation {
    /// The source code; `None` for SPIR-V.
    pub fn text(&self) -> Option<&str> {
        match self {
            Translation::Text(text) => Some(text),
            Translation::Words(_) => None,
        }
    }

    /// The words of SPIR-V; `None` for other languages.
    pub fn words(&self) -> Option<&[u32]> {
        match self {
            Translation::Text(_) => None,
            Translation::Words(words) => Some(words),
        }
    }
}

/// How a shader accesses a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<uniform>`.
    Uniform,
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
    /// A texture or a sampler.
    Other,
}

/// A resource declared by a shader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// `@group`.
    pub group: u32,
    /// `@binding`.
    pub binding: u32,
    /// How it is declared.
    pub access: Access,
    /// The minimum size of its buffer in bytes; a runtime-sized array counts as one element.
    pub bytes: u64,
}

/// A parsed, valid shader whose entry point is `main`.
#[derive(Debug)]
pub struct Module {
    module: naga::Module,
    info: ModuleInfo,
    text: String,
    /// Whether translations check that accesses are in bounds and that loops end.
    checked: bool,
}

impl Module {
    /// Parses and validates WGSL for a device with the target's features. An error holds naga's message, with the
    /// source lines it refers to.
    pub fn parse(text: &str, target: &GpuTarget) -> Result<Module> {
        let mut capabilities = Capabilities::IMMEDIATES;
        capabilities.set(Capabilities::SHADER_FLOAT16, target.f16);
        capabilities.set(Capabilities::SUBGROUP, target.subgroups);
        let options = naga::front::wgsl::Options { parse_doc_comments: false, capabilities };
        let module = naga::front::wgsl::Frontend::new_with_options(options)
            .parse(text)
            .map_err(|error| Error::value("WGSL", error.emit_to_string(text)))?;
        let info = Validator::new(ValidationFlags::all(), capabilities)
            .validate(&module)
            .map_err(|error| Error::value("WGSL", error.emit_to_string(text)))?;
        let (module, info) = match process_overrides(&module, &info, None, &Default::default()) {
            Ok((module, info)) => (module.into_owned(), info.into_owned()),
            Err(error) => return Err(Error::value("WGSL", format!("an override constant has no value: {error}"))),
        };
        if !module.entry_points.iter().any(is_main) {
            return Err(Error::value("WGSL", "there is no `@compute` function `main`"));
        }
        Ok(Module { module, info, text: text.to_string(), checked: true })
    }

    /// The same without bounds checks and loop bounds in its translations, as hardware GPUs run wgrad's own shaders.
    pub fn unchecked(self) -> Module {
        Module { checked: false, ..self }
    }

    fn main(&self) -> usize {
        self.module.entry_points.iter().position(is_main).unwrap_or_default()
    }

    /// The resources it declares, sorted by group and binding.
    pub fn bindings(&self) -> Vec<Declared> {
        let context = self.module.to_ctx();
        let declared = self.module.global_variables.iter().filter_map(|(_, variable)| {
            let at = variable.binding?;
            let access = match variable.space {
                AddressSpace::Uniform => Access::Uniform,
                AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Access::Write,
                AddressSpace::Storage { .. } => Access::Read,
                _ => Access::Other,
            };
            let bytes = self.module.types[variable.ty].inner.size(context).into();
            let name = variable.name.clone().unwrap_or_default();
            Some(Declared { name, group: at.group, binding: at.binding, access, bytes })
        });
        let mut declared: Vec<Declared> = declared.collect();
        declared.sort_by_key(|d| (d.group, d.binding));
        declared
    }

    /// Threads per workgroup.
    pub fn threads(&self) -> u32 {
        self.module.entry_points[self.main()].workgroup_size.iter().product()
    }

    /// Bytes of workgroup memory that `main` uses.
    pub fn workgroup_bytes(&self) -> u64 {
        let (used, context) = (self.info.get_entry_point(self.main()), self.module.to_ctx());
        let variables = self.module.global_variables.iter();
        let shared = variables.filter(|(at, v)| v.space == AddressSpace::WorkGroup && !used[*at].is_empty());
        // Each variable starts at a multiple of 16 bytes: wgpu counts the same way.
        shared.map(|(_, v)| u64::from(self.module.types[v.ty].inner.size(context)).next_multiple_of(16)).sum()
    }

    /// Whether it uses immediates.
    pub fn uses_immediates(&self) -> bool {
        self.module.global_variables.iter().any(|(_, v)| v.space == AddressSpace::Immediate)
    }

    /// Translates `main` to another language. An error says what that language cannot express.
    ///
    /// As wgpu binds them, immediates are push constants in SPIR-V, a buffer in Metal (slot 30), root constants in
    /// HLSL (space 1), and plain uniforms in GLSL.
    pub fn translate(&self, language: Language) -> Result<Translation> {
        let failed = |error: &dyn std::fmt::Display| Error::value(format!("translation to {language}"), error);
        let (module, info, stage) = (&self.module, &self.info, ShaderStage::Compute);
        let entry_point = || "main".to_string();
        let policy = if self.checked { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
        let policies = BoundsCheckPolicies {
            index: policy,
            buffer: policy,
            image_load: policy,
            binding_array: BoundsCheckPolicy::Unchecked,
        };
        Ok(match language {
            Language::Wgsl => Translation::Text(self.text.clone()),
            Language::Spirv => {
                let options = spv::Options {
                    lang_version: (1, 3),
                    flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::DEBUG,
                    fake_missing_bindings: true,
                    bounds_check_policies: policies,
                    force_loop_bounding: self.checked,
                    zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
                    ..spv::Options::default()
                };
                let pipeline = spv::PipelineOptions { shader_stage: stage, entry_point: entry_point() };
                Translation::Words(spv::write_vec(module, info, &options, Some(&pipeline)).map_err(|e| failed(&e))?)
            }
            Language::Msl => {
                let slot = |d: &Declared| msl::BindTarget {
                    buffer: Some(d.binding as msl::Slot),
                    mutable: d.access == Access::Write,
                    ..Default::default()
                };
                let resource = |d: &Declared| naga::ResourceBinding { group: d.group, binding: d.binding };
                let resources = msl::EntryPointResources {
                    resources: self.bindings().iter().map(|d| (resource(d), slot(d))).collect(),
                    immediates_buffer: Some(30),
                    sizes_buffer: Some(29),
                };
                let options = msl::Options {
                    lang_version: (2, 4),
                    per_entry_point_map: [(entry_point(), resources)].into(),
                    fake_missing_bindings: false,
                    bounds_check_policies: policies,
                    zero_initialize_workgroup_memory: false,
                    force_loop_bounding: self.checked,
                    ..msl::Options::default()
                };
                let pipeline = msl::PipelineOptions {
                    entry_point: Some((stage, entry_point())),
                    ..msl::PipelineOptions::default()
                };
                let (text, written) = msl::write_string(module, info, &options, &pipeline).map_err(|e| failed(&e))?;
                if let Some(Err(error)) = written.entry_point_names.into_iter().next() {
                    return Err(failed(&error));
                }
                Translation::Text(text)
            }
            Language::Hlsl => {
                let options = hlsl::Options {
                    shader_model: hlsl::ShaderModel::V6_2,
                    immediates_target: Some(hlsl::BindTarget { space: 1, ..Default::default() }),
                    zero_initialize_workgroup_memory: false,
                    restrict_indexing: self.checked,
                    force_loop_bounding: self.checked,
                    ..hlsl::Options::default()
                };
                let pipeline = hlsl::PipelineOptions { entry_point: Some((stage, entry_point())) };
                let mut text = String::new();
                let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
                writer.write(module, info, None).map_err(|e| failed(&e))?;
                Translation::Text(text)
            }
            Language::Glsl => {
                let number =
                    |d: &Declared| (naga::ResourceBinding { group: d.group, binding: d.binding }, d.binding as u8);
                let options = glsl::Options {
                    version: glsl::Version::new_gles(310),
                    binding_map: self.bindings().iter().map(number).collect(),
                    zero_initialize_workgroup_memory: false,
                    ..glsl::Options::default()
                };
                let pipeline =
                    glsl::PipelineOptions { shader_stage: stage, entry_point: entry_point(), multiview: None };
                let mut text = String::new();
                let writer = glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies);
                writer.and_then(|mut writer| writer.write()).map_err(|e| failed(&e))?;
                Translation::Text(text)
            }
        })
    }
}

fn is_main(entry: &naga::EntryPoint) -> bool {
    entry.stage == ShaderStage::Compute && entry.name == "main"
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "struct Run { step: u32, key: vec2<u32> }
        var<immediate> run: Run;
        @group(0) @binding(0) var<uniform> n: vec4<u32>;
        @group(0) @binding(2) var<storage, read_write> y: array<u32>;
        @group(0) @binding(1) var<storage, read> x: array<u32>;
        var<workgroup> shared_values: array<u32, 33>;
        var<workgroup> unused: array<u32, 1000>;
        @compute @workgroup_size(8, 4) fn main(@builtin(local_invocation_index) i: u32) {
            shared_values[i] = x[i] + run.step;
            workgroupBarrier();
            if i < n.x { y[i] = shared_values[n.x - i]; }
        }";

    #[test]
    fn a_module_tells_what_it_binds_and_uses() {
        let module = Module::parse(TEXT, &GpuTarget::default()).unwrap();
        let bindings: Vec<_> = module.bindings().into_iter().map(|d| (d.name, d.binding, d.access, d.bytes)).collect();
        let expected = [("n", 0, Access::Uniform, 16), ("x", 1, Access::Read, 4), ("y", 2, Access::Write, 4)];
        assert_eq!(bindings, expected.map(|(name, at, access, bytes)| (name.to_string(), at, access, bytes)));
        assert_eq!((module.threads(), module.workgroup_bytes(), module.uses_immediates()), (32, 144, true));
    }

    #[test]
    fn immediates_are_expressible_everywhere() {
        let module = Module::parse(TEXT, &GpuTarget::default()).unwrap();
        for (language, sign) in [
            (Language::Msl, "constant Run& run [[buffer(30)]]"),
            (Language::Hlsl, "ConstantBuffer<Run> run: register(b0, space1)"),
            (Language::Glsl, "uniform Run _immediates_binding_cs"),
        ] {
            let text = module.translate(language).unwrap();
            assert!(text.text().unwrap().contains(sign), "{language}: {text:?}");
        }
        assert_eq!(module.translate(Language::Spirv).unwrap().words().unwrap()[0], 0x0723_0203);
    }

    #[test]
    fn errors_are_nagas_with_the_line() {
        let target = GpuTarget::default();
        let error = Module::parse("fn f() -> u32 { return 1.5; }", &target).unwrap_err().to_string();
        assert!(error.contains("return 1.5"), "{error}");
        assert!(Module::parse("fn f() {}", &target).unwrap_err().to_string().contains("`main`"));
        let half = "enable f16; @compute @workgroup_size(1) fn main() { var x = 1h; }";
        assert!(Module::parse(half, &target).is_err());
        assert!(Module::parse(half, &GpuTarget { f16: true, ..target }).is_ok());
        assert!("cuda".parse::<Language>().is_err());
    }
}
