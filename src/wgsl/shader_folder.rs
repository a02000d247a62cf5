//! Shader texts from a folder, in place of the embedded ones.

use super::Shader;
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The names of wgrad's own shaders: the files of `shaders/` without `.wgsl`.
const NAMES: &[&str] = &[
    "bench_fma",
    "bench_stream",
    "conv",
    "conv_blocks",
    "conv_classes",
    "conv_direct",
    "conv_gather",
    "conv_store",
    "conv_sums",
    "cross_entropy",
    "doctor_atomics",
    "doctor_barrier",
    "doctor_bounds",
    "doctor_empty",
    "doctor_floats",
    "doctor_halves",
    "doctor_loop",
    "doctor_subgroups",
    "doctor_words",
    "doctor_workgroup_zero",
    "elementwise",
    "index_select",
    "matmul",
    "matmul_lanes",
    "matmul_views",
    "pool",
    "pool_grad",
    "radix_sort",
    "reduce",
    "row_stats",
    "rows",
    "scan",
    "scatter_add",
    "scatter_join",
    "scatter_pairs",
    "scatter_runs",
    "scatter_starts",
    "softmax",
    "topk",
    "topk_select",
];

/// Texts that take the place of shaders of the same name: for whoever writes or tunes a kernel, who need not build
/// wgrad to try one.
///
/// A text is specialised like the embedded one, so it must keep the lines and regions that are replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShaderFolder(Option<Arc<BTreeMap<String, String>>>);

impl ShaderFolder {
    /// The texts of `folder`'s files `NAME.wgsl`, which shaders named `NAME` are made of from now on. Shaders without
    /// such a file stay as they are.
    ///
    /// # Errors
    /// [`Error::File`] if the folder cannot be read or holds no `.wgsl` file.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let failed = |what: &Path, e: std::io::Error| Error::file(what, format!("could not read: {e}"));
        let mut texts = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(|e| failed(folder, e))? {
            let path = entry.map_err(|e| failed(folder, e))?.path();
            let (Some(name), Some("wgsl")) = (path.file_stem(), path.extension().and_then(|e| e.to_str())) else {
                continue;
            };
            let text = std::fs::read_to_string(&path).map_err(|e| failed(&path, e))?;
            // Markers are found by whole lines.
            texts.insert(name.to_string_lossy().into_owned(), text.replace("\r\n", "\n"));
        }
        if texts.is_empty() {
            return Err(Error::file(folder, "holds no .wgsl file"));
        }
        Ok(ShaderFolder(Some(Arc::new(texts))))
    }

    /// As [`ShaderFolder::read`], where there are no shaders but wgrad's own: a file that none of them is named like
    /// would do nothing, and is an error.
    ///
    /// # Errors
    /// Those of [`ShaderFolder::read`], and [`Error::File`] for such a file.
    pub fn read_own(folder: impl AsRef<Path>) -> Result<Self> {
        let texts = ShaderFolder::read(&folder)?;
        match texts.names().into_iter().find(|name| !NAMES.contains(name)) {
            Some(name) => {
                let message = format!(
                    "no shader is named `{name}`, so the file would do nothing; there are {}",
                    NAMES.join(", ")
                );
                Err(Error::file(folder.as_ref().join(format!("{name}.wgsl")), message))
            }
            None => Ok(texts),
        }
    }

    /// Whether no text is replaced.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The names of the shaders there are texts for.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().flat_map(|texts| texts.keys().map(String::as_str)).collect()
    }

    /// The shader with its text from the folder, if there is one.
    pub fn apply(&self, mut shader: Shader) -> Shader {
        let Some(texts) = &self.0 else { return shader };
        if let Some(text) = texts.get(shader.name) {
            shader.text = Cow::Owned(text.clone());
        }
        for (name, joined) in &mut shader.joined {
            if let Some(text) = texts.get(*name) {
                *joined = Cow::Owned(text.clone());
            }
        }
        // Its functions go into other kernels too.
        if let Some(text) = texts.get("elementwise") {
            shader.helpers = Cow::Owned(text.clone());
        }
        shader
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_the_place_of_the_shader_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ShaderFolder::read(dir.path()).is_err_and(|e| e.to_string().contains("no .wgsl")));
        assert!(ShaderFolder::read(dir.path().join("missing")).is_err());
        std::fs::write(dir.path().join("a.wgsl"), "const N: u32 = 1u;\r\nold\n").unwrap();
        let folder = ShaderFolder::read(dir.path()).unwrap();
        assert_eq!(folder.names(), ["a"]);
        assert!(!folder.is_empty() && ShaderFolder::default().names().is_empty());
        let shader = |name| Shader::file(name, "const N: u32 = 3u;\n").constant("N", 2);
        assert_eq!(folder.apply(shader("a")).wgsl().unwrap(), "const N: u32 = 2u;\nold\n");
        assert_eq!(folder.apply(shader("b")), shader("b"));
        assert_ne!(folder.apply(shader("a")), shader("a"));
    }

    #[test]
    fn a_file_takes_the_place_of_a_joined_one() {
        let dir = tempfile::tempdir().unwrap();
        let joined = || Shader::file("a", "// [outside]\nfn b() {}\n// [end]\nb();\n").join("b", "fn b() {}\n");
        // As the embedded file, with stand-ins for what others declare, and without.
        for text in ["// [outside]\nfn c() {}\n// [end]\nfn b() { new(); }\n", "fn b() { new(); }\n"] {
            std::fs::write(dir.path().join("b.wgsl"), text).unwrap();
            let shader = ShaderFolder::read(dir.path()).unwrap().apply(joined());
            assert!(shader.is_replaced() && !joined().is_replaced());
            let wgsl = shader.wgsl().unwrap();
            let code: Vec<&str> = wgsl.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).collect();
            assert_eq!(code, ["b();", "fn b() { new(); }"]);
        }
    }

    #[test]
    fn a_file_that_no_shader_is_named_like_is_named() {
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let mut found = ShaderFolder::read_own(&committed).unwrap().names().join(" ");
        assert_eq!(found, NAMES.join(" "));
        let dir = tempfile::tempdir().unwrap();
        for name in ["softmax", "sofmax"] {
            std::fs::write(dir.path().join(format!("{name}.wgsl")), "").unwrap();
        }
        found = ShaderFolder::read_own(dir.path()).unwrap_err().to_string();
        assert!(["sofmax.wgsl", "`sofmax`", "softmax, topk"].iter().all(|word| found.contains(word)), "{found}");
        assert_eq!(ShaderFolder::read(dir.path()).unwrap().names(), ["sofmax", "softmax"]);
    }
}
