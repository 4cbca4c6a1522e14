//! Lists the files of the web console, so that the binary carries them: as they are, and compressed.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=console");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("console");
    let mut files = Vec::new();
    collect(&root, "", &mut files)?;
    files.sort();
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let mut code = String::from("&[\n");
    for (at, (path, file)) in files.into_iter().enumerate() {
        let packed = out.join(format!("console-{at}.gz"));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&fs::read(&file)?)?;
        fs::write(&packed, encoder.finish()?)?;
        let entry =
            format!("path: {path:?}, plain: include_bytes!({file:?}), packed: include_bytes!({packed:?})");
        writeln!(code, "    Embedded {{ {entry} }},").map_err(io::Error::other)?;
    }
    code.push(']');
    fs::write(out.join("console.rs"), code)
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.push((path, entry.path()));
        }
    }
    Ok(())
}
