//! What the examples of the course share: their options, and where their pictures go.
// Each example uses a part of it.
#![allow(dead_code)]

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use wgrad::plot::{Figure, save_animation};
use wgrad::{Array, Device, Error, Result, Session};

/// The options of every example.
#[derive(Debug, Clone, Parser)]
pub struct Options {
    /// Where to compute: auto, cpu, reference (f64), gpu, gpu:1, gpu:NAME
    #[arg(long, default_value = "auto")]
    pub device: Device,
    /// The folder of the pictures [default: runs/NAME of the example]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Write the pictures as SVG files; animations stay PNG
    #[arg(long)]
    pub svg: bool,
    /// The example's name.
    #[arg(skip)]
    name: String,
}

impl Options {
    /// Options as from the command line, for tests.
    pub fn new(name: &str, device: Device, out: PathBuf) -> Self {
        Options { device, out: Some(out), svg: false, name: name.into() }
    }

    /// A session on the device that was asked for.
    pub fn session(&self) -> Result<Session> {
        Session::new(self.device.clone())
    }

    fn path(&self, file: String) -> Result<PathBuf> {
        let folder = self.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&self.name));
        std::fs::create_dir_all(&folder).map_err(|e| Error::file(&folder, e))?;
        Ok(folder.join(file))
    }

    /// Saves a picture (a name without an ending) and says where it is.
    pub fn save(&self, name: &str, figure: &Figure) -> Result<()> {
        let path = self.path(format!("{name}.{}", if self.svg { "svg" } else { "png" }))?;
        figure.save(&path)?;
        println!("picture: {}", path.display());
        Ok(())
    }

    /// Saves an animation, each frame shown for `seconds`, and says where it is.
    pub fn save_animation(&self, name: &str, frames: &[Figure], seconds: f64) -> Result<()> {
        let path = self.path(format!("{name}.png"))?;
        save_animation(frames, seconds, &path)?;
        println!("animation: {}", path.display());
        Ok(())
    }
}

/// Runs an example with the options of the command line; an error is printed, not shown as a panic.
pub fn start<T>(name: &str, run: impl FnOnce(&Options) -> Result<T>) -> ExitCode {
    let mut options = Options::parse();
    options.name = name.into();
    match run(&options) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// An array's numbers, whatever its type.
pub fn numbers(array: &Array) -> Vec<f64> {
    array.to_f64()
}
